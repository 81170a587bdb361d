"""Lift: its intervals cover the truth at every look."""

from dataclasses import replace
from math import inf
from random import Random

import pytest

from lessonbook.experiment.evidence import Evidence, Period
from lessonbook.experiment.lift import ALPHA, RunTotals, lift_of, margin, service_harms, service_lift


def test_without_exposures_nothing_is_known() -> None:
    assert lift_of(Evidence()).high == inf
    assert service_lift(RunTotals(), RunTotals(), 0.02).low == -inf
    assert margin(1.0, 0) == inf


def test_lift_is_the_mean_of_weighed_differences() -> None:
    evidence = Evidence(periods={0: Period(coins={0.8: (80, 20)}, splits={0.8: (4, 3)})})
    lift = lift_of(evidence)
    assert lift.mean == pytest.approx((3 / 0.2 - 4 / 0.8) / 100)
    assert lift.observations == 100
    assert lift.low < lift.mean < lift.high


def test_certain_exposures_say_nothing_of_lift() -> None:
    evidence = Evidence(periods={0: Period(coins={0.8: (80, 20)}, splits={0.8: (4, 3)})})
    more = replace(evidence.add_row(shown=True, p_show=1.0), certain=40, shown=40)
    assert lift_of(more) == lift_of(evidence)


def always_covered(dice: Random, p_show: float, base: float, rho: float) -> bool:
    truth = base * (1 - rho)
    rows = [0, 0]
    events = [0, 0]
    for number in range(1, 1_501):
        shown = dice.random() < p_show
        rows[not shown] += 1
        if dice.random() < base * (rho if shown else 1):
            events[not shown] += 1
        if number >= 100 and number % 10 == 0:
            period = Period(coins={p_show: (rows[0], rows[1])}, splits={p_show: (events[0], events[1])})
            lift = lift_of(Evidence(periods={0: period}))
            if not lift.low <= truth <= lift.high:
                return False
    return True


def test_the_interval_of_a_lesson_covers_the_truth_at_every_look() -> None:
    dice = Random(1)
    lives = 100
    assert sum(always_covered(dice, 0.7, 0.3, 0.6) for _ in range(lives)) >= (1 - ALPHA) * lives


def runs(dice: Random, count: int, issues: float) -> RunTotals:
    drawn = [sum(dice.random() < issues / 4 for _ in range(4)) for _ in range(count)]
    return RunTotals(count, sum(drawn), sum(one * one for one in drawn))


def test_a_service_that_causes_issues_is_found_out_and_one_that_does_nothing_is_not() -> None:
    dice = Random(2)
    held_out = runs(dice, 200, 0.5)
    assert service_harms(runs(dice, 9_800, 1.5), held_out, 0.02)
    assert not service_harms(runs(dice, 9_800, 0.5), held_out, 0.02)
    assert not service_harms(runs(dice, 9_800, 0.2), held_out, 0.02)


def test_few_held_out_runs_never_stop_the_service() -> None:
    served = RunTotals(5_000, 50_000, 600_000)
    assert not service_harms(served, RunTotals(20, 0, 0), 0.02)


def test_a_margin_shrinks_with_observations_and_grows_with_spread() -> None:
    assert margin(1.0, 100) > margin(1.0, 1_000) > margin(1.0, 10_000)
    assert margin(2.0, 100) == 2 * margin(1.0, 100)
