"""import, export: lessons from old memories and other databases, and out again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lessonbook import services
from lessonbook.cli.console import (
    command,
    print_table,
    progress,
    request,
    run,
    say,
    shown_as_json,
    warn,
    write,
)
from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.lesson_status import Servable
from lessonbook.machine import private_files

if TYPE_CHECKING:
    from lessonbook.domain.file_results import ExportedLesson, PortableLesson, RefusedRecord

Record = tuple[str, dict[str, Any] | str]
"""A record of a file: its place, and the lesson's fields, or why it cannot be read."""

_ALL_AGENTS: Final = "All agents"
_ITEM: Final = re.compile(
    r"- \*\*(?P<severity>\w+)\*\*, (?P<category>[\w-]+) \((?P<status>\w+)(?P<pinned>, pinned)?\): (?P<text>.+)"
)
_MORE: Final = re.compile(r"  (?P<name>[A-Z][a-z ]+): (?P<value>.+)")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "import")(import_)
    command(app, "export")(export)


def import_(
    source: Annotated[Path, typer.Argument(help="An export (.jsonl, .md), a *_memory.json file, or a folder of them.")],
    trust: Annotated[
        Servable,
        typer.Option(help="active: a lesson that was active, or has no status, is active at once."),
    ] = "probation",
) -> None:
    """Import lessons from old JSON memories or an export. No status rises, and the lint is not skipped."""
    lessons, refused = _checked(_READERS.get(source.suffix, _read_memories)(source))
    with progress("Importing") as update:
        done = run(services.transfer.import_lessons, lessons, active=trust == "active", progress=update)
    done = done.model_copy(update={"refused": refused + done.refused})
    if shown_as_json(done):
        return
    resting = f" ({done.resting} of them not served, as before)" if done.resting else ""
    say(
        (f"{count_of(done.created, 'lesson')} imported", "green"),
        f"{resting}, {done.known} known already, {done.quarantined} quarantined, {len(done.refused)} refused.",
    )
    for note in done.notes:
        warn(note)
    if done.refused:
        rows = [(record.place, record.reason) for record in done.refused]
        print_table("Refused; nothing of these was stored", ["place", "why"], rows)


def _checked(records: Iterable[Record]) -> tuple[list[tuple[str, PortableLesson]], list[RefusedRecord]]:
    """Return the records that are lessons, each with its place, and those that are refused."""
    from lessonbook.domain.file_results import PortableLesson, RefusedRecord

    lessons: list[tuple[str, PortableLesson]] = []
    refused: list[RefusedRecord] = []
    for place, record in records:
        if isinstance(record, str):
            refused.append(RefusedRecord(place=place, reason=record))
            continue
        try:
            lessons.append((place, request(PortableLesson, **record)))
        except InvalidInput as error:
            refused.append(RefusedRecord(place=place, reason=str(error)))
    return lessons, refused


def _read_memories(source: Path) -> Iterator[Record]:
    from lessonbook.intake.memories import find_memories, read_memory

    for file in find_memories(source):
        try:
            agent_name, intake = read_memory(file)
        except InvalidInput as error:
            yield str(file), str(error)
            continue
        yield from ((line.place, line.reason) for line in intake.refused)
        for finding in intake.findings:
            words = {"text": finding.lesson, "why": finding.why, "agent_name": agent_name}
            yield str(file), {**words, "severity": finding.severity, "category": finding.category}


def _read_export(source: Path) -> Iterator[Record]:
    from lessonbook.domain.documents import object_of
    from lessonbook.domain.file_results import PortableLesson

    for number, line in enumerate(_lines_of(source), start=1):
        if not line.strip():
            continue
        try:
            values = object_of(json.loads(line))
        except (ValueError, RecursionError):
            yield f"{source}:{number}", "it is not valid JSON"
        else:
            yield f"{source}:{number}", {key: values[key] for key in PortableLesson.model_fields if key in values}


def _read_markdown(source: Path) -> Iterable[Record]:
    """Return the lessons of a Markdown export; a list item of another form is refused."""
    records: list[Record] = []
    agent_name = "*"
    for number, line in enumerate(_lines_of(source), start=1):
        place = f"{source}:{number}"
        if line.startswith("## "):
            heading = line.removeprefix("## ").strip()
            agent_name = "*" if heading == _ALL_AGENTS else heading
        elif item := _ITEM.fullmatch(line.rstrip()):
            values = {key: item[key] for key in ("severity", "category", "status", "text")}
            records.append((place, {**values, "pinned": bool(item["pinned"]), "agent_name": agent_name}))
        elif more := _MORE.fullmatch(line.rstrip()):
            if records and isinstance(fields := records[-1][1], dict):
                _add(fields, more["name"], more["value"])
        elif line.startswith("- "):
            records.append((place, "it is not as `lessonbook export --markdown` writes it"))
    return records


def _add(values: dict[str, Any], name: str, value: str) -> None:
    """Add what a line below a lesson of a Markdown export says."""
    from lessonbook.domain.lesson import LABELS

    if name == "Languages":
        values["languages"] = value.split(", ")
    elif name == "Path":  # a line each: a glob may hold a comma
        values.setdefault("paths", []).append(value)
    elif field := {"Rule": "rule_key", **LABELS}.get(name):
        values[field] = value


def _lines_of(source: Path) -> list[str]:
    try:
        return source.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{source} cannot be read: {error}") from error


_READERS: Final[Mapping[str, Callable[[Path], Iterable[Record]]]] = {".jsonl": _read_export, ".md": _read_markdown}


def export(
    target: Annotated[Path | None, typer.Argument(help="A .jsonl or .md file; otherwise standard output.")] = None,
    agent: Annotated[str, typer.Option(help="Only this agent's.")] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown instead of JSONL.")] = False,
) -> None:
    """Export lessons, but rejected and merged ones. JSONL for another database, Markdown for people."""
    lessons = run(services.transfer.export_lessons, agent)
    as_markdown = markdown or (target is not None and target.suffix == ".md")
    text = _as_markdown(lessons) if as_markdown else _as_jsonl(lessons)
    if target is None:
        write(text, end="")
        return
    try:
        private_files.write(target, text)
    except OSError as error:
        raise InvalidInput(f"{target} cannot be written: {error.strerror}") from error
    say(f"{count_of(len(lessons), 'lesson')} written to {target}.")


def _as_jsonl(lessons: list[ExportedLesson]) -> str:
    return "".join(lesson.model_dump_json() + "\n" for lesson in lessons)


def _as_markdown(lessons: list[ExportedLesson]) -> str:
    from lessonbook.domain.lesson import LABELS

    lines = ["# Lessons", ""]
    by_agent: dict[str, list[ExportedLesson]] = {}
    for lesson in lessons:
        by_agent.setdefault(lesson.agent_name, []).append(lesson)
    for agent_name in sorted(by_agent):
        lines += [f"## {_ALL_AGENTS if agent_name == '*' else agent_name}", ""]
        for lesson in by_agent[agent_name]:
            status = f"{lesson.status}, pinned" if lesson.pinned else lesson.status
            lines.append(f"- **{lesson.severity}**, {lesson.category} ({status}): {lesson.text}")
            said = {label: getattr(lesson, name) for label, name in LABELS.items()}
            lines += [f"  {label}: {value}" for label, value in said.items() if value]
            if lesson.rule_key:
                lines.append(f"  Rule: {lesson.rule_key}")
            if lesson.languages:
                lines.append(f"  Languages: {', '.join(lesson.languages)}")
            lines += [f"  Path: {path}" for path in lesson.paths]
        lines.append("")
    return "\n".join(lines)
