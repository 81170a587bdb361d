"""import, export: lessons from old memories and other databases, and out again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lessonbook import private_files
from lessonbook.cli.console import command, print_json, print_table, progress, run, say, wants_json
from lessonbook.errors import InvalidInput

if TYPE_CHECKING:
    from lessonbook.models.lesson import Caller, Lesson
    from lessonbook.models.operator import Imported, PortableLesson, RefusedRecord
    from lessonbook.services.workspace import Workspace

    Readings = tuple[list[tuple[str, PortableLesson]], list[RefusedRecord]]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "import")(import_)
    command(app, "export")(export)


def import_(
    source: Annotated[Path, typer.Argument(help="A JSONL export, a *_memory.json file, or a folder of them.")],
    trust: Annotated[
        Literal["probation", "active"], typer.Option(help="active: serve them as if you had written them.")
    ] = "probation",
) -> None:
    """Import lessons: old JSON memories, or the export of another database."""
    from lessonbook import services

    lessons, refused = _read_export(source) if source.suffix == ".jsonl" else _read_memories(source)

    with progress("Importing") as told:

        async def act(work: Workspace, caller: Caller) -> Imported:
            return await services.transfer.import_lessons(
                work, caller, lessons, active=trust == "active", progress=told
            )

        done = run(act)
    done = done.model_copy(update={"refused": refused + done.refused})
    if wants_json():
        print_json(done)
        return
    say(
        f"[green]{done.created} lessons imported[/green], {done.known} known already, "
        f"{done.quarantined} quarantined, {len(done.refused)} refused."
    )
    if done.refused:
        print_table(
            "Refused; nothing of these was stored", ["place", "why"], [(r.place, r.reason) for r in done.refused]
        )


def _read_memories(source: Path) -> Readings:
    from lessonbook.models.operator import PortableLesson, RefusedRecord
    from lessonbook.models.validation import parse
    from lessonbook.refinery.intake.memories import find_memories, read_memory

    lessons: list[tuple[str, PortableLesson]] = []
    refused: list[RefusedRecord] = []
    for file in find_memories(source):
        try:
            agent_name, intake = read_memory(file)
        except InvalidInput as error:
            refused.append(RefusedRecord(place=str(file), reason=str(error)))
            continue
        refused += [RefusedRecord(place=line.place, reason=line.reason) for line in intake.refused]
        for finding in intake.findings:
            values: dict[str, Any] = {"text": finding.lesson, "why": finding.why, "agent_name": agent_name}
            values |= {"severity": finding.severity} if finding.severity else {}
            values |= {"category": finding.category} if finding.category else {}
            try:
                lessons.append((str(file), parse(PortableLesson, values)))
            except InvalidInput as error:
                refused.append(RefusedRecord(place=str(file), reason=str(error)))
    return lessons, refused


def _read_export(source: Path) -> Readings:
    from lessonbook.models.operator import PortableLesson, RefusedRecord
    from lessonbook.models.validation import parse
    from lessonbook.refinery.documents import object_of

    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{source} cannot be read: {error}") from error
    lessons: list[tuple[str, PortableLesson]] = []
    refused: list[RefusedRecord] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{source}:{number}"
        try:
            values = object_of(json.loads(line))
            known = {key: value for key, value in values.items() if key in PortableLesson.model_fields}
            lessons.append((place, parse(PortableLesson, known)))
        except (ValueError, RecursionError):
            refused.append(RefusedRecord(place=place, reason="it is not valid JSON"))
        except InvalidInput as error:
            refused.append(RefusedRecord(place=place, reason=str(error)))
    return lessons, refused


def export(
    target: Annotated[Path | None, typer.Argument(help="A .jsonl or .md file; otherwise standard output.")] = None,
    agent: Annotated[str, typer.Option(help="Only this agent's.")] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown instead of JSONL.")] = False,
) -> None:
    """Export the lessons that stand: JSONL for another database, Markdown for people."""
    from lessonbook import services

    async def act(work: Workspace, caller: Caller) -> list[Lesson]:
        return await services.transfer.export_lessons(work, caller, agent)

    lessons = run(act)
    as_markdown = markdown or (target is not None and target.suffix == ".md")
    text = _as_markdown(lessons) if as_markdown else _as_jsonl(lessons)
    if target is None:
        typer.echo(text, nl=False)
        return
    try:
        private_files.write(target, text)
    except OSError as error:
        raise InvalidInput(f"{target} cannot be written: {error.strerror}") from error
    say(f"{len(lessons)} lessons written to {target}.")


def _as_jsonl(lessons: list[Lesson]) -> str:
    return "".join(
        json.dumps(
            {
                "text": lesson.lesson_text,
                "why": lesson.rationale,
                "agent_name": lesson.agent_name,
                "severity": lesson.severity_name,
                "category": lesson.category,
                "rule_key": lesson.rule_key,
                "status": lesson.status,
                "trust": lesson.trust,
                "issue_count": lesson.issue_count,
                "times_applied": lesson.times_applied,
                "times_verified": lesson.times_verified,
                "times_prevented": lesson.times_prevented,
            },
            ensure_ascii=False,
        )
        + "\n"
        for lesson in lessons
    )


def _as_markdown(lessons: list[Lesson]) -> str:
    lines = ["# Lessons", ""]
    by_agent: dict[str, list[Lesson]] = {}
    for lesson in lessons:
        by_agent.setdefault(lesson.agent_name, []).append(lesson)
    for agent_name in sorted(by_agent):
        lines += [f"## {'All agents' if agent_name == '*' else agent_name}", ""]
        for lesson in by_agent[agent_name]:
            lines.append(f"- **{lesson.severity_name}**, {lesson.category} ({lesson.status}): {lesson.lesson_text}")
            if lesson.rationale:
                lines.append(f"  Why: {lesson.rationale}")
        lines.append("")
    return "\n".join(lines)
