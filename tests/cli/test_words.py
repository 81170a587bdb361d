"""What the command line says: whatever option or file is wrong, one sentence without inner words, and no stack."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from lessonbook.cli import _app_of
from lessonbook.config.settings import Settings, load_settings
from lessonbook.domain.errors import ConfigError
from tests.cli.conftest import Run
from tests.words import faults_in

WRONG = ("nonsense", "-7", "9" * 30, "\x01", "", "x" * 3_000)
SERVES = {"serve", "demo", "install", "uninstall", "hook", "trust", "sync"}
"""Commands that serve, or write files of clients: of these only the options are tried that they refuse at once."""
CHECKED = {f"--{name}" for name in ("run", "severity", "category", "status", "source", "since", "before", "cursor")}
CHECKED |= {f"--{name}" for name in ("database", "config", "project", "agent", "stack", "language", "scope", "server")}
"""Options that take a text of which not every one is right."""
FILES: dict[str, bytes] = {
    "empty": b"",
    "nonsense": b"nonsense",
    "binary": b"\xff\xfe\x00",
    "cut off": b'{"a": [',
    "number": b"7",
    "nested": b"[" * 5_000,
    "wrong": b'{"runs": 5, "version": "2.1.0", "lessons": [7], "format": null}',
    "lines": b'{"text": 7}\n{"kind": "lesson", "text": null}\n{"kind": "nonsense"}\n',
}


def commands(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


def wrong_lines() -> Iterator[tuple[str, ...]]:
    """Yield command lines that are wrong in one place; options of many commands with a wrong text once."""
    seen: set[str] = set()
    for words, command in commands(typer.main.get_command(_app_of())):
        yield (*words, "--no-such-option")
        yield (*words, *["surplus"] * 9)
        if words[0] in SERVES:
            continue
        given = ["1"] * sum(part.param_type_name == "argument" and part.required for part in command.params)
        for number, part in enumerate(command.params):
            name = part.opts[0]
            if part.param_type_name == "argument" or part.is_flag:
                continue
            yield (*words, *given, name)
            is_text = part.type_descriptor.annotation in {str, list[str], Path}
            if not is_text or (name in CHECKED and name not in seen):
                yield (*words, *given, f"{name}={WRONG[number % len(WRONG)]}")
            seen.add(name)


def test_no_wrong_option_is_answered_in_inner_words(run: Run, tmp_path: Path) -> None:
    found: list[object] = []
    for line in wrong_lines():
        done = run(*line)
        found += [(fault, line, done.err) for fault in faults_in(done.err, named=[*line, str(tmp_path)])]
        assert done.code in {0, 1, 2}, (line, done.err)
    assert found == []


def test_no_wrong_file_is_answered_in_inner_words(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    found: list[object] = []
    for name, content in FILES.items():
        file = folder / name
        file.write_bytes(content)
        for line in (["import", name], ["report", "--sarif", name], ["report", "--junit", name]):
            done = run(*line)
            found += [(fault, line, done.err) for fault in faults_in(done.err + done.out, named=[str(file), name])]
    assert found == []


def wrong_settings() -> Iterator[dict[str, Any]]:
    """Yield settings of which one is of another kind."""
    values = ("", "nonsense", 7, -1, 10**20, 2.5, True, [], [7], {"a": 1}, "x\0")
    for name, field in Settings.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        yield from ({name: value} for value in values)
        yield from ({name: {key: value}} for key in inner or () for value in values)


def refusal_of(values: dict[str, Any]) -> str:
    """Return why settings are refused; empty where they are not."""
    try:
        load_settings(values)
    except ConfigError as error:
        return str(error)
    return ""


def test_no_wrong_setting_is_answered_in_inner_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [said for values in wrong_settings() if (said := refusal_of(values))]
    assert [(fault, one) for one in said for fault in faults_in(one)] == []
    assert len(said) > 200
    file = tmp_path / "lessonbook.toml"
    for content in (b"[", b"a = ", b"\xff", b"project = 7", b"[server]\nport = 'x'", b"x = 1", b"[database]\nurl = []"):
        file.write_bytes(content)
        with pytest.raises(ConfigError) as refusal:
            load_settings(file=file)
        assert list(faults_in(str(refusal.value), named=[str(file)])) == [], content
    for name, value in {
        "SERVER_PORT": "x",
        "LOG_LEVEL": "loud",
        "NONSENSE": "1",
        "TRUST_REVIEW": "[1",
        "TOOLS": "",
    }.items():
        monkeypatch.setenv(f"LESSONBOOK_{name}", value)
        with pytest.raises(ConfigError) as refusal:
            load_settings()
        assert list(faults_in(str(refusal.value))) == [], name
        monkeypatch.delenv(f"LESSONBOOK_{name}")
