"""The state of a lesson, in one word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.lesson_status import Status
from lessonbook.domain.vocabulary import EffectState
from lessonbook.experiment.effect import effect_of
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.lesson_state import standing
from tests.experiment.evidences import EVIDENCE, counted

HELPS, HARMS = counted({0.5: (30, 120)}, rows=(400, 400)), counted({0.5: (120, 30)}, rows=(400, 400))
BOTH, FEW = counted({0.5: (30, 30)}, rows=(400, 400)), counted({0.5: (2, 7)}, rows=(400, 400))


@pytest.mark.parametrize(
    ("evidence", "status", "obstacle", "alarm", "state"),
    [
        (Evidence(), None, "Nobody reports.", "", "not_measured"),
        (Evidence(), None, "", "", "not_enough_data"),
        (FEW, None, "", "", "not_enough_data"),
        (HELPS, "active", "", "", "helps"),
        (HARMS, "probation", "", "", "harms"),
        (BOTH, "active", "", "", "undecided"),
        (HELPS, "active", "Nobody reports any more.", "", "helps"),
        (HARMS, "retired", "", "", "retired"),
        (HELPS, "active", "", "Arms are unlike.", "unhealthy"),
        (HARMS, "retired", "", "Arms are unlike.", "unhealthy"),
    ],
)
def test_a_lesson_is_in_one_state(
    evidence: Evidence, status: Status | None, obstacle: str, alarm: str, state: EffectState
) -> None:
    told = standing(evidence, effect_of(evidence), status=status, obstacle=obstacle, alarm=alarm)
    assert (told.state, told.events) == (state, evidence.events)
    assert told.reason.endswith(".")


@given(EVIDENCE)
def test_a_prior_is_never_told_as_a_result(evidence: Evidence) -> None:
    told = standing(evidence, effect_of(evidence))
    if evidence.events < 10:
        assert told.state == "not_enough_data"
        assert told.runs_to_go is not None
        assert told.runs_to_go > 0


def test_an_effect_that_rests_on_one_reporter_says_so() -> None:
    alone, two = counted({0.5: (30, 120)}, reporters=1), HELPS
    assert "one reporter" in standing(alone, effect_of(alone)).reason
    assert "one reporter" not in standing(two, effect_of(two)).reason


@given(st.integers(0, 9))
def test_where_no_coin_is_tossed_no_number_of_runs_will_tell(events: int) -> None:
    evidence = counted({0.5: (events, 0)}, rows=(50, 50))
    assert standing(evidence, effect_of(evidence), obstacle="Nobody reports.").runs_to_go is None
