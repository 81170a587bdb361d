"""Stats: figures as proof allows. A ratio never stands without its interval, and below ten events none is told."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from lessonbook.errors import NotFound
from lessonbook.models.lesson import Caller, Lesson
from lessonbook.models.loop import RecurringIssue, Stats, StatsQuery, Totals
from lessonbook.models.vocabulary import SERVABLE
from lessonbook.services.serve import effect_of
from lessonbook.services.workspace import Workspace
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import stats as figures
from lessonbook.store.types import Row

RECURRING_MAX: Final = 5
_SUMMED: Final = ("issues", "runs", "deliveries", "applications", "verified", "prevented")
_NO_LIFT: Final[dict[str, Any]] = {"status": "not enough data", "comparisons": 0}


async def get_stats(work: Workspace, caller: Caller, query: StatsQuery) -> Stats:
    """Return the figures of the project, one agent or one lesson; `days` bounds the evidence that is counted.

    Raises:
        NotFound: the lesson does not exist.
    """
    agent_name = work.roster.resolve(query.agent_name) if query.agent_name else ""
    since = work.now() - timedelta(days=query.days) if query.days else None

    def read(connection: Connection) -> Stats:
        if query.lesson_id:
            return _of_lesson(connection, caller, query.lesson_id, since)
        rows = figures.by_agent(connection, caller.project, agent_name)
        counted = (
            figures.counted_since(connection, caller.project, agent_name, "", since)
            if since
            else {**{name: sum(row[name] for row in rows) for name in _SUMMED}, "pending": _sum(rows, "pending_issues")}
        )
        totals = Totals(lessons=_sum(rows, "total_lessons"), active=_sum(rows, "active_lessons"), **counted)
        return Stats(
            totals=totals,
            effect="not enough data",
            lift=_NO_LIFT,
            top_recurring=[
                _recurring(lesson)
                for lesson in figures.top_recurring(connection, caller.project, agent_name, RECURRING_MAX)
            ],
            withheld_by_reason=_withheld(connection, caller, agent_name),
        )

    return await work.store.read(read)


async def by_agent(work: Workspace, caller: Caller, agent_name: str = "") -> list[dict[str, Any]]:
    """Return the statistics view's rows of the project, an agent each."""
    name = work.roster.resolve(agent_name) if agent_name else ""
    rows = await work.store.read(lambda connection: figures.by_agent(connection, caller.project, name))
    return [_plain(row) for row in rows]


def _plain(row: Row) -> dict[str, Any]:
    moment = row["last_activity_at"]
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
    return {**rounded, "last_activity_at": moment.isoformat() if moment else None}


def _of_lesson(connection: Connection, caller: Caller, lesson_id: str, since: datetime | None) -> Stats:
    lesson = lesson_rows.find(connection, caller.project, [lesson_id]).get(lesson_id)
    if lesson is None:
        raise NotFound(f"There is no lesson {lesson_id!r} in project {caller.project!r}: check the id")
    delivered, shown = figures.deliveries_of_lesson(connection, caller.project, lesson_id)
    counted = (
        figures.counted_since(connection, caller.project, "", lesson_id, since)
        if since
        else {
            "issues": lesson.issue_count,
            "pending": 0,
            "runs": delivered,
            "deliveries": delivered,
            "applications": lesson.times_applied,
            "verified": lesson.times_verified,
            "prevented": lesson.times_prevented,
        }
    )
    return Stats(
        totals=Totals(lessons=1, active=int(lesson.is_active), **counted),
        effect=effect_of(lesson),
        lift=_NO_LIFT,
        top_recurring=[_recurring(lesson)] if lesson.issue_count > 1 and lesson.status in SERVABLE else [],
        withheld_by_reason={"coin": delivered - shown},
    )


def _sum(rows: list[Row], name: str) -> int:
    return sum(int(row[name]) for row in rows)


def _recurring(lesson: Lesson) -> RecurringIssue:
    return RecurringIssue(
        lesson_id=lesson.id,
        text=lesson.lesson_text,
        agent_name=lesson.agent_name,
        severity=lesson.severity_name,
        issues=lesson.issue_count,
        last_seen_at=lesson.last_seen_at.isoformat() if lesson.last_seen_at else None,
    )


def _withheld(connection: Connection, caller: Caller, agent_name: str) -> dict[str, int]:
    """Return why lessons are not seen: those kept back by the coin, then those of each status that is not served."""
    return {
        "coin": figures.withheld(connection, caller.project, agent_name),
        **figures.not_served(connection, caller.project, agent_name),
    }
