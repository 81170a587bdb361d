"""`lessonbook refine`: by hand, by the configured model, and in a sitting at a real terminal."""

import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lessonbook import get_agent_refiner
from tests.cli.conftest import Run
from tests.fake_provider import KEY, FakeProvider, fails, fake_provider, fits_all, says
from tests.forks import forked
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

AGENT = "BackendDevelopmentAgent"
RULE = "Write a header row into every exported table."


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    """A provider that the environment names as the configured one."""
    monkeypatch.setenv("LESSONBOOK_TEST_KEY", KEY)
    with fake_provider() as provider:
        for name, value in provider.settings().items():
            monkeypatch.setenv(f"LESSONBOOK_REFINER_{name.upper()}", str(value))
        yield provider


def report(run: Run, *texts: str) -> list[str]:
    for text in texts:
        assert run("report", text, "--agent", AGENT).code == 0
    return [issue["issue_id"] for issue in run("pending", "--json").json["issues"]]


def test_the_configured_model_works_on_the_backlog(run: Run, provider: FakeProvider) -> None:
    report(run, "the export forgets the header", "the import forgets the header")
    provider.will(fits_all(RULE))
    told = run("refine", "--auto", "--json")
    assert told.code == 0, told.err
    assert (told.json["waiting"], told.json["asked"], told.json["created"], told.json["pending"]) == (2, 2, 2, 0)
    assert KEY not in told.out + told.err
    (lesson,) = run("lessons", "list", "--json").json["lessons"]
    assert (lesson["text"], lesson["status"], lesson["trust"]) == (RULE, "probation", "generated")


def test_a_summary_is_told_in_words(run: Run, provider: FakeProvider) -> None:
    report(run, "the export forgets the header", "the import forgets the header")
    provider.will(says(lessons=[{"issues": [1], "lesson": RULE}], declined=[2]))
    told = run("refine", "--auto").out
    assert "2 issues were pending: 1 got a new lesson" in told
    assert "1 are pending still" in told
    assert "asked about 2" in told


def test_a_limit_and_a_dry_run_bound_what_is_done(run: Run, provider: FakeProvider) -> None:
    report(run, "the export forgets the header", "the import forgets the header")
    provider.will(says(declined=[1]))
    dry = run("refine", "--auto", "--dry-run", "--limit", "1", "--json").json
    assert (dry["dry_run"], dry["asked"], dry["pending"]) == (True, 1, 2)
    assert provider.asked == []
    assert "Nothing was sent" in run("refine", "--auto", "--dry-run").out
    assert run("refine", "--auto", "--limit", "1", "--json").json["asked"] == 1
    assert run("refine", "--auto", "--agent", "RAGAgent", "--json").json["waiting"] == 0


def test_a_failing_model_is_told_and_fails_the_command(run: Run, provider: FakeProvider) -> None:
    report(run, "the export forgets the header")
    provider.will(fails(401))
    told = run("refine", "--auto")
    assert told.code == 1
    assert "refused the key" in told.out
    assert KEY not in told.out + told.err
    assert len(run("pending", "--json").json["issues"]) == 1


def test_without_a_model_only_the_rules_are_tried(run: Run) -> None:
    report(run, "the export forgets the header")
    told = run("refine", "--auto")
    assert told.code == 0
    assert "No model is configured" in told.out


def test_a_key_that_is_not_there_is_told(run: Run, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    report(run, "the export forgets the header")
    monkeypatch.delenv("LESSONBOOK_TEST_KEY")
    told = run("refine", "--auto")
    assert (told.code, "LESSONBOOK_TEST_KEY" in told.err) == (2, True)


def test_issues_join_a_lesson_that_exists(run: Run) -> None:
    first, second = report(run, "the export forgets the header", "the import forgets the header")
    lesson_id = run("refine", first, "--lesson", RULE, "--json").json["issues"][0]["lesson_id"]
    line = run("refine", second, "--into", lesson_id, "--json").json["issues"][0]
    assert (line["action"], line["lesson_id"]) == ("merged", lesson_id)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--auto"),
        (("--json",), "--auto"),
        (("--lesson", RULE), "lessonbook pending"),
        (("I1",), "either lesson"),
        (("I1", "--auto"), "--limit"),
        (("--dry-run",), "--auto"),
        (("I1", "--lesson", RULE, "--into", "L1"), "either lesson"),
    ],
)
def test_what_is_missing_is_told(run: Run, arguments: tuple[str, ...], words: str) -> None:
    told = run("refine", *arguments)
    assert told.code == 2
    assert words in told.err


class Terminal:
    """A person at a terminal who answers once the question is there."""

    def __init__(self, *arguments: str) -> None:
        self._leader, follower = pty.openpty()
        self._process = subprocess.Popen(
            forked("-m", "lessonbook", "refine", *arguments),
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env={**os.environ, "COLUMNS": "200", "TERM": "dumb"},
        )
        os.close(follower)
        self._shown = ""
        self.told = ""

    def answer(self, question: str, line: str) -> None:
        self._read_until(question)
        os.write(self._leader, f"{line}\n".encode())

    def end(self) -> str:
        """Return everything that was shown."""
        self._read_until(None)
        assert self._process.wait(PATIENCE_S) == 0, self.told
        os.close(self._leader)
        return self.told

    def _read_until(self, question: str | None) -> None:
        while question is None or question not in self._shown:
            try:
                chunk = os.read(self._leader, 4_096).decode(errors="replace")
            except OSError:  # the other end was closed
                chunk = ""
            if not chunk:
                assert question is None, f"{question!r} was never asked: {self.told}"
                return
            self._shown += chunk
            self.told += chunk
        self._shown = self._shown.partition(question)[2]


def test_a_person_goes_through_the_backlog_at_the_terminal(run: Run) -> None:
    for text in ("The export forgets the header of table 1", "The export forgets the header of table 2"):
        report(run, text)
    report(run, "The import forgets the header of a table", "The zeppelin stalls", "The balloon stalls", "Left alone")
    terminal = Terminal()
    terminal.answer("quit:", "nonsense")
    terminal.answer("quit:", "m 7")
    terminal.answer("quit:", "w")
    terminal.answer("own words:", "Hm.")
    terminal.answer("stay empty", "")
    terminal.answer("quit:", "w")
    terminal.answer("own words:", RULE)
    terminal.answer("stay empty", "Readers count columns.")
    terminal.answer("quit:", "m1")
    terminal.answer("quit:", "d")
    terminal.answer("no lesson?", "")
    terminal.answer("quit:", "d")
    terminal.answer("no lesson?", "Not about code.")
    terminal.answer("quit:", "s")
    terminal.answer("quit:", "q")
    told = terminal.end()
    assert "2 alike" in told
    assert "There is no lesson with that number." in told
    assert "not a rule" in told
    assert RULE in told
    assert "Dismissing needs a reason." in told
    assert "Done: 2 created, 1 merged, 1 rejected." in told
    left = [issue["description"] for issue in run("pending", "--json").json["issues"]]
    assert left == ["The balloon stalls", "Left alone"]
    (lesson,) = run("lessons", "list", "--json").json["lessons"]
    assert (lesson["text"], lesson["status"], lesson["issue_count"]) == (RULE, "active", 3)
    assert run("doctor", "--json").json["healthy"]


def test_what_strangers_wrote_does_not_steer_the_terminal(run: Run) -> None:
    report(run, "The zeppelin [bold]stalls[/bold]")
    issue = {"description": "The balloon stalls", "file": "a\x1b]0;owned\x07.py"}
    get_agent_refiner().analyze_and_refine(AGENT, [issue])
    get_agent_refiner().close()
    terminal = Terminal("--agent", AGENT)
    terminal.answer("quit:", "s")
    terminal.answer("quit:", "q")
    told = terminal.end()
    assert "[bold]stalls[/bold]" in told
    assert "owned" in told
    assert "\x1b]0;owned" not in told


def test_a_triage_session_without_issues_ends_at_once(run: Run) -> None:
    report(run)
    assert "No issue is pending." in Terminal().end()


def test_a_triage_session_can_be_left_at_any_question(run: Run) -> None:
    report(run, "The zeppelin stalls")
    terminal = Terminal()
    terminal.answer("quit:", "w")
    terminal.answer("own words:", "\x04")
    assert "Done: nothing decided." in terminal.end()


def test_key_and_address_are_never_repeated_in_an_error(run: Run, tmp_path: Path) -> None:
    for line in (f'api_key = "{KEY}"', f'api_key_env = "{KEY}"', f'base_url = "https://me:{KEY}@host"'):
        file = tmp_path / "mine.toml"
        file.write_text(f"[refiner]\n{line}\n")
        told = run("pending", "--config", str(file))
        assert told.code == 2
        assert "refiner." in told.err
        assert KEY not in told.err
