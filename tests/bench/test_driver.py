"""What is simulated is what ships: the simulator's driver and the product's shelf appraise a lesson alike."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from bench.learning.draws import draw
from bench.learning.driver import Lessonbook
from bench.learning.simulation import simulate
from bench.learning.world import World

from lessonbook.domain.lesson import Lesson
from lessonbook.experiment.ranking import SEVERITY_WEIGHTS
from lessonbook.services.cache.measured import Measure
from lessonbook.store.rollups import week_of
from lessonbook.store.stats import Exposure
from tests.services.cache.test_shelf import lesson

NOW = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = week_of(NOW.date())


@pytest.fixture(scope="module")
def driver() -> Lessonbook:
    """A driver after a short life in a small world, in which coins are tossed from the first checks on."""
    world = World(lessons=12, delay_runs=5, base_rate=(0.1, 0.5), tokens=(100, 100), flag_if_side_effect=0.9)
    draws = draw(world, 3, 900)
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
    for number, evidence in enumerate(driver.evidence):
        known = stored(driver, number)
        measure = Measure("simulated", known.agent_name, "auto")
        measure.know(known, {WEEK: Exposure(deliveries=evidence.shown, shown=evidence.shown)}, driver.priors, NOW)
        product, simulated = measure.appraised(known, exempt=False), driver.appraisal(number)
        assert product.p_show == simulated.p_show
        assert product.p_positive == pytest.approx(simulated.p_positive)
        assert product.value(0.8) == pytest.approx(simulated.value(0.8))
        propensities.add(product.p_show)
    assert len(propensities) > 1
