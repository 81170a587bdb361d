"""What is believed of a lesson from its periods: by which events came, and by how many."""

from math import log

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lessonbook.experiment.evidence import Evidence, Period
from lessonbook.experiment.likelihood import Belief, believed, rate_logs, seen_in, tally_of
from lessonbook.experiment.prior import DEFAULT_PRIOR
from lessonbook.experiment.rho_grid import GRID_POINTS, RHO, normalised, split_logs
from tests.experiment.evidences import EVIDENCE, with_certain

FOREVER = 1e12


def period(shown: int, withheld: int, *, p_show: float = 0.5, of_shown: int = 30, of_withheld: int = 30) -> Period:
    return Period(coins={p_show: (of_shown, of_withheld)}, splits={p_show: (shown, withheld)})


def mean_rho(belief: Belief) -> float:
    return sum(weight * rho for weight, rho in zip(belief.weights, RHO, strict=True))


def mean_base(belief: Belief) -> float:
    return sum(weight * base for weight, base in zip(belief.weights, belief.bases, strict=True))


def nearly_always_shown(*events: int) -> Evidence:
    periods = {n: period(some, 0, p_show=0.98, of_shown=60, of_withheld=1) for n, some in enumerate(events)}
    return Evidence(periods=periods)


@given(EVIDENCE, st.integers(0, 8), st.floats(0, 0.2), st.floats(1, 50))
@examples(max_examples=40, deadline=None)
def test_beliefs_are_probabilities_and_rates(evidence: Evidence, now: int, hazard: float, half_life: float) -> None:
    belief = believed(evidence, DEFAULT_PRIOR, now, hazard, half_life)
    assert len(belief.weights) == len(belief.bases) == GRID_POINTS
    assert sum(belief.weights) == pytest.approx(1.0)
    assert all(weight >= 0 for weight in belief.weights)
    assert all(rate > 0 for rate in belief.bases)


@given(EVIDENCE)
@examples(max_examples=20, deadline=None)
def test_what_the_periods_say_may_be_computed_beforehand(evidence: Evidence) -> None:
    seen = seen_in(evidence)
    assert believed(evidence, DEFAULT_PRIOR, 6, 0.04, 20.0, seen=seen) == believed(
        evidence, DEFAULT_PRIOR, 6, 0.04, 20.0
    )


def test_one_period_is_believed_as_the_posterior_says() -> None:
    evidence = Evidence(periods={3: period(4, 9)})
    tally = tally_of(evidence, 3, FOREVER)
    rows = zip(DEFAULT_PRIOR.rho_weights, split_logs(tally.splits), rate_logs(tally, DEFAULT_PRIOR), strict=True)
    expected = normalised([log(weight) + split + rate for weight, split, rate in rows])
    belief = believed(evidence, DEFAULT_PRIOR, 3, 0.1, 20)
    assert belief.weights == pytest.approx(expected)
    bases = [(DEFAULT_PRIOR.base_shape + 13) / (DEFAULT_PRIOR.base_exposures + 30 + 30 * rho) for rho in RHO]
    assert belief.bases == pytest.approx(bases)


def test_where_nothing_changes_the_order_of_periods_does_not_matter() -> None:
    one, other = period(2, 7), period(6, 5, of_shown=50, of_withheld=20)
    first = believed(Evidence(periods={0: one, 1: other}), DEFAULT_PRIOR, 1, 0.0, FOREVER)
    second = believed(Evidence(periods={0: other, 1: one}), DEFAULT_PRIOR, 1, 0.0, FOREVER)
    assert first.weights == pytest.approx(second.weights)
    assert first.bases == pytest.approx(second.bases)


def test_a_lesson_nearly_always_shown_is_found_out_when_its_issue_comes_more_often() -> None:
    before = [5] * 6
    steady = believed(nearly_always_shown(*before, 5, 5), DEFAULT_PRIOR, 7, 0.04, 20.0)
    worse = believed(nearly_always_shown(*before, 16, 16), DEFAULT_PRIOR, 7, 0.04, 20.0)
    assert mean_rho(steady) < 1 < mean_rho(worse)
    assert mean_rho(worse) > 1.2 * mean_rho(steady)


def test_rows_without_a_coin_tell_how_often_the_issue_comes_up() -> None:
    unknown, never, often = (
        mean_base(believed(evidence, DEFAULT_PRIOR, 0, 0.04, 20.0))
        for evidence in (
            Evidence(),
            with_certain(Evidence(), 0, (80, 0)),
            with_certain(Evidence(), 0, (80, 30)),
        )
    )
    assert 2 * never < unknown < often / 2


def test_what_is_known_fades_with_time() -> None:
    evidence = Evidence(periods={0: period(20, 4)})
    soon, late = (believed(evidence, DEFAULT_PRIOR, now, 0.04, 20.0) for now in (0, 60))
    spread = [max(belief.weights) for belief in (soon, late)]
    assert spread[0] > spread[1]
    population = DEFAULT_PRIOR.base_shape / DEFAULT_PRIOR.base_exposures
    assert abs(late.bases[15] - population) < abs(soon.bases[15] - population)
