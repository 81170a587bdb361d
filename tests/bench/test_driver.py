"""What is simulated is what ships: the simulator's driver and the product's shelf appraise a lesson alike."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from statistics import fmean
from typing import Any

import pytest
from bench.learning.draws import GENERIC_RATE, KINDS, Draws, draw
from bench.learning.driver import Lessonbook
from bench.learning.simulation import simulate
from bench.learning.world import World

from lessonbook.domain.lesson import Lesson
from lessonbook.experiment.lesson_value import SEVERITY_WEIGHTS
from lessonbook.services.cache.evidence import Measure
from lessonbook.store.rollups import week_of
from lessonbook.store.stats import Exposure
from tests.services.cache.test_shelf import lesson

NOW = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = week_of(NOW.date())


@pytest.fixture(scope="module")
def driver() -> Lessonbook:
    """A driver after a short life in a small world, in which coins are tossed from the first checks on."""
    world = World(lessons=12, delay_runs=5, base_rate=(0.1, 0.5), tokens=(100, 100), flag_if_side_effect=0.9)
    draws = draw(world, 3, 600)
    driver = Lessonbook(draws, runs_min=1)
    simulate(draws, driver)
    driver.appraisals.clear()
    return driver


def stored(driver: Lessonbook, number: int) -> Lesson:
    """Return the lesson as the product would have it in its database, this week being the driver's last."""
    evidence = driver.evidence[number]
    weeks = {WEEK - driver.week + period: counts for period, counts in evidence.periods.items()}
    severity = {weight: severity for severity, weight in SEVERITY_WEIGHTS.items()}[driver.weight[number]]
    return replace(
        lesson(number, severity, 0.0, 0, "security", "probation"),
        token_count=driver.tokens[number],
        flags=driver.flags[number],
        evidence=replace(evidence, periods=weeks, shown=0, flags=0).to_document(),
    )


def test_for_the_same_evidence_driver_and_product_give_the_same_propensity(driver: Lessonbook) -> None:
    propensities = set()
    background = driver.priors.background
    rates = {WEEK - driver.week + period: rate for period, rate in background.rates.items()}
    priors = replace(driver.priors, background=background._replace(rates=rates))
    for number, evidence in enumerate(driver.evidence):
        known = stored(driver, number)
        measure = Measure("simulated", known.agent_name, "auto")
        measure.know(known, {WEEK: Exposure(deliveries=evidence.shown, shown=evidence.shown)}, priors, NOW)
        product, simulated = measure.appraised(known, exempt=False), driver.appraisal(number)
        assert product.p_show == simulated.p_show
        assert product.p_positive == pytest.approx(simulated.p_positive)
        assert product.value(0.8) == pytest.approx(simulated.value(0.8))
        propensities.add(product.p_show)
    assert len(propensities) > 1


@cache
def lived(**keys: Any) -> Lessonbook:
    """Return a driver after a short life in a small world that differs from the mixed one in `keys`."""
    draws = draw(World(lessons=8, delay_runs=5, base_rate=(0.1, 0.5), **keys), 5, 200)
    driver = Lessonbook(draws, runs_min=1)
    simulate(draws, driver)
    return driver


def rows_of(driver: Lessonbook) -> int:
    return sum(evidence.rows for evidence in driver.evidence)


def test_reports_that_come_only_with_findings_check_nothing() -> None:
    triggered = lived(reporters="triggered")
    assert not triggered.tosses
    assert rows_of(triggered) == 0 < rows_of(lived())


def test_what_comes_back_late_or_not_at_all_is_no_evidence() -> None:
    assert rows_of(lived(late_checks=1.0)) == 0
    assert rows_of(lived(attribution=(0.0, 0.0))) == 0
    assert 0 < rows_of(lived(falls_silent=100.0)) < 0.7 * rows_of(lived())


def test_the_runs_of_a_change_are_one_row() -> None:
    alone, three = lived(), lived(runs_per_change=3)
    changes = 200 // 3 + 1
    assert all(evidence.rows <= changes for evidence in three.evidence)
    assert 0 < rows_of(three) < rows_of(alone)


def test_lessons_that_break_something_else_are_served_less_where_no_agent_says_anything() -> None:
    shares: dict[str, Any] = {"good": 0.0, "useless": 0.75, "backfire": 0.0, "side": 0.25}
    world = World(lessons=12, **shares, side_rate=(0.3, 0.3), present_at_start=1.0, declared=False)
    draws = draw(world, 1, 2_500)
    driver = Lessonbook(draws)
    simulate(draws, driver)
    side = KINDS.index("side")
    chances: list[list[float]] = [[], []]
    for number, kind in enumerate(draws.lessons.kind.tolist()):
        chances[kind == side].append(driver.appraisal(number).p_show)
    harmless, harmful = chances
    assert fmean(harmful) < fmean(harmless) / 4


def test_kinds_of_task_that_fail_more_often_do_so_whatever_lessons_they_get() -> None:
    draws = draw(World(lessons=8, trouble_sd=1.0), 5, 2_000)
    plain = draw(World(lessons=8), 5, 2_000)
    assert draws.chances == plain.chances
    assert plain.generic_rates == [GENERIC_RATE] * 2_000
    rates = [draws.generic_rates[_only(draws, lesson)] for lesson in range(8)]
    assert max(rates) > 3 * min(rates)


def _only(draws: Draws, lesson: int) -> int:
    """Return a run for which this lesson alone was found."""
    return next(run for run, some in enumerate(draws.chances) if [chance.lesson for chance in some] == [lesson])


def test_agents_that_say_nothing_leave_no_statements() -> None:
    silent = lived(declared=False)
    assert all(not evidence.flags and not evidence.total().applied for evidence in silent.evidence)
    assert any(evidence.total().applied for evidence in lived().evidence)
