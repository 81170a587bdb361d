"""What people and pipes see: real processes, on a terminal of a given width or without one."""

import ast
import contextlib
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from lessonbook import cli
from lessonbook.cli import output
from lessonbook.cli.output import say, strong
from tests.cli.conftest import Run
from tests.forks import forked

AGENT = "Weird [red] Agent"
TEXT = (
    "Show [bold]marks[/bold] and [/] as they are — “quoted”, ≥ 2 × \U0001f512 — before a table breaks them over lines."
)
MARKED = "[bold]x[/bold] [/] [link=https://evil.example]y[/link]"
HOSTILE = "The page [/] shows \x1b[31mred\x1b[0m text [bold]after[/bold] login"

fcntl = pytest.importorskip("fcntl", reason="terminals of this kind are those of Unix")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home folder whose database has a lesson and a pending issue in words that look like markup."""
    folder = tmp_path_factory.mktemp("home")
    assert _piped(folder, "lessons", "add", TEXT, "--agent", AGENT, "--why", "[i]because[/i]").returncode == 0
    assert _piped(folder, "report", HOSTILE, "--rule", "tool:[red]1").returncode == 0
    return folder


def _environment(home: Path, **more: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR", "PYTHONIOENCODING"}
    }
    return {
        **kept,
        "HOME": str(home),
        "XDG_DATA_HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "TERM": "xterm",
        **more,
    }


def _piped(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = forked("-m", "lessonbook", *arguments)
    return subprocess.run(command, capture_output=True, cwd=home, env=_environment(home, **environment), check=False)


def _on_terminal(home: Path, width: int, *arguments: str, code: int = 0, **environment: str) -> str:
    """Return what a command that ends with `code` shows on a terminal of `width` columns."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, 0x5414, struct.pack("HHHH", 50, width, 0, 0))  # TIOCSWINSZ
    command = forked("-m", "lessonbook", *arguments)
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=home, env=_environment(home, **environment)
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while piece := os.read(ours, 65_536):
            shown += piece
    os.close(ours)
    assert process.wait() == code, shown.decode()
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("command", [("lessons", "list"), ("pending",), ("stats",), ("agents",), ("audit",)])
def test_no_line_is_wider_than_the_terminal_and_no_word_is_broken(home: Path, width: int, command: tuple[str, ...]):
    shown = _on_terminal(home, width, *command, NO_COLOR="1")
    sentences = [line for line in shown.splitlines() if not line.startswith("Write a lesson with")]  # not wrapped
    assert max(map(len, sentences)) <= width
    stored = {("lessons", "list"): TEXT, ("pending",): "[/] shows text [bold]after[/bold] login"}.get(command, "")
    assert set(stored.split()) <= set(shown.split())


@pytest.mark.slow
def test_in_a_pipe_each_record_is_one_line_of_fields_apart_by_tabs(home: Path):
    heading, line = _piped(home, "lessons", "list").stdout.decode().splitlines()
    fields = dict(zip(heading.split("\t"), line.split("\t"), strict=True))
    assert (fields["agent"], fields["text"]) == (AGENT, TEXT)
    assert "┃" not in _piped(home, "agents").stdout.decode()


@pytest.mark.slow
def test_marks_and_control_characters_in_stored_words_are_shown_not_obeyed(home: Path):
    lesson_id = _piped(home, "lessons", "list").stdout.decode().splitlines()[1].split("\t")[0]
    for command, words in (
        (("lessons", "show", lesson_id), ("[bold]marks[/bold]", "[i]because[/i]", AGENT)),
        (("pending",), ("[/] shows", "[bold]after[/bold]", "tool:[red]1")),
        (("agents",), (AGENT,)),
    ):
        for shown in (_on_terminal(home, 200, *command), _piped(home, *command).stdout.decode()):
            assert "\x1b[31mred" not in shown
            for word in words:
                assert word in re.sub(r"\x1b\[[0-9;]*m", "", shown)


@pytest.mark.slow
def test_no_command_reads_markup_in_what_somebody_else_wrote(home: Path):
    lesson_id = _piped(home, "lessons", "list").stdout.decode().splitlines()[1].split("\t")[0]
    assert _piped(home, "lessons", "add", "Close each file.", "--project", f"{MARKED}/shop").returncode == 0
    for code, command, words in (
        (0, ("lessons", "list"), [TEXT[:40], AGENT]),
        (0, ("lessons", "list", "--project", f"{MARKED}/shop"), ["Close each file."]),
        (0, ("audit", "--lesson", lesson_id), [AGENT]),
        (0, ("stats",), [AGENT]),
        (0, ("doctor", "--project", f"[/]{MARKED}/shop"), [f"project [/]{MARKED}/shop has no", f"and {MARKED}/shop"]),
        (2, ("lessons", "show", MARKED), [f"There is no lesson '{MARKED}'"]),
        (2, (MARKED,), [f"No such command '{MARKED}'"]),
    ):
        shown = _on_terminal(home, 400, *command, code=code)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        assert "\x1b]8" not in shown  # a link of the terminal
        for word in words:
            assert word in plain, (command, plain)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])  # all other tests are in UTF-8
def test_any_encoding_of_the_output_will_do(home: Path, encoding: str):
    for command in (("lessons", "list"), ("get", "print a table with marks", "--agent", AGENT), ("--help",)):
        done = _piped(home, *command, PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
        done.stdout.decode(encoding)
    listed = json.loads(_piped(home, "lessons", "list", "--json", PYTHONIOENCODING=encoding).stdout.decode(encoding))
    assert listed["lessons"][0]["text"] == TEXT


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_a_dumb_terminal_and_no_color_get_no_escape_codes(home: Path, environment: dict[str, str]):
    for command in (("lessons", "list"), ("pending",), ("doctor",), ("stats",), ("get", "print a table"), ("--help",)):
        assert "\x1b" not in _on_terminal(home, 80, *command, **environment)
    assert "\x1b[1m" in _on_terminal(home, 80, "lessons", "list")


@pytest.mark.slow
def test_a_reader_that_has_enough_ends_a_command_without_a_word(home: Path):
    command = [sys.executable, "-P", "-m", "lessonbook", "agents"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=home, env=_environment(home)
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""


def test_shared_options_stand_before_or_after_a_command(run: Run):
    run("lessons", "add", "Close files with a `with` block.")
    after = run("lessons", "list", "--json").json
    assert after["lessons"]
    assert run("--json", "lessons", "list").json == run("lessons", "--json", "list").json == after
    assert run("--project", "other", "--json", "lessons", "list").json["lessons"] == []
    assert run("--json", "agents").json == run("agents", "--json").json


def test_a_command_that_does_not_exist_is_answered_in_two_lines(run: Run):
    for arguments, sentence, path in (
        (("lesson", "list"), "No such command 'lesson'. Did you mean 'lessons'?", "lessonbook"),
        (("lessons", "lst"), "No such command 'lst'.", "lessonbook lessons"),
        (("get", "--agnt", "x"), "No such option: --agnt", "lessonbook get"),
        (("lessons", "list", "--limit", "x"), "Invalid value for '--limit'", "lessonbook lessons list"),
        (("record",), "Missing argument", "lessonbook record"),
    ):
        done = run(*arguments)
        first, second = done.err.splitlines()
        assert (done.code, done.out) == (2, "")
        assert first.startswith(f"lessonbook: {sentence}")
        assert second == f"See `{path} --help`."


def test_lessonbook_alone_prints_its_help(run: Run):
    alone = run()
    assert (alone.code, alone.err) == (0, "")
    assert alone.out == run("--help").out
    assert run("lessons").code == 2


def test_a_lesson_is_flagged_and_the_audit_trail_says_so(run: Run):
    lesson_id = run("lessons", "add", "Close files with a `with` block.", "--json").json["lesson_id"]
    run_id = run("get", "close files", "--json").json["run_id"]
    flagged = run("flag", lesson_id, "it misled", "--run", run_id, "--json").json
    assert (flagged["lesson_id"], flagged["flags"]) == (lesson_id, 1)
    assert run("flag", "Lnone", "it misled").code == 2
    entries = run("audit", "--lesson", lesson_id, "--json").json["entries"]
    assert [entry["action"] for entry in entries] == ["lesson.flag", "lesson.create"]
    assert len(run("audit", "--limit", "1", "--json").json["entries"]) == 1
    assert run("audit", "--since", "1h", "--json").json["entries"]
    assert run("audit", "--since", "2999-01-01", "--json").json["entries"] == []
    assert run("audit", "--since", "yesterday").code == 2
    assert "whole" in run("audit", "--verify").out
    (chain, *_) = run("audit", "--head", "--json").json["chains"]
    assert (chain["seq"] >= 1, len(chain["hash"])) == (True, 64)
    assert run("audit", "--verify", "--lesson", lesson_id).code == 2
    _, line = run("audit", "--lesson", lesson_id, "--limit", "1").out.splitlines()
    assert lesson_id in line


def test_doctor_puts_each_command_on_a_line_of_its_own(run: Run, monkeypatch: pytest.MonkeyPatch):
    run("lessons", "add", "Close files with a `with` block.")
    (database,) = Path(os.environ["XDG_DATA_HOME"]).rglob("lessonbook.db")
    database.chmod(0o644)
    assert f"    chmod 600 {database}*" in run("doctor").out.splitlines()


def test_a_sentence_is_printed_as_it_is_and_its_parts_stand_out_by_style_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    say(MARKED, " and ", strong(MARKED), (MARKED, "red"))
    assert capsys.readouterr().out == f"{MARKED} and {MARKED}{MARKED}\n"
    monkeypatch.setattr(output, "has_style", lambda *_: True)
    say(MARKED, " and ", strong(MARKED))
    assert capsys.readouterr().out.rstrip() == f"{MARKED} and {MARKED}"


def test_no_command_hands_words_to_a_reader_of_markup():
    """Only constants are markup: the questions of a triage session."""
    for file in sorted(Path(cli.__file__).parent.rglob("*.py")):
        source = file.read_text("utf-8")
        assert "rich.markup" not in source, file
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.JoinedStr):
                words = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
                assert not re.search(r"\[/?(?:bold|red|green|yellow|dim|link)", words), (file, words)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("console().print", "terminal.print")):
                assert not any(isinstance(given, ast.Constant | ast.JoinedStr) for given in node.args), (
                    file,
                    node.lineno,
                )
