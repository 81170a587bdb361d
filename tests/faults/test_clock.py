"""A clock that jumps, as those of machines that slept do: nothing is done twice, lost or out of order."""

from datetime import timedelta

import pytest

from lessonbook.domain.agent_tools import Application, LessonQuery
from lessonbook.domain.lesson import Caller
from lessonbook.services.background import doctor_checks, maintenance
from lessonbook.services.feedback import applications
from lessonbook.services.serve import delivery
from lessonbook.services.workspace import Workspace
from tests.conftest import Clock
from tests.store.scenario import AGENT, counted, issue, tell

pytestmark = pytest.mark.anyio

JUMPS = ({"days": -2}, {"hours": 3}, {"days": 400}, {"days": -400}, {"seconds": -1}, {"days": 30})


async def test_the_loop_turns_while_the_clock_jumps(
    work: Workspace, clock: Clock, agent: Caller, qa: Caller, person: Caller
) -> None:
    for number, jump in enumerate(JUMPS):
        key = f"k{number}"
        made = await tell(work, agent, issue(number), idempotency_key=key)
        lesson_id = made.issues[0].lesson_id or ""
        served = await delivery.get_lessons(work, agent, LessonQuery(agent_name=AGENT, task="uploads", run_id=key))
        clock.go_on(**jump)
        verdict = Application(
            run_id=key, lesson_ids=[lesson_id], prevented_issue=True, source="qa", idempotency_key=key
        )
        told = await applications.record_application(work, qa, verdict)
        assert await applications.record_application(work, qa, verdict) == told
        again = await delivery.get_lessons(work, agent, LessonQuery(agent_name=AGENT, task="uploads", run_id=key))
        assert again.prompt_section == served.prompt_section
        if timedelta(**jump) < timedelta(days=1):  # later a key is forgotten
            assert await tell(work, agent, issue(number), idempotency_key=key) == made
        await maintenance.keep_up(work, person)
        assert (await doctor_checks.diagnose(work)).faults == []
    rows = await counted(work.store)
    assert rows["agent_issues"] == rows["agent_lessons"] == rows["agent_refinement_runs"] == len(JUMPS)
    assert rows["agent_runs"] == len(JUMPS)
