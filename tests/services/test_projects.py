"""Projects and their names: an old name leads to the new one, and two become one."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from lessonbook import services
from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.domain.agent_tools import LessonQuery, Report
from lessonbook.domain.audit_trail import AuditQuery
from lessonbook.domain.errors import Conflict, Forbidden, InvalidInput, NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_status import STATUSES
from lessonbook.domain.pending_issues import PendingListing
from lessonbook.edges.access.gateway import Gateway, Unexpected
from lessonbook.services import project_merge
from lessonbook.services.background import doctor_checks, maintenance
from lessonbook.services.workspace import Workspace
from lessonbook.store import audit
from lessonbook.store.tables import checked_lessons, metadata, run_checks
from lessonbook.store.tables import lessons as lesson_table
from tests.conftest import Clock
from tests.services.conftest import AGENT, Loop
from tests.store.scenario import tamper

pytestmark = pytest.mark.anyio

OLD, NEW, FORK = "github.com/acme/shop", "github.com/acme/store", "github.com/me/shop"
RULE = "Close every file with a context manager."
OTHER = "Give each outgoing request a timeout, so that a slow peer cannot hold a worker for ever."


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    gateway = gateway_for(settings, "cli", person=True)
    yield gateway
    await gateway.close()


def of(project: str) -> Caller:
    return Caller(project, "local")


async def served(gateway: Gateway, project: str) -> list[str]:
    query = LessonQuery(agent_name=AGENT)
    answer = await gateway.call_for(of(project), None, services.serve.get_lessons, query)
    return [lesson.text for lesson in answer.lessons]


async def test_a_renamed_project_is_found_by_both_names_and_shown_by_the_new_one(loop: Loop, gateway: Gateway) -> None:
    await loop.learn(of(OLD), RULE)
    planned = await gateway.call(services.projects.rename_project, OLD, NEW)
    assert (planned.dry_run, len(planned.actions)) == (True, 1)
    assert await served(gateway, NEW) == []
    await gateway.call(services.projects.alias_project, NEW + "2", OLD, dry_run=False)
    with pytest.raises(Conflict, match="project merge"):  # the question for NEW has made a run of its own
        await gateway.call(services.projects.rename_project, OLD, NEW, dry_run=False)
    await gateway.call(services.projects.rename_project, OLD, NEW + "3", dry_run=False)
    assert await served(gateway, NEW + "2") == await served(gateway, NEW + "3") == await served(gateway, OLD) == [RULE]
    listed = {one.stored_as: one for one in await gateway.call(services.projects.list_projects)}
    assert (listed[OLD].name, listed[OLD].lessons) == (NEW + "3", 1)
    assert listed[OLD].other_names == [OLD, NEW + "2"]
    trail = await gateway.call_for(replace(of(OLD), person=True), None, services.queries.get_audit, AuditQuery())
    assert [entry.action for entry in trail.entries][:2] == ["project.rename", "project.alias"]
    await loop.assert_healthy()


async def test_a_merge_carries_what_people_would_miss_and_counts_nothing_that_was_measured_elsewhere(
    loop: Loop, gateway: Gateway, person: Caller, clock: Clock
) -> None:
    old, fork, ci = of(OLD), of(FORK), Caller(OLD, "ci-shop")
    kept = await loop.learn(old, RULE)
    await loop.review(replace(person, project=OLD), kept, "approve")
    theirs = await loop.learn(old, OTHER)
    ours = await loop.learn(fork, OTHER)
    gone = await loop.learn(old, "Name each migration after what it changes, so that people find it.")
    await loop.review(replace(person, project=OLD), gone, "reject", reason="not ours")
    run = (await loop.get(old, run_id="feature/1")).run_id
    await loop.report(ci, {"description": "A file stayed open", "lesson": RULE}, run_id=run, source="ci")
    waits = (await loop.report(old, "The importer forgets the last line of each page")).issues[0]
    await loop.record(ci, run, kept, theirs, source="qa", prevented_issue=True)
    await loop.flag(old, theirs)
    await loop.flag(Caller(FORK, "qa-bot"), ours, "misleading")
    clock.go_on(days=2)
    await maintenance.keep_up(loop.work, fork)  # the fork's figures of those days are rolled up before the merge
    await loop.report(fork, "Something of the fork's own", idempotency_key="k")

    planned = await gateway.call(services.projects.merge_projects, OLD, FORK)
    assert planned.dry_run
    assert [line for line in planned.actions if "kept apart" in line and "1 run, " in line and "1 check" in line]
    before = await counted(loop, OLD)
    done = await gateway.call(services.projects.merge_projects, OLD, FORK, dry_run=False)
    assert (done.copied, done.known) == (2, 1)
    assert await counted(loop, OLD) == before  # nothing is taken from the source

    fork_person = replace(person, project=FORK)
    merged = {one.id: one for one in await loop.found(fork_person, status=[*STATUSES])}
    assert merged.keys() == {kept, ours, gone}
    assert (merged[kept].status, merged[kept].issue_count, merged[kept].times_prevented) == ("active", 2, 1)
    assert (merged[ours].issue_count, merged[ours].times_applied, merged[ours].times_verified) == (2, 1, 1)
    assert merged[gone].status == "rejected"
    detail = await services.queries.get_lesson(loop.work, fork_person, kept)
    assert [change.action for change in detail.history][-2:] == ["approve", "move"]
    assert detail.history[0].reason != detail.history[-1].reason
    both = await services.queries.get_lesson(loop.work, fork_person, ours)
    assert {flag.reason for flag in both.flags} == {"It misled me.", "misleading"}
    groups = await services.queries.list_pending_issues(loop.work, fork_person, PendingListing())
    assert waits.issue_id in str(groups)
    trail = await gateway.call_for(fork_person, None, services.queries.get_audit, AuditQuery(limit=200))
    carried = [entry for entry in trail.entries if "merged_from" in entry.details]
    assert {"lesson.approve", "lesson.reject", "refine"} <= {entry.action for entry in carried}
    assert {entry.principal for entry in carried} >= {"cli", "local", "ci-shop"}

    (figures,) = [one for one in await services.queries.by_agent(loop.work, fork_person) if one.agent_name == AGENT]
    assert (figures.runs, figures.deliveries, figures.issues, figures.applications) == (0, 0, 7, 2)
    assert [row for row in await loop.rows(run_checks, "project") if row == FORK] == []
    assert not await loop.rows(checked_lessons)
    await loop.assert_healthy()


async def counted(loop: Loop, project: str) -> dict[str, int]:
    """Return how many rows a project has in each table."""
    return {
        name: sum(row["project"] == project for row in await loop.rows(table))
        for name, table in metadata.tables.items()
        if "project" in table.c
    }


async def test_a_merge_that_was_broken_off_or_late_reports_are_carried_by_the_same_command(
    loop: Loop, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_merge, "CHUNK", 2)
    lessons = [await loop.learn(of(OLD), rule) for rule in (RULE, OTHER)]
    await tamper(loop.work.store, "UPDATE agent_lessons SET status = 'active' WHERE id = :id", id=lessons[1])
    run_id = (await loop.get(of(OLD))).run_id
    await loop.report(Caller(OLD, "ci"), "An issue of a run", run_id=run_id, source="ci")
    for number in range(3):
        await loop.report(of(OLD), {"description": f"Left file {number} open", "lesson": RULE}, f"Odd thing {number}")
    await loop.learn(of(FORK), "Give every lock a name, so that people can tell who waits for it.")
    with monkeypatch.context() as broken:
        broken.setattr(audit, "carry", _fail)
        with pytest.raises(Unexpected):
            await gateway.call(services.projects.merge_projects, OLD, FORK, dry_run=False)
    await loop.assert_healthy()
    assert [one.runs for one in await services.queries.by_agent(loop.work, of(FORK))] == [0]
    statuses = {row["id"]: row["status"] for row in await loop.rows(lesson_table) if row["project"] == FORK}
    assert statuses[lessons[1]] == "probation"  # what made it active stays with the source
    assert await served(gateway, OLD) != await served(gateway, FORK)  # its name leads nowhere yet
    done = await gateway.call(services.projects.merge_projects, OLD, FORK, dry_run=False)
    assert (done.carried["audit_entries"] > 0, done.copied) == (True, 0)
    first = await counted(loop, FORK)
    late = await loop.report(of(OLD), {"description": "Reported by a process that knew only the old name"})
    again = await gateway.call(services.projects.merge_projects, OLD, FORK, dry_run=False)
    assert (
        again.carried["issues"]
        == len(late.issues)
        == (await counted(loop, FORK))["agent_issues"] - first["agent_issues"]
    )
    assert set(lessons) <= {row["id"] for row in await loop.rows(lesson_table) if row["project"] == FORK}
    assert await served(gateway, OLD) == await served(gateway, FORK)
    await gateway.call(services.projects.remove_alias, OLD, dry_run=False)
    assert set(await served(gateway, OLD)) == {RULE, OTHER}
    with pytest.raises(NotFound):
        await gateway.call(services.projects.remove_alias, OLD, dry_run=False)
    await loop.assert_healthy()


def _fail(*_: object) -> int:
    raise RuntimeError("the process ends here")


async def test_a_call_that_is_sent_again_after_a_merge_is_not_done_twice(loop: Loop, gateway: Gateway) -> None:
    report = Report.model_validate(
        {"issues": [{"description": "The cache is never emptied"}], "idempotency_key": "once"}
    )
    await loop.learn(of(FORK), RULE)
    first = await gateway.call_for(of(OLD), None, services.report.report_issues, report)
    await gateway.call(services.projects.merge_projects, OLD, FORK, dry_run=False)
    assert await gateway.call_for(of(OLD), None, services.report.report_issues, report) == first


async def test_what_cannot_be_named_is_said(loop: Loop, work: Workspace, gateway: Gateway, agent: Caller) -> None:
    await loop.learn(of(OLD), RULE)
    with pytest.raises(Forbidden):
        await services.projects.alias_project(work, agent, NEW, OLD)
    with pytest.raises(NotFound, match="project list"):
        await gateway.call(services.projects.alias_project, NEW, "github.com/nobody/none")
    for name in ("", "*", "x" * 201, "a\x07b"):
        with pytest.raises(InvalidInput):
            await gateway.call(services.projects.alias_project, name, OLD)
    with pytest.raises(InvalidInput, match="the same project"):
        await gateway.call(services.projects.merge_projects, OLD, OLD)


async def test_the_doctor_hints_at_a_project_that_may_be_this_one_under_another_name(loop: Loop) -> None:
    await loop.learn(of(OLD), RULE)
    found = await doctor_checks.diagnose(loop.work, Caller(FORK, "cli", person=True))
    assert [line for line in found.warnings if f"project alias {FORK} {OLD}" in line]
    assert not [line for line in (await doctor_checks.diagnose(loop.work, of(OLD))).warnings if "project alias" in line]
