"""Projects and their names: an old name leads to the new one, and two become one."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from lessonbook import services
from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.domain.agent_tools import LessonQuery
from lessonbook.domain.audit_trail import AuditQuery
from lessonbook.domain.errors import Conflict, Forbidden, InvalidInput, NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.edges.access.gateway import Gateway
from lessonbook.services.background import doctor
from lessonbook.services.workspace import Workspace
from tests.services.conftest import AGENT, Loop

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
    trail = await gateway.call_for(replace(of(OLD), person=True), None, services.views.get_audit, AuditQuery())
    assert [entry.action for entry in trail.entries][:2] == ["project.rename", "project.alias"]
    await loop.assert_healthy()


async def test_a_merged_projects_lessons_and_name_go_to_the_other_and_come_back_with_the_alias(
    loop: Loop, gateway: Gateway, person: Caller
) -> None:
    kept = await loop.learn(of(OLD), RULE)
    await loop.review(replace(person, project=OLD), kept, "approve")
    await loop.learn(of(OLD), OTHER)
    await loop.learn(of(FORK), OTHER)
    planned = await gateway.call(services.projects.merge_projects, OLD, FORK)
    assert planned.dry_run
    assert await served(gateway, FORK) == [OTHER]
    done = await gateway.call(services.projects.merge_projects, OLD, FORK, dry_run=False)
    assert (done.copied, done.known) == (1, 1)
    assert set(await served(gateway, OLD)) == set(await served(gateway, FORK)) == {RULE, OTHER}
    await gateway.call(services.projects.remove_alias, OLD, dry_run=False)
    assert set(await served(gateway, OLD)) == {RULE, OTHER}
    with pytest.raises(NotFound):
        await gateway.call(services.projects.remove_alias, OLD, dry_run=False)
    await loop.assert_healthy()


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
    found = await doctor.diagnose(loop.work, Caller(FORK, "cli", person=True))
    assert [line for line in found.warnings if f"project alias {FORK} {OLD}" in line]
    assert not [line for line in (await doctor.diagnose(loop.work, of(OLD))).warnings if "project alias" in line]
