"""The vectorised lives of a lesson are those that the product's functions would lead."""

from typing import Final

import numpy as np
import pytest
from bench.learning.grid import WEEK_ROWS, Cell, lived, of_rows

from lessonbook.experiment.arm_health import is_unhealthy
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.retirement import ALPHA, e_value
from lessonbook.experiment.told_interval import told_ratios

ROWS: Final = 1_500


@pytest.mark.parametrize(
    "cell", [Cell(0.5, 0.9, (0.8, 0.3)), Cell(2.0, 0.5, (0.8, 0.8)), Cell(0.8, 0.5, (0.8, 0.5))], ids=str
)
def test_a_vectorised_life_is_that_of_the_products_functions(cell: Cell) -> None:
    life = lived(cell, np.random.default_rng(4), ROWS)
    evidence = Evidence()
    rows = list(zip(life.shown.tolist(), life.event.tolist(), strict=True))
    weeks = np.arange(len(rows)) // WEEK_ROWS
    own = of_rows(life.shown, life.event, weeks, cell.p_show)
    expected = iter(own.share.tolist())
    misses = iter(own.misses(cell.rho).tolist())
    alarm, retired = own.alarm(cell.p_show), own.retirement()
    for number, (shown, event) in enumerate(rows):
        week = int(weeks[number])
        share = evidence.share(cell.p_show, week)
        evidence = evidence.add_row(shown=shown, p_show=cell.p_show, period=week)
        if number % 10 == 0 or number == alarm:
            assert not is_unhealthy(evidence.total().coins) or number >= alarm
            assert number != alarm or is_unhealthy(evidence.total().coins)
        if event:
            assert next(expected) == pytest.approx(share)
            evidence = evidence.add_event(shown=shown, share=share, reporter="ci", period=week)
            low, high = told_ratios(evidence.verified)
            assert next(misses) == (not low <= cell.rho <= high)
            assert e_value(evidence) < 1 / ALPHA or number >= retired
            assert number != retired or e_value(evidence) >= 1 / ALPHA
