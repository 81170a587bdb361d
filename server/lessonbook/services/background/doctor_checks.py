"""What the doctor finds: counters that differ from the evidence, broken audit chains, and what a person should know."""

from datetime import datetime, timedelta
from shlex import quote
from typing import Final

from pydantic import BaseModel
from sqlalchemy import Connection

from lessonbook.domain.lesson import Caller
from lessonbook.experiment.evidence import Evidence
from lessonbook.services.agent_names import label_shelves
from lessonbook.services.background.installation import warnings as of_settings
from lessonbook.services.cache.evidence import counted_since
from lessonbook.services.project_names import hint_on
from lessonbook.services.queries.unusual_reports import unusual
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.arms import alarm_sentence, unhealthy_agents
from lessonbook.services.writing.checked_runs import ROUTINE_CHECKS
from lessonbook.services.writing.scoring import counted
from lessonbook.store import (
    audit,
    installation,
    integrity_checks,
    partitions,
    run_checks,
    tokens,
)
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.row_security import EVERY_PROJECT

MOVED_MAX: Final = 20
"""Lessons that a warning names."""
SILENT_AFTER: Final = timedelta(days=14)
"""A reporter that has checked no run for so long is told of."""


class Diagnosis(BaseModel):
    """What the doctor found: faults have to be repaired, warnings do not."""

    healthy: bool
    faults: list[str]
    warnings: list[str]


async def diagnose(work: Workspace, caller: Caller | None = None) -> Diagnosis:
    """Return the faults (counters that differ from the evidence, broken audit chains, a damaged file) and warnings."""
    of_services = [await work.semantic.checked(), *await work.store.warnings()]

    def read(connection: Connection) -> Diagnosis:
        faults = integrity_checks.database_faults(connection)
        for project in integrity_checks.projects(connection):
            found = integrity_checks.miscounted(connection, project) + _misjudged(connection, project)
            found += audit.verify(connection, project)
            faults += [f"project {project}: {line}" for line in found]
        warnings = [*installation.warnings(connection), partitions.warning(connection), *of_services]
        valid = [token for token in tokens.every(connection) if _is_valid(token, work.now())]
        warnings += of_settings(work.settings, valid)
        for project in integrity_checks.projects(connection):
            warnings += _made_for_labels(work, connection, project)
            warnings += _unmeasured(connection, project, work.now())
            warnings += [f"project {project}: {line}" for line in unusual(connection, project, work.now())]
        if caller is not None:
            warnings += [caller.project_note, hint_on(connection, caller)]
        return Diagnosis(healthy=not faults, faults=faults, warnings=[*filter(None, warnings)])

    with work.store.within(EVERY_PROJECT):
        return await work.store.read(read)


def _is_valid(token: tokens.TokenRow, now: datetime) -> bool:
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def _unmeasured(connection: Connection, project: str, now: datetime) -> list[str]:
    """Return a warning for arms that are unlike, for each reporter whose checks tell nothing, and each gone silent."""
    rows = evidence_rows.of_agents(connection, project)
    warnings = [
        f"project {project}, agent {row.agent_name}: {alarm_sentence(Evidence.from_document(row.effect).alarm)}"
        for row in rows
        if row.agent_name in unhealthy_agents(rows)
    ]
    for reporter, looks, empty, last in run_checks.reporters(connection, project, counted_since(now)):
        name = f"{reporter.principal} ({', '.join(filter(None, (reporter.source, reporter.tool)))})"
        if looks >= ROUTINE_CHECKS and not empty:
            warnings.append(
                f"project {project}: {name} has reported on {looks} runs and never that nothing was found, so it seems "
                "to report only what it finds, and its checks tell nothing: let it report every run"
            )
        elif now - last > SILENT_AFTER:
            warnings.append(f"project {project}: {name} has checked no run since {last.date().isoformat()}")
    if moved := integrity_checks.moved_unchecked(connection, project):
        named = ", ".join(f"{lesson_id} ({action})" for lesson_id, action in moved[:MOVED_MAX])
        more = f" and {len(moved) - MOVED_MAX} more" if len(moved) > MOVED_MAX else ""
        warnings.append(
            f"project {project}: evidence from before runs were checked, which counts no longer, last moved "
            f"{named}{more}: see `lessonbook lessons show ID`, and approve, restore or suspend what should be otherwise"
        )
    return warnings


def _made_for_labels(work: Workspace, connection: Connection, project: str) -> list[str]:
    """Return a warning for each name that has lessons only because something was reported under it."""
    return [
        f"project {project}: lessons are kept for {name!r}, which is not an agent. Make it one: "
        f"`lessonbook agents add {quote(name)} --project {quote(project)}`, or move them to one: "
        f"`lessonbook agents merge {quote(name)} AGENT --project {quote(project)}`"
        for name in sorted(label_shelves(work.roster, connection, project))
    ]


def _misjudged(connection: Connection, project: str) -> list[str]:
    """Return a sentence for each lesson whose evidence differs from its events."""
    lessons = lesson_rows.all_of(connection, project)
    found = counted(connection, project, lessons)
    wrong: list[str] = []
    for lesson in lessons.values():
        stored, events = Evidence.from_document(lesson.evidence), found.get(lesson.id, Evidence())
        if lesson.events != events.events:
            wrong.append(f"lesson {lesson.id}: events is {lesson.events}, the evidence says {events.events}")
        elif (stored.periods, stored.reporters, stored.side) != (events.periods, events.reporters, events.side):
            wrong.append(f"lesson {lesson.id}: its evidence differs from the checked runs, events and applications")
        elif any(stored.verdicts) and stored.verdicts != events.verdicts:
            wrong.append(f"lesson {lesson.id}: its evidence differs from the verdicts of others in its runs")
    return wrong
