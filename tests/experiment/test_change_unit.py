"""Several runs of one change are one row, or a crossover."""

from itertools import product
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.experiment.change_unit import Assigned, agreed

CHANCES = st.lists(st.floats(0.02, 0.98), min_size=1, max_size=5)


@given(CHANCES)
def test_the_propensity_of_a_change_is_the_share_shown_among_changes_that_agree(chances: list[float]) -> None:
    shown = kept = 0.0
    for outcome in product((True, False), repeat=len(chances)):
        chance = prod(p if is_shown else 1 - p for is_shown, p in zip(outcome, chances, strict=True))
        row = agreed([Assigned(is_shown, p) for is_shown, p in zip(outcome, chances, strict=True)])
        assert (row is None) == (len(set(outcome)) > 1)
        if row is not None:
            kept += chance
            shown += chance * row.shown
    row = agreed([Assigned(True, p) for p in chances])
    assert row is not None
    assert row.p_show == pytest.approx(shown / kept)


@given(st.floats(0.01, 0.99), st.booleans())
def test_a_change_of_one_run_is_that_run(p: float, shown: bool) -> None:
    row = agreed([Assigned(shown, p)])
    assert row is not None
    assert (row.shown, row.p_show) == (shown, pytest.approx(p))
