"""Status: moved by evidence, back and forth, and retired only with a guarantee."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.lesson_status import Status
from lessonbook.experiment.evidence import Evidence, Period
from lessonbook.experiment.policy import Appraisal
from lessonbook.experiment.prior import DEFAULT_PRIOR
from lessonbook.experiment.promotion import next_status


def known(p_positive: float, evidence: Evidence) -> Appraisal:
    return Appraisal(0.5, p_positive, 0.1, 0.01, evidence, DEFAULT_PRIOR)


TEN = Evidence(periods={0: Period(shown=50, withheld=50, splits={0.5: (3, 7)})})
NINE = Evidence(periods={0: Period(shown=50, withheld=50, splits={0.5: (3, 6)})})
DAMNING = Evidence(verified={0.5: (60, 10)})


@pytest.mark.parametrize(
    ("status", "p_positive", "evidence", "to"),
    [
        ("probation", 0.9, TEN, "active"),
        ("probation", 0.89, TEN, None),
        ("probation", 0.99, NINE, None),
        ("active", 0.5, TEN, None),
        ("active", 0.49, TEN, "probation"),
        ("active", 0.1, DAMNING, "retired"),
        ("probation", 0.1, DAMNING, "retired"),
    ],
)
def test_a_lesson_moves_at_the_thresholds(
    status: Status, p_positive: float, evidence: Evidence, to: str | None
) -> None:
    move = next_status(status, known(p_positive, evidence), evidence)
    assert (move and move.to) == to
    if move:
        assert move.reason
        assert move.numbers["p_positive"] == p_positive
        assert move.numbers["events"] == evidence.events


@given(st.floats(0, 1), st.sampled_from([TEN, DAMNING]))
def test_a_pinned_lesson_is_never_moved(p_positive: float, evidence: Evidence) -> None:
    assert next_status("active", known(p_positive, evidence), evidence, pinned=True) is None


@pytest.mark.parametrize("status", ["quarantined", "suspended", "retired", "expired", "superseded", "rejected"])
def test_evidence_moves_no_lesson_that_is_not_served(status: Status) -> None:
    assert next_status(status, known(0.1, DAMNING), DAMNING) is None
