"""The steps of the loop, a line each."""

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import Table, select

from lessonbook.config.settings import Settings
from lessonbook.domain.agent_tools import (
    Application,
    Applied,
    Flag,
    Flagged,
    LessonQuery,
    Lessons,
    Refinement,
    Report,
    ReportedIssue,
    Stats,
    StatsQuery,
)
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_reviews import LessonListing, LessonReview, ListedLesson, Reviewed
from lessonbook.domain.takeback import CleanedUp, Cleanup
from lessonbook.services import agent_names
from lessonbook.services.background import doctor_checks, maintenance
from lessonbook.services.feedback import applications
from lessonbook.services.lessons import review
from lessonbook.services.opening import work_on
from lessonbook.services.queries import listings, stats
from lessonbook.services.report import refinement
from lessonbook.services.serve import delivery
from lessonbook.services.workspace import Workspace
from lessonbook.store import agents as agent_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.engine import connect
from lessonbook.store.urls import parse_address
from tests.texts import unlike_any_other

AGENT = "BackendDevelopmentAgent"


@dataclass(frozen=True)
class Loop:
    """One workspace, spoken to in short."""

    work: Workspace

    async def get(self, caller: Caller, **query: Any) -> Lessons:
        return await delivery.get_lessons(self.work, caller, LessonQuery.model_validate({"agent_name": AGENT, **query}))

    async def know(self, caller: Caller, agent_name: str) -> None:
        """Let a name be an agent's, which it is not by being called so."""

        def transaction(connection: Any) -> None:
            name = self.work.roster.resolve(agent_name)
            agent_names.give_name(self.work, connection, caller.project, name, "a test")

        await self.work.store.write(transaction)

    async def report(self, caller: Caller, *issues: str | dict[str, Any], **about: Any) -> Refinement:
        """Report for an agent, made known if need be; without `agent_name`, for `AGENT`."""
        if (name := about.get("agent_name", AGENT)) and not self.work.roster.known(name):
            await self.know(caller, name)
        return await self.raw_report(caller, *issues, **{"agent_name": AGENT, **about})

    async def raw_report(self, caller: Caller, *issues: str | dict[str, Any], **about: Any) -> Refinement:
        """Report as it is told: no agent unless named, and no name made known."""
        listed = [ReportedIssue(description=issue) if isinstance(issue, str) else issue for issue in issues]
        return await refinement.report_issues(self.work, caller, Report.model_validate({"issues": listed, **about}))

    async def check(self, caller: Caller, run_id: str, source: str = "ci") -> Refinement:
        """Report that nothing was found in a run."""
        return await self.raw_report(caller, run_id=run_id, source=source)

    async def made_for_label(self, caller: Caller, name: str, lesson: str) -> str:
        """Make a lesson as releases did that took every name for an agent's, and return its id."""
        lesson_id = await self.learn(caller, lesson, agent_name=name)

        def transaction(connection: Any) -> None:
            agent_rows.take_name(connection, caller.project, name)

        await self.work.store.write(transaction)
        return lesson_id

    async def learn(self, caller: Caller, lesson: str, description: str = "", **issue: Any) -> str:
        """Report an issue that offers `lesson`, and return the lesson's id. What is for all agents, a person offers."""
        if issue.get("agent_name") == "*":
            caller = replace(caller, person=True)
        about = {name: issue.pop(name) for name in ("agent_name", "run_id", "source") if name in issue}
        given = {"description": description or unlike_any_other(lesson), "lesson": lesson, **issue}
        refined = (await self.report(caller, given, **about)).issues[0]
        assert refined.action == "created", refined
        assert refined.lesson_id is not None
        return refined.lesson_id

    async def record(self, caller: Caller, run_id: str, *lesson_ids: str, **about: Any) -> Applied:
        asked = Application.model_validate({"run_id": run_id, "lesson_ids": list(lesson_ids), **about})
        return await applications.record_application(self.work, caller, asked)

    async def flag(self, caller: Caller, lesson_id: str, reason: str = "It misled me.", **about: Any) -> Flagged:
        asked = Flag.model_validate({"lesson_id": lesson_id, "reason": reason, **about})
        return await applications.flag_lesson(self.work, caller, asked)

    async def review(self, caller: Caller, lesson_id: str, action: str, **about: Any) -> Reviewed:
        asked = LessonReview.model_validate({"lesson_id": lesson_id, "action": action, **about})
        return await review.review_lesson(self.work, caller, asked)

    async def cleanup(self, caller: Caller, **about: Any) -> CleanedUp:
        return await maintenance.cleanup_lessons(self.work, caller, Cleanup.model_validate(about))

    async def stats(self, caller: Caller, **query: Any) -> Stats:
        return await stats.get_stats(self.work, caller, StatsQuery.model_validate(query))

    async def found(self, caller: Caller, **listing: Any) -> list[ListedLesson]:
        page = await listings.list_lessons(self.work, caller, LessonListing.model_validate(listing))
        return page.lessons

    async def lesson(self, lesson_id: str, project: str = "demo") -> Lesson:
        """Return a lesson as it is stored."""
        return await self.work.store.read(
            lambda connection: lesson_rows.find(connection, project, [lesson_id])[lesson_id]
        )

    async def rows(self, table: Table, *columns: str) -> list[Any]:
        """Return a table's rows: dictionaries, or bare values where one column is named."""
        wanted = [table.c[column] for column in columns] or [table]

        def read(connection: Any) -> Sequence[Any]:
            found = connection.execute(select(*wanted))
            return list(found.scalars()) if len(columns) == 1 else [dict(row) for row in found.mappings()]

        return list(await self.work.store.read(read))

    async def count(self, *tables: Table) -> list[int]:
        return [len(await self.rows(table)) for table in tables]

    async def assert_healthy(self) -> None:
        diagnosis = await doctor_checks.diagnose(self.work)
        assert diagnosis.faults == []
        assert diagnosis.healthy


@pytest.fixture
def loop(work: Workspace) -> Loop:
    return Loop(work)


@pytest.fixture
async def other_process(work: Workspace, settings: Settings) -> AsyncIterator[Loop]:
    """A second workspace on the same database, with caches and dice of its own."""
    store = connect(parse_address(settings.database_url))
    yield Loop(await work_on(store, settings, now=work.now, random_bytes=os.urandom))
    await store.close()


@pytest.fixture
def stranger() -> Caller:
    """Somebody of another project in the same database."""
    return Caller("elsewhere", "local")


@pytest.fixture
def reviewer() -> Caller:
    """A second independent source, beside QA."""
    return Caller("demo", "review-bot")
