import pytest

from lessonbook.models.lesson import Caller
from lessonbook.models.loop import LessonQuery, Report, ReportedIssue
from lessonbook.services import report, serve
from lessonbook.services.workspace import Workspace

pytestmark = pytest.mark.anyio


async def test_a_lesson_reported_now_is_served_on_the_next_call(work: Workspace, agent: Caller) -> None:
    before = await serve.get_lessons(work, agent, LessonQuery(agent_name="BackendDevelopmentAgent"))
    assert before.lessons == []
    issue = ReportedIssue(description="SQL from an f-string", rule_id="bandit:B608")
    await report.report_issues(work, agent, Report(agent_name="BackendDevelopmentAgent", issues=[issue]))
    after = await serve.get_lessons(work, agent, LessonQuery(agent_name="BackendDevelopmentAgent"))
    assert [lesson.trust for lesson in after.lessons] == ["curated"]
