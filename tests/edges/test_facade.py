"""The Python API, from wherever it may be called."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import lessonbook
from lessonbook.config.settings import Settings
from lessonbook.domain.errors import ConfigError, InvalidInput, Unavailable
from lessonbook.facade import AgentRefiner
from tests.patience import PATIENCE_S

AGENT = "BackendDevelopmentAgent"
ISSUE = {"description": "Built the query from user input", "rule_id": "bandit:B608", "severity": "high"}


@pytest.fixture
def refiner(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentRefiner]:
    """The refiner of a process whose environment names a database of the test's own."""
    monkeypatch.setenv("LESSONBOOK_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("LESSONBOOK_PROJECT", "demo")
    refiner = lessonbook.get_agent_refiner()
    yield refiner
    refiner.close()


def test_an_empty_database_knows_no_lessons(refiner):
    assert refiner.load_lessons_for_agent(AGENT) == []
    assert refiner.load_lessons_for_agent("NobodyAgent", "Anything") == []


def test_what_is_reported_is_learned(refiner):
    result = refiner.analyze_and_refine(AGENT, [ISSUE, "Something nobody has a rule for"])
    assert [line["action"] for line in result["issues"]] == ["created", "pending"]
    assert json.loads(json.dumps(result)) == result
    (text,) = refiner.load_lessons_for_agent(AGENT, task="Build a query")
    assert isinstance(text, str)


def test_an_issue_without_an_agent_is_routed(refiner):
    (line,) = refiner.analyze_and_refine(None, ["The SQL query of the REST endpoint is slow"])["issues"]
    assert line["agent_name"]


def test_there_is_one_refiner_a_process_until_it_is_closed(refiner):
    assert lessonbook.get_agent_refiner() is refiner
    refiner.close()
    refiner.close()
    assert refiner.closed
    with pytest.raises(Unavailable, match="closed"):
        refiner.load_lessons_for_agent(AGENT)
    fresh = lessonbook.get_agent_refiner()
    assert fresh is not refiner
    assert fresh.load_lessons_for_agent(AGENT) == []
    fresh.close()


def test_it_is_called_from_inside_a_running_loop(refiner):
    async def work() -> list[str]:
        refiner.analyze_and_refine(AGENT, [ISSUE])
        return refiner.load_lessons_for_agent(AGENT)

    assert len(asyncio.run(work())) == 1
    assert len(asyncio.run(work())) == 1  # another loop, the same refiner


def test_it_is_called_from_many_threads_at_once(refiner):
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: refiner.analyze_and_refine(AGENT, [ISSUE]), range(40)))
    actions = [result["issues"][0]["action"] for result in results]
    assert sorted(actions) == ["created"] + ["merged"] * 39
    assert len(refiner.load_lessons_for_agent(AGENT)) == 1


def test_closing_ends_its_thread(refiner):
    refiner.load_lessons_for_agent(AGENT)
    assert any(thread.name == "lessonbook-refiner" for thread in threading.enumerate())
    refiner.close()
    assert not any(thread.name == "lessonbook-refiner" for thread in threading.enumerate())


def test_what_is_wrong_is_told_by_the_error(refiner):
    with pytest.raises(InvalidInput, match="is empty"):
        refiner.analyze_and_refine(AGENT, [""])
    with pytest.raises(InvalidInput, match="did you mean 'rule_id'"):
        refiner.analyze_and_refine(AGENT, [{"description": "x", "rule": "y"}])
    with pytest.raises(InvalidInput, match="issues is empty"):
        refiner.analyze_and_refine(AGENT, [])
    with pytest.raises(InvalidInput, match="NUL"):
        refiner.load_lessons_for_agent("a\0b")
    assert refiner.load_lessons_for_agent(AGENT) == []


def test_a_wrong_setting_is_named():
    with pytest.raises(ConfigError, match="databse"):
        AgentRefiner(databse="x")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dialect", "ending"),
    [("sqlite", ""), ("postgresql", "refiner.close()"), ("sqlite", "raise SystemExit(0)")],
    indirect=["dialect"],
)
def test_a_process_ends_whether_or_not_the_refiner_is_closed(database_url, ending):
    code = (
        "import lessonbook\n"
        "refiner = lessonbook.get_agent_refiner()\n"
        "assert refiner.load_lessons_for_agent('BackendDevelopmentAgent') == []\n" + ending
    )
    environment = {**os.environ, "LESSONBOOK_DATABASE_URL": database_url, "LESSONBOOK_PROJECT": "demo"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_forked_process_gets_a_refiner_of_its_own(database_url):
    code = (
        "import lessonbook, os\n"
        "refiner = lessonbook.get_agent_refiner()\n"
        "refiner.analyze_and_refine('BackendDevelopmentAgent', [{'description': 'x', 'rule_id': 'bandit:B608'}])\n"
        "if (child := os.fork()) == 0:\n"
        "    os._exit(len(lessonbook.get_agent_refiner().load_lessons_for_agent('BackendDevelopmentAgent')))\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    environment = {**os.environ, "LESSONBOOK_DATABASE_URL": database_url, "LESSONBOOK_PROJECT": "demo"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=PATIENCE_S)
    assert (done.stdout, done.returncode) == (b"1\n", 0), done.stderr.decode()
