"""What a session gets from its hooks, with a real server and real hook processes."""

import json
import os
import sqlite3
from pathlib import Path

import pytest

from lessonbook.domain.token_estimate import estimate_tokens
from tests.hooks.conftest import SEARCH, SESSION, SQL, ClientSession

pytestmark = pytest.mark.slow
FAILED = "FAILED tests/test_cart.py::test_total - AssertionError: assert 1 == 2\n1 failed, 3 passed in 0.12s"


def test_a_prompt_gets_its_lessons_once_within_the_budget(client: ClientSession) -> None:
    client.call("report_issues", issues=[SQL])
    told = client.prompt(SEARCH)
    assert "bound parameters" in told
    assert f"Lessonbook-Run: {SESSION}" in told
    assert estimate_tokens(told) <= 300
    assert client.prompt(SEARCH) == ""
    assert client.prompt("add another search endpoint over the orders table") == ""
    assert client.edit("app/search.py") == ""


def test_another_session_gets_them_again(client: ClientSession) -> None:
    client.call("report_issues", issues=[SQL])
    assert client.prompt(SEARCH)
    client.session = "another-session"
    assert "bound parameters" in client.prompt(SEARCH)


def test_hook_and_tool_of_a_session_share_one_run_and_one_assignment(client: ClientSession) -> None:
    client.call("report_issues", issues=[SQL])
    client.prompt(SEARCH)
    served = client.call("get_lessons", task=SEARCH)  # names no run
    assert served["run_id"] == SESSION
    totals = client.call("get_stats")["totals"]
    assert (totals["runs"], totals["deliveries"]) == (1, 1)


def test_what_a_tool_has_shown_a_hook_does_not_say_again(client: ClientSession) -> None:
    client.call("report_issues", issues=[SQL])
    assert client.call("get_lessons", task=SEARCH)["lessons"]
    assert client.prompt(SEARCH) == ""


@pytest.mark.parametrize("prompt", ["thanks!", "hello", "yes, go on", " ", ""])
def test_chatter_gets_nothing(client: ClientSession, prompt: str) -> None:
    client.call("report_issues", issues=[SQL])
    assert client.prompt(prompt) == ""


def test_an_edit_gets_the_lessons_for_the_prompt_before_it(client: ClientSession) -> None:
    assert client.prompt(SEARCH) == ""
    client.call("report_issues", issues=[SQL])
    told = client.edit("app/search.py")
    assert "bound parameters" in told
    assert estimate_tokens(told) <= 200
    assert client.edit("app/search.py") == ""


def test_a_patch_of_codex_is_an_edit(client: ClientSession) -> None:
    client.prompt(SEARCH)
    client.call("report_issues", issues=[SQL])
    patch = "*** Begin Patch\n*** Update File: app/search.py\n@@\n-a\n+b\n*** End Patch\n"
    assert "bound" in client.hook("PreToolUse", tool_name="apply_patch", tool_input={"command": patch})


def test_the_session_learns_its_run_before_any_lesson(client: ClientSession) -> None:
    told = client.hook("SessionStart", source="startup")
    assert told.count(SESSION) == 2
    assert estimate_tokens(told) <= 120
    assert client.call("get_stats")["totals"]["runs"] == 0


def test_hostile_prompts_are_answered(client: ClientSession) -> None:
    client.call("report_issues", issues=[SQL])
    assert client.prompt("\ud800\0" * 1000) == ""
    assert "bound parameters" in client.prompt(f"{SEARCH} \ud800\0 {'x ' * 500_000}{SEARCH}")
    assert client.hook("PreToolUse", tool_name="Edit", tool_input={"file_path": ["a"]}) == ""
    assert client.hook("PreToolUse", tool_name="Edit", tool_input={"file_path": "\udfff" * 5000}) == ""


def test_failing_tests_are_reported_once_if_they_still_fail_at_the_end(client: ClientSession) -> None:
    client.prompt("write the cart")
    client.shell("python -m pytest -q", FAILED, failed=True)
    assert client.issues() == []
    for _ in range(2):
        client.hook("Stop", stop_hook_active=False)
    (issue,) = client.issues()
    assert "tests/test_cart.py::test_total (AssertionError)" in issue["description"]
    assert issue["file"] == "tests/test_cart.py"
    client.shell("python -m pytest -q", FAILED, failed=True)  # the same failure again
    client.hook("Stop")
    assert len(client.issues()) == 1


def test_tests_that_pass_later_are_not_reported(client: ClientSession) -> None:
    client.shell("pytest tests", FAILED, failed=True)
    client.shell("pytest tests", "4 passed in 0.12s")
    client.hook("Stop")
    assert client.issues() == []


def test_a_commit_reports_what_fails(client: ClientSession) -> None:
    client.prompt("write the cart")
    client.shell("npm test 2>&1 | tail -5", "Tests:       2 failed, 3 passed, 5 total")
    client.shell('git add -A && git commit -m "Cart"', "[main 1a2b3c4] Cart")
    (issue,) = client.issues()
    assert "npm test" in issue["description"]
    client.hook("Stop")
    assert len(client.issues()) == 1


def test_a_report_of_a_session_that_has_no_run_is_kept(client: ClientSession) -> None:
    client.shell("go test ./...", "--- FAIL: TestTotal (0.00s)\nFAIL", failed=True)
    client.hook("Stop")
    assert "TestTotal" in client.issues()[0]["description"]


def _transcript(place: Path, *texts: str) -> str:
    lines = [
        {"type": "assistant", "message": {"role": "assistant", "content": [{"type": "text", "text": text}]}}
        for text in texts
    ]
    place.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return str(place)


def test_an_application_is_recorded_only_for_lessons_that_the_assistant_cites(
    client: ClientSession, tmp_path: Path
) -> None:
    made = client.call("report_issues", issues=[SQL, {"description": "eval of input", "rule_id": "CWE-95"}])
    cited, other = (line["lesson_id"] for line in made["issues"])
    client.prompt(SEARCH)
    client.hook("Stop", transcript_path=_transcript(tmp_path / "t.jsonl", "All done.", f"{other} does not apply here."))
    assert client.call("get_stats")["totals"]["applications"] == 0
    transcript = _transcript(tmp_path / "t.jsonl", f"The query follows {cited}. {other} did not apply.")
    for _ in range(2):
        client.hook("Stop", transcript_path=transcript)
    assert client.call("get_stats")["totals"]["applications"] == 1
    assert client.call("get_lesson", lesson_id=cited)["lesson"]["times_applied"] == 1


def test_without_a_server_a_hook_opens_the_store_itself(client: ClientSession) -> None:
    client.call("report_issues", issues=[SQL])
    client.stop_server()
    assert "bound parameters" in client.prompt(SEARCH)
    assert client.edit("app/search.py") == ""


def test_a_hook_whose_database_is_not_there_is_silent_and_says_so_in_its_log(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "no-folder").write_text("")
    session = ClientSession(folder, ["--database", f"sqlite:///{tmp_path}/no-folder/x.db"])
    assert session.prompt(SEARCH) == ""
    log = tmp_path / "state" / "lessonbook" / "hook.log"
    assert "UserPromptSubmit" in log.read_text()
    assert SEARCH not in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_a_planted_folder_file_does_not_redirect_a_hook(folder: Path, tmp_path: Path) -> None:
    own, planted = tmp_path / "own.db", tmp_path / "planted.db"
    os.environ["LESSONBOOK_DATABASE_URL"] = f"sqlite:///{own}"
    (folder / "lessonbook.toml").write_text(f'project = "evil"\n[database]\nurl = "sqlite:///{planted}"\n')
    try:
        assert ClientSession(folder, []).prompt(SEARCH) == ""
    finally:
        del os.environ["LESSONBOOK_DATABASE_URL"]
    assert not planted.exists()
    with sqlite3.connect(own) as connection:
        assert connection.execute("SELECT project, run_id FROM agent_runs").fetchall() == [("default", SESSION)]
