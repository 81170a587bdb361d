"""What callers read by name keeps its names and their order, and leaves out what is not known."""

import pytest

from lessonbook.domain.agent_tools import LessonLift, ServiceLift
from lessonbook.domain.audit_trail import AuditQuery
from lessonbook.domain.lesson import Caller
from lessonbook.domain.vocabulary import SEVERITIES
from lessonbook.services.queries import listings, stats
from lessonbook.services.workspace import Workspace
from tests.services.conftest import AGENT

pytestmark = pytest.mark.anyio

RULE = "Give each outgoing request a timeout."
UNIT = "issues per 100 runs"
INTERVAL = {"estimate": 1.5, "low": -0.5, "high": 3.0}


@pytest.mark.parametrize(
    ("lift", "document"),
    [
        (
            ServiceLift(status="not enough data", comparisons=0, runs_with_lessons=2, unit=UNIT),
            {"status": "not enough data", "comparisons": 0, "runs_with_lessons": 2, "unit": UNIT},
        ),
        (
            ServiceLift(
                status="measured", comparisons=90, runs_with_lessons=9, unit=UNIT, note="n", stopped="s", **INTERVAL
            ),
            {
                "status": "measured",
                "comparisons": 90,
                "runs_with_lessons": 9,
                "unit": UNIT,
                "note": "n",
                "stopped": "s",
                **INTERVAL,
            },
        ),
        (
            LessonLift(status="measured", comparisons=1, runs_shown=2, runs_without_a_coin=3, unit=UNIT, **INTERVAL),
            {
                "status": "measured",
                "comparisons": 1,
                "runs_shown": 2,
                "runs_without_a_coin": 3,
                "unit": UNIT,
                **INTERVAL,
            },
        ),
    ],
)
def test_a_lift_is_written_as_far_as_it_is_known(lift: ServiceLift | LessonLift, document: dict[str, object]) -> None:
    assert list(lift.model_dump(mode="json").items()) == list(document.items())


async def test_the_lift_of_an_agent_has_a_note_and_that_of_the_project_has_none(loop, agent: Caller) -> None:
    of_project = (await loop.stats(agent)).model_dump(mode="json")["lift"]
    of_agent = (await loop.stats(agent, agent_name=AGENT)).model_dump(mode="json")["lift"]
    assert list(of_project) == ["status", "comparisons", "runs_with_lessons", "unit"]
    assert list(of_agent) == [*of_project, "note"]


async def test_a_lessons_history_and_flags_keep_their_names(
    loop, work: Workspace, agent: Caller, person: Caller
) -> None:
    lesson_id = await loop.learn(agent, RULE, "The call hangs")
    await loop.flag(agent, lesson_id)
    detail = (await listings.get_lesson(work, person, lesson_id)).model_dump(mode="json")
    change = detail["history"][0]
    assert list(change) == [
        "change",
        "version",
        "action",
        "principal",
        "reason",
        "status",
        "lesson_text",
        "rationale",
        "severity",
        "category",
        "numbers",
        "changed_at",
    ]
    assert change["severity"] in SEVERITIES
    assert list(detail["flags"][0]) == ["principal", "reason", "flagged_at"]
    assert list(detail["issues"][0])[-1] == "suggestion"


async def test_audit_entries_keep_their_names(loop, work: Workspace, agent: Caller) -> None:
    await loop.learn(agent, RULE)
    (entry, *_) = (await listings.get_audit(work, agent, AuditQuery())).model_dump(mode="json")["entries"]
    assert list(entry) == [
        "writer",
        "seq",
        "principal",
        "action",
        "subject",
        "details",
        "logged_at",
        "previous_hash",
        "hash",
    ]


async def test_the_figures_of_an_agent_keep_their_names(loop, work: Workspace, agent: Caller) -> None:
    await loop.learn(agent, RULE)
    (row,) = [row.model_dump(mode="json") for row in await stats.by_agent(work, agent)]
    assert list(row) == [
        "project",
        "agent_name",
        "total_lessons",
        "active_lessons",
        "critical_lessons",
        "high_lessons",
        "medium_lessons",
        "low_lessons",
        "issues",
        "pending_issues",
        "runs",
        "deliveries",
        "applications",
        "verified",
        "prevented",
        "effectiveness",
        "effectiveness_low",
        "effectiveness_high",
        "last_activity_at",
    ]
