"""The interval that is told: it holds the truth at every look of nearly every life."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.experiment.rho_grid import shown_share
from lessonbook.experiment.told_interval import RHO_MOST, told_ratios

SPLITS = st.dictionaries(
    st.sampled_from([0.1, 0.5, 0.9]), st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=3
)


def covered_at_every_look(rho: float, dice: Random, events: int) -> bool:
    splits: dict[float, tuple[int, int]] = {}
    for _ in range(events):
        low, high = told_ratios(splits)
        if not low <= rho <= high:
            return False
        p = 0.95 if high < 1 else 0.1 if low > 1 else 0.5  # what is served follows what is told
        shown, withheld = splits.get(p, (0, 0))
        is_shown = dice.random() < shown_share(p, rho)
        splits[p] = (shown + is_shown, withheld + (not is_shown))
    return True


@pytest.mark.parametrize("rho", [0.4, 1.0, 1.8])
def test_the_interval_holds_the_truth_at_every_look_in_95_of_a_hundred_lives(rho: float) -> None:
    dice = Random(5)
    lives = 40
    assert sum(covered_at_every_look(rho, dice, 80) for _ in range(lives)) >= 0.95 * lives


def test_without_events_nothing_is_excluded() -> None:
    assert told_ratios({}) == (0.0, RHO_MOST)


@given(SPLITS, st.sampled_from([0.1, 0.5, 0.9]))
def test_an_event_while_shown_never_moves_an_end_down_by_much(splits: dict[float, tuple[int, int]], p: float) -> None:
    low, high = told_ratios(splits)
    assert 0 <= low < high <= RHO_MOST
    shown, withheld = splits.get(p, (0, 0))
    worse = told_ratios({**splits, p: (shown + 40, withheld)})
    better = told_ratios({**splits, p: (shown, withheld + 40)})
    assert worse[0] >= better[0]
    assert worse[1] >= better[1]


def test_many_events_tell_a_help_and_a_harm() -> None:
    assert told_ratios({0.5: (100, 300)})[1] < 0.6
    assert told_ratios({0.5: (300, 100)})[0] > 1.7
