"""The effect of a lesson: the posterior against an integration of its own."""

from collections.abc import Iterable
from math import exp, log
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lessonbook.experiment.effect import EffectEstimate, effect_before, effect_of, prior_mean
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.population import fit_prior
from lessonbook.experiment.prior import PRIOR_MEAN, PRIOR_SD, Prior
from lessonbook.experiment.rho_grid import RHO_MAX, RHO_MIN, normal_logs, normalised
from lessonbook.experiment.told_interval import RHO_MOST, told_ratios
from tests.experiment.evidences import counted


class Assignment(NamedTuple):
    """One event's delivery: whether the lesson was shown, and with what probability."""

    shown: bool
    p_show: float


def with_events(events: Iterable[Assignment]) -> Evidence:
    evidence = Evidence()
    for event in events:
        evidence = evidence.add_event(shown=event.shown, share=event.p_show, reporter="ci")
    return evidence


def posterior(events: Iterable[Assignment], mean: float = PRIOR_MEAN) -> EffectEstimate:
    return effect_of(with_events(events), Prior(rho_weights=tuple(normalised(normal_logs(mean, PRIOR_SD)))))


EVENTS = st.lists(st.builds(Assignment, st.booleans(), st.floats(0.05, 0.95)), max_size=40)


def integrated(events: list[Assignment], mean: float = PRIOR_MEAN, points: int = 601) -> float:
    """Return the mean of 1 − ρ by a fine sum over log ρ."""
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
    return sum(weight * (1 - exp(log_rho)) for weight, log_rho in zip(weights, grid, strict=True)) / sum(weights)


@given(EVENTS)
@examples(max_examples=25, deadline=None)
def test_the_posterior_is_what_integration_gives(events: list[Assignment]) -> None:
    effect, expected = posterior(events), integrated(events)
    within = min(max(expected, effect.low), effect.high)
    assert 1 - effect.mean == pytest.approx(1 - within, rel=0.06)  # rate ratios
    assert effect.events == len(events)


@given(EVENTS, st.floats(-0.6, 0.2))
def test_the_interval_brackets_the_mean_and_stands_on_events_alone(events: list[Assignment], mean: float) -> None:
    effect = posterior(events, mean)
    assert effect.low <= effect.mean <= effect.high
    least, most = told_ratios(with_events(events).verified)
    assert (effect.low, effect.high) == (1 - most, 1 - least)


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


def test_without_events_only_the_prior_speaks() -> None:
    effect = effect_before()
    assert effect.mean == pytest.approx(integrated([]), abs=0.06)
    assert (effect.low, effect.high, effect.events) == (1 - RHO_MOST, 1.0, 0)


def test_much_evidence_beats_the_prior() -> None:
    helps = [Assignment(shown=number % 4 == 0, p_show=0.5) for number in range(400)]  # 100 shown, 300 withheld: ρ = 1/3
    effect = posterior(helps)
    assert effect.mean == pytest.approx(2 / 3, abs=0.05)
    assert effect.high - effect.low < 0.35
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
    good = counted({0.5: (20, 40)}, rows=(200, 200))
    prior = fit_prior([good] * 40)
    assert effect_of(Evidence(), prior).mean > effect_of(Evidence()).mean
    harmful = counted({0.5: (80, 40)}, rows=(200, 200))
    assert effect_of(harmful, prior).mean < 0
