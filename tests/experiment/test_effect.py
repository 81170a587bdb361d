"""The effect of a lesson: the posterior against an integration of its own."""

from collections.abc import Iterable
from math import exp, log
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lessonbook.experiment.effect import EffectEstimate, effect_before, effect_of, prior_mean
from lessonbook.experiment.evidence import Evidence, Period
from lessonbook.experiment.grid import RHO_MAX, RHO_MIN, normal_logs, normalised, shown_share
from lessonbook.experiment.population import fit_prior
from lessonbook.experiment.prior import PRIOR_MEAN, PRIOR_SD, Prior


class Assignment(NamedTuple):
    """One event's delivery: whether the lesson was shown, and with what probability."""

    shown: bool
    p_show: float


def posterior(events: Iterable[Assignment], mean: float = PRIOR_MEAN) -> EffectEstimate:
    evidence = Evidence()
    for event in events:
        evidence = evidence.add_event(shown=event.shown, p_show=event.p_show, verified=False)
    return effect_of(evidence, Prior(rho_weights=tuple(normalised(normal_logs(mean, PRIOR_SD)))))


EVENTS = st.lists(st.builds(Assignment, st.booleans(), st.floats(0.05, 0.95)), max_size=40)


def integrated(events: list[Assignment], mean: float = PRIOR_MEAN, points: int = 601) -> tuple[float, float, float]:
    """Return mean, 2.5 % and 97.5 % quantiles of 1 − ρ by a fine sum over log ρ."""
    step = (log(RHO_MAX) - log(RHO_MIN)) / (points - 1)
    grid = [log(RHO_MIN) + index * step for index in range(points)]
    logs = []
    for log_rho in grid:
        rho, weight = exp(log_rho), -0.5 * ((log_rho - mean) / PRIOR_SD) ** 2
        for event in events:
            share = event.p_show * rho / (event.p_show * rho + 1 - event.p_show)
            weight += log(share if event.shown else 1 - share)
        logs.append(weight)
    top = max(logs)
    weights = [exp(weight - top) for weight in logs]
    total, below, quantiles = sum(weights), 0.0, []
    for weight, log_rho in zip(weights, grid, strict=True):
        below += weight
        while len(quantiles) < 2 and below >= (0.025, 0.975)[len(quantiles)] * total:
            quantiles.append(1 - exp(log_rho))
    expected = sum(weight * (1 - exp(log_rho)) for weight, log_rho in zip(weights, grid, strict=True)) / total
    return expected, quantiles[1], quantiles[0]


@given(EVENTS)
@examples(max_examples=25, deadline=None)
def test_the_posterior_is_what_integration_gives(events: list[Assignment]) -> None:
    effect, expected = posterior(events), integrated(events)
    told = (effect.mean, effect.low, effect.high)
    assert [1 - bound for bound in told] == pytest.approx([1 - bound for bound in expected], rel=0.06)  # rate ratios
    assert effect.events == len(events)


@given(EVENTS, st.floats(-0.6, 0.2))
def test_the_interval_brackets_the_mean(events: list[Assignment], mean: float) -> None:
    effect = posterior(events, mean)
    assert 1 - RHO_MAX - 1e-9 <= effect.low < effect.mean < effect.high <= 1 - RHO_MIN + 1e-9


@given(EVENTS, st.floats(0.05, 0.95))
def test_an_event_while_shown_speaks_against_a_lesson_and_one_while_withheld_for_it(
    events: list[Assignment], p_show: float
) -> None:
    effect = posterior(events).mean
    assert posterior([*events, Assignment(shown=True, p_show=p_show)]).mean < effect
    assert posterior([*events, Assignment(shown=False, p_show=p_show)]).mean > effect


@given(EVENTS, st.randoms(use_true_random=False))
def test_the_order_of_events_does_not_matter(events: list[Assignment], dice) -> None:
    shuffled = list(events)
    dice.shuffle(shuffled)
    assert posterior(shuffled).mean == pytest.approx(posterior(events).mean)


@given(EVENTS, st.lists(st.builds(Assignment, st.booleans(), st.sampled_from([0.0, 1.0])), max_size=10))
def test_certain_deliveries_tell_nothing(events: list[Assignment], certain: list[Assignment]) -> None:
    assert posterior([*certain, *events]) == posterior(events)


def test_without_events_only_the_prior_speaks() -> None:
    effect = effect_before()
    mean, low, high = integrated([])
    assert (effect.mean, effect.low, effect.high) == pytest.approx((mean, low, high), abs=0.06)
    assert effect.events == 0
    assert effect.low < 0 < effect.mean < effect.high


def test_much_evidence_beats_the_prior() -> None:
    helps = [Assignment(shown=number % 4 == 0, p_show=0.5) for number in range(400)]  # 100 shown, 300 withheld: ρ = 1/3
    effect = posterior(helps)
    assert effect.mean == pytest.approx(2 / 3, abs=0.05)
    assert effect.high - effect.low < 0.25
    harms = [Assignment(shown=not event.shown, p_show=0.5) for event in helps]  # ρ = 3
    assert posterior(harms).high < 0


@given(st.integers(0, 500), st.integers(0, 500))
def test_verdicts_move_the_prior_a_little_and_in_their_direction(prevented: int, missed: int) -> None:
    verified = prevented + missed
    mean = prior_mean(verified, prevented)
    assert abs(mean - PRIOR_MEAN) < 0.4
    assert prior_mean(verified + 1, prevented + 1) < prior_mean(verified + 1, prevented)
    if prevented == missed:
        assert mean == PRIOR_MEAN
    else:
        assert (mean < PRIOR_MEAN) == (prevented > missed)


def test_the_effect_of_a_lesson_leans_on_the_population_and_gives_way_to_its_own_events() -> None:
    good = Evidence(periods={0: Period(shown=200, withheld=200, splits={0.5: (20, 40)})})
    prior = fit_prior([good] * 40)
    assert effect_of(Evidence(), prior).mean > effect_of(Evidence()).mean
    harmful = Evidence(periods={0: Period(shown=200, withheld=200, splits={0.5: (80, 40)})})
    assert effect_of(harmful, prior).mean < 0


def test_intervals_cover_what_is_true_as_often_as_they_say() -> None:
    dice = Random(4)
    covered = 0
    for _ in range(200):
        rho = exp(dice.gauss(PRIOR_MEAN, PRIOR_SD))
        evidence = Evidence()
        for _ in range(60):
            p_show = dice.choice((0.2, 0.5, 0.9))
            shown = dice.random() < shown_share(p_show, rho)
            evidence = evidence.add_event(shown=shown, p_show=p_show, verified=False)
        told = effect_of(evidence)
        covered += told.low <= 1 - rho <= told.high
    assert covered >= 183
