"""What hooks read: events, test commands and transcripts."""

import json
from pathlib import Path

import platformdirs
import pytest

from lessonbook.hooks.events import PROMPT_MAX, read_event
from lessonbook.hooks.failing_tests import is_commit, read_outcome, runner_of
from lessonbook.hooks.session import state_folder
from lessonbook.hooks.transcript import READ_BYTES_MAX, cited_lessons

LESSON, OTHER = "Labcdefgh23", "Lzyxwvuts76"


@pytest.mark.parametrize(
    ("command", "runner"),
    [
        ("pytest -q", "pytest"),
        (".venv/bin/python -m pytest tests/a.py", "pytest"),
        ("cd app && API_KEY=x timeout 60 uv run pytest -x 2>&1 | tail -20", "pytest"),
        ("python3 -m unittest discover", "unittest"),
        ("npx jest --ci", "jest"),
        ("npm test", "npm test"),
        ("npm run test:unit", "npm test:unit"),
        ("pnpm --filter web test", "pnpm test"),
        ("go test ./...", "go test"),
        ("cargo nextest run", "cargo nextest"),
        ("cargo +nightly test --all", "cargo test"),
        ("./gradlew test", "gradlew test"),
        ("mvn -q verify", "mvn verify"),
        ("bundle exec rspec", "rspec"),
        ("make test", "make test"),
        ("cat pytest.ini", ""),
        ("grep -r pytest .", ""),
        ("echo 'go test'", ""),
        ("git commit -m 'run pytest'", ""),
        ("go build ./...", ""),
        ("rm -rf test", ""),
        ("'unbalanced", ""),
        ("", ""),
    ],
)
def test_a_test_command_is_known_by_its_words(command: str, runner: str) -> None:
    assert runner_of(command) == runner


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ("FAILED tests/a.py::test_b[key-1] - ValueError: x\n1 failed", ("tests/a.py::test_b (ValueError)",)),
        ("--- FAIL: TestTotal (0.0s)\n    x_test.go:3\nFAIL\tpkg", ("TestTotal",)),
        ("test cart::total ... FAILED\ntest result: FAILED. 1 passed; 1 failed", ("cart::total",)),
        ("FAIL: test_total (cart.Test)\nFAILED (failures=1)", ("test_total",)),
        (" FAIL  src/cart.test.ts\nTests: 1 failed, 2 passed", ("src/cart.test.ts",)),
        ("  2 failing", ()),
    ],
)
def test_failing_tests_are_named(output: str, names: tuple[str, ...]) -> None:
    found = read_outcome("pytest", output, failed=True, is_certain=True)
    assert (found.fails, found.tests) == (True, names)


def test_only_what_ran_its_tests_fails_or_passes() -> None:
    missing = "bash: pytest: command not found"
    assert read_outcome("pytest", missing, failed=True, is_certain=True).fails is None
    assert read_outcome("pytest", missing, failed=False, is_certain=False).fails is None
    assert read_outcome("pytest", "3 passed in 1s", failed=False, is_certain=False).fails is False
    assert read_outcome("pytest", "after 3 failed attempts", failed=False, is_certain=True).fails is False
    assert read_outcome("pytest | tail", "1 failed in 1s", failed=False, is_certain=True).fails is True


def test_nothing_that_a_command_prints_is_kept_but_names_of_tests() -> None:
    output = "FAILED tests/a.py::test_b[sk-secret] - AssertionError: password=hunter2\n1 failed"
    found = read_outcome("API_KEY=abc pytest", output, failed=True, is_certain=True)
    assert found == ("pytest", True, ("tests/a.py::test_b (AssertionError)",))


@pytest.mark.parametrize(
    ("command", "commits"),
    [
        ("git commit -m x", True),
        ("git add . && git -c user.name=x commit --amend", True),
        ("git commit --dry-run", False),
        ("git log commit; echo commit", False),
        ("echo git commit", False),
    ],
)
def test_a_commit_is_known_by_its_words(command: str, commits: bool) -> None:
    assert is_commit(command) == commits


def entry(role: str, text: str) -> str:
    return json.dumps({"type": role, "message": {"role": role, "content": [{"type": "text", "text": text}]}})


def test_only_the_assistants_own_words_cite_a_lesson(tmp_path: Path) -> None:
    tool = {"type": "tool_use", "name": "x", "input": {"text": f"follows {OTHER}"}}
    lines = [
        entry("user", f"did you follow {OTHER}?"),
        json.dumps({"type": "assistant", "message": {"role": "assistant", "content": [tool]}}),
        json.dumps({"type": "attachment", "content": f"assistant {OTHER}"}),
        f"not JSON, assistant {OTHER}",
        entry("assistant", f"I bound the values ({LESSON}). I did not use {OTHER}."),
    ]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(lines))
    assert cited_lessons(str(path), "") == [LESSON]


def test_a_transcript_of_codex_is_read_as_well(tmp_path: Path) -> None:
    payload = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": f"As {LESSON} says."}],
    }
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"type": "response_item", "payload": payload}))
    assert cited_lessons(str(path), f"Also {OTHER}.") == [LESSON, OTHER]


def test_of_a_long_transcript_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f"{entry('assistant', OTHER)}\n{'x' * READ_BYTES_MAX}\n{entry('assistant', LESSON)}\n")
    assert cited_lessons(str(path), "") == [LESSON]


@pytest.mark.parametrize("path", ["", "relative.jsonl", "/", "/dev/zero", "/no/such/file", "/dev/null"])
def test_what_is_no_transcript_cites_nothing(path: str) -> None:
    assert cited_lessons(path, "") == []


def test_an_event_is_read_without_trust(tmp_path: Path) -> None:
    given = {"file_path": str(tmp_path / "a" / "b.py"), "notebook_path": "/etc/secret/n.ipynb"}
    told = {"session_id": "12345678", "cwd": str(tmp_path), "tool_input": given, "prompt": "\ud800x\0" * 30_000}
    event = read_event(json.dumps(told).encode())
    assert event is not None
    assert event.files == ("a/b.py", "n.ipynb")
    assert len(event.prompt) == PROMPT_MAX
    assert event.prompt.startswith("?x ")


def test_the_projects_folder_is_the_one_that_the_client_names_for_all_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_PROJECT_DIR", str(tmp_path))
    event = read_event(json.dumps({"session_id": "12345678", "cwd": "/usr"}).encode())
    assert event is not None
    assert event.folder == str(tmp_path)


def test_the_state_folder_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert state_folder() == str(platformdirs.user_state_path("lessonbook", appauthor=False))
