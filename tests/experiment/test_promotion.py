"""Status: moved by evidence, back and forth, and retired only with a guarantee."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.lesson_status import Status
from lessonbook.experiment.effect import effect_of
from lessonbook.experiment.evidence import Evidence, SideCounts
from lessonbook.experiment.prior import DEFAULT_PRIOR
from lessonbook.experiment.promotion import OTHERS_EVENTS_MIN, next_status
from lessonbook.experiment.serving_policy import Appraisal
from tests.experiment.evidences import counted


def known(p_positive: float, evidence: Evidence) -> Appraisal:
    return Appraisal(0.5, p_positive, 0.1, 0.01, evidence, DEFAULT_PRIOR)


TEN, NINE = counted({0.5: (3, 7)}, rows=(50, 50)), counted({0.5: (3, 6)}, rows=(50, 50))
DAMNING = counted({0.5: (60, 10)}, rows=(50, 50))
BREAKS = replace(TEN, side={0.5: SideCounts(1_000, 500, 1_000, 300)})


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
        ("active", 0.99, BREAKS, "probation"),
        ("probation", 0.99, BREAKS, None),
    ],
)
def test_a_lesson_moves_at_the_thresholds(
    status: Status, p_positive: float, evidence: Evidence, to: str | None
) -> None:
    move = next_status(status, known(p_positive, evidence))
    assert (move and move.to) == to
    if move:
        assert move.reason
        assert move.numbers["p_positive"] == p_positive
        assert move.numbers["events"] == evidence.events


@given(st.floats(0, 1), st.sampled_from([TEN, DAMNING]))
def test_a_pinned_lesson_is_never_moved(p_positive: float, evidence: Evidence) -> None:
    assert next_status("active", known(p_positive, evidence), pinned=True) is None


@pytest.mark.parametrize("status", ["quarantined", "suspended", "retired", "expired", "superseded", "rejected"])
def test_evidence_moves_no_lesson_that_is_not_served(status: Status) -> None:
    assert next_status(status, known(0.1, DAMNING)) is None


def reported(by: dict[str, tuple[int, int]]) -> Evidence:
    """Return evidence at even odds, by reporter: events while shown, and while withheld."""
    return Evidence(reporters={name: {0.5: split} for name, split in by.items()})


@pytest.mark.parametrize(("p_positive", "events"), [(0.99, (20, 60)), (0.1, (60, 10))])
def test_one_reporter_alone_moves_nothing_up_and_retires_nothing(p_positive: float, events: tuple[int, int]) -> None:
    alone = reported({"ci": events})
    status: Status = "probation" if p_positive > 0.5 else "active"
    for named in ([], ["qa"]):
        move = next_status(status, known(p_positive, alone), named=named)
        assert move is None or move.action == "demote"  # which is reversible
    move = next_status(status, known(p_positive, alone), named=["ci"])
    assert move is not None
    assert move.to == ("active" if p_positive > 0.5 else "retired")


@given(st.tuples(st.integers(0, 40), st.integers(0, 40)))
def test_a_promotion_holds_without_any_one_reporter(others: tuple[int, int]) -> None:
    """However much one reporter says, the others have to say the same, a little."""
    evidence = reported({"loud": (20, 60), "other": others})
    move = next_status("probation", known(0.99, evidence))
    leans = effect_of(reported({"other": others})).mean > 0
    assert (move is not None) == (sum(others) >= OTHERS_EVENTS_MIN and leans)


def test_a_demotion_may_rest_on_one_reporter_since_it_is_reversible() -> None:
    move = next_status("active", known(0.2, reported({"ci": (9, 3)})))
    assert move is not None
    assert move.to == "probation"
