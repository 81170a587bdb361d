"""A small life of a lesson book: every step of the loop once, so that every table has rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import Connection, text

from lessonbook.domain.agent_tools import Application, Flag, LessonQuery, Refinement, Report, ReportedIssue
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import LessonReview, NewLesson
from lessonbook.services import agents, projects, tokens
from lessonbook.services.background import experiment, maintenance
from lessonbook.services.feedback import applications
from lessonbook.services.lessons import review
from lessonbook.services.report import refinement
from lessonbook.services.serve import delivery
from lessonbook.services.workspace import Workspace
from lessonbook.store import call_counts, run_checks
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import vectors as vector_rows
from lessonbook.store.engine import Store
from tests.texts import unlike_any_other

AGENT = "BackendDevelopmentAgent"
PROJECT = "demo"
_SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "ke", "li", "mo", "nu")
TABLES = (
    "access_tokens",
    "agent_activity_days",
    "agent_checked_lessons",
    "agent_delivery_folds",
    "agent_delivery_marks",
    "agent_delivery_weeks",
    "agent_evidence",
    "agent_experiments",
    "agent_issues",
    "agent_lesson_applications",
    "agent_lesson_deliveries",
    "agent_lesson_documents",
    "agent_lesson_flags",
    "agent_lesson_keys",
    "agent_lesson_reporters",
    "agent_lesson_vectors",
    "agent_lesson_versions",
    "agent_lessons",
    "agent_names",
    "agent_refinement_runs",
    "agent_revisions",
    "agent_run_checks",
    "agent_runs",
    "agent_service_stops",
    "audit_heads",
    "audit_log",
    "call_counts",
    "idempotency_keys",
    "project_names",
    "server_secrets",
    "use_counts",
)


class GoesOn(Protocol):
    """A clock that is told how much time has passed."""

    def go_on(self, **duration: float) -> None: ...


@dataclass(frozen=True)
class Played:
    """What came of the scenario, by the names the steps gave it."""

    run_id: str
    injection: str
    requests: str
    written: str


def issue(number: int = 0, **fields: Any) -> ReportedIssue:
    """A made-up issue. Each number is another problem, with a rule that would have avoided it."""
    name = "".join(_SYLLABLES[int(digit)] for digit in str(number))  # digits alone would not make it another problem
    words = {
        "description": unlike_any_other(name),
        "lesson": f"Check the length of {name} uploads against their limit before reading the body.",
    }
    if "rule_id" in fields:  # the catalogue has a lesson for it
        del words["lesson"]
    return ReportedIssue(**{**words, **fields})


async def tell(work: Workspace, caller: Caller, *issues: ReportedIssue, **fields: Any) -> Refinement:
    return await refinement.report_issues(work, caller, Report(issues=list(issues), **{"agent_name": AGENT, **fields}))


async def play(work: Workspace, clock: GoesOn, agent: Caller, qa: Caller, person: Caller) -> Played:
    """Report, serve, report again in the run, apply, judge, flag, review, author, pass three days, keep up."""
    first = await tell(
        work,
        agent,
        issue(description="SQL text from an f-string", rule_id="bandit:B608", severity="critical"),
        issue(description="requests.get without a timeout", rule_id="bandit:B113", severity="medium"),
        idempotency_key="first-report",
    )
    injection, requests = (line.lesson_id for line in first.issues)
    assert injection
    assert requests
    await tell(work, agent, ReportedIssue(description="the totals on page seven look odd"))
    served = await delivery.get_lessons(work, agent, LessonQuery(agent_name=AGENT, run_id="run-1"))
    assert {lesson.id for lesson in served.lessons} == {injection, requests}
    clock.go_on(minutes=5)
    again = issue(description="SQL text from a format call", rule_id="bandit:B608")
    await tell(work, qa, again, run_id="run-1", source="qa")
    await tell(work, qa, run_id="run-1", source="qa")
    await work.store.write(lambda connection: _draw_row(connection, injection))
    await experiment.restart_experiment(work, person, "only a test")
    await work.store.write(_stop_serving)
    await maintenance.resume(work, person, "it was only a test")
    await applications.record_application(work, agent, Application(run_id="run-1", lesson_ids=[injection, requests]))
    verdict = Application(run_id="run-1", lesson_ids=[requests], prevented_issue=True, source="qa")
    await applications.record_application(work, qa, verdict)
    verdict = Application(run_id="run-1", lesson_ids=[injection], prevented_issue=False, source="qa")
    await applications.record_application(work, qa, verdict)
    await applications.flag_lesson(work, agent, Flag(lesson_id=requests, reason="it misled me", run_id="run-1"))
    await review.review_lesson(work, person, LessonReview(lesson_id=injection, action="approve", reason="true"))
    new = NewLesson(text="Close every file in the block that opened it.", agent_name=AGENT, severity="low")
    written = await review.add_lesson(work, person, new)
    clock.go_on(days=3)
    await maintenance.keep_up(work, person)  # folds the run of three days ago
    await work.store.write(lambda connection: _embed(connection, injection))
    await agents.add_agent(work, person, "Tinker")
    await projects.alias_project(work, person, "demonstration", PROJECT, dry_run=False)
    await tokens.create_token(work, person, tokens.NewToken("ci"))
    await work.store.write(lambda connection: call_counts.exchange(connection, PROJECT, "ci", "one", 1, 1))
    await work.store.write(lambda connection: call_counts.exchange_uses(connection, PROJECT, "ci", "runs", "one", 1, 1))
    await delivery.get_lessons(work, agent, LessonQuery(agent_name=AGENT, run_id="run-2"))
    await tell(work, agent, issue(1), idempotency_key="second-report")
    return Played("run-1", injection, requests, written.lesson_id)


def _embed(connection: Connection, lesson_id: str) -> None:
    """Write a vector as the background does where a model is configured."""
    row = {"project": PROJECT, "lesson_id": lesson_id, "model": "small", "text_hash": "0" * 32, "revision": 1}
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    vector_rows.put(connection, [{**row, "vector": b"\0\0\x80?", "embedded_at": moment}])


def _draw_row(connection: Connection, lesson_id: str) -> None:
    """Write a row of the experiment as a check does where a coin was tossed, and with it what it adds."""
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    row = run_checks.CheckedLesson(
        *(PROJECT, "run-1", lesson_id, "run-1", AGENT, True, 0.5, 0.5, 1, 1, 2_930, False, False, False, False, None),
        until=moment,
        checked_at=moment,
    )
    run_checks.add_rows(connection, [row])


def _stop_serving(connection: Connection) -> None:
    """Stop serving as upkeep does where it does harm, so that a person has something to resume."""
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    stop = evidence_rows.ServiceStop(PROJECT, True, "it did harm", {}, "upkeep", moment)  # a row
    evidence_rows.put_stop(connection, stop)
    evidence_rows.put(connection, evidence_rows.hold(connection, PROJECT, AGENT))


async def ask(store: Store, sql: str, **values: Any) -> list[Any]:
    """Return the rows of a query."""
    return await store.read(lambda connection: list(connection.execute(text(sql), values).all()))


async def scalar(store: Store, sql: str, **values: Any) -> Any:
    """Return the one value of a query."""
    return await store.read(lambda connection: connection.execute(text(sql), values).scalar_one())


async def tamper(store: Store, sql: str, **values: Any) -> int:
    """Change rows behind the services' back, and return how many."""
    return await store.write(lambda connection: connection.execute(text(sql), values).rowcount)


async def counted(store: Store) -> dict[str, int]:
    """Return the number of rows by table."""

    def count(connection: Connection) -> dict[str, int]:
        return {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in TABLES}

    return await store.read(count)


def checked_out(store: Any) -> int:
    """Return how many connections of the store's pool are in use."""
    return store.engine().pool.checkedout()
