"""Power: how long it takes until something can be told."""

from random import Random
from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from lessonbook.experiment.power import events_to_tell, runs_to_tell
from lessonbook.experiment.rho_grid import shown_share
from lessonbook.experiment.told_interval import told_ratios


def events_until_told(dice: Random, p: float, rho: float) -> int:
    shown = withheld = 0
    while told_ratios({p: (shown, withheld)})[1] >= 1:
        for _ in range(5):
            is_shown = dice.random() < shown_share(p, rho)
            shown, withheld = shown + is_shown, withheld + (not is_shown)
    return shown + withheld


def test_the_expected_number_of_events_is_about_what_it_takes() -> None:
    dice = Random(3)
    taken = median(events_until_told(dice, 0.5, 0.5) for _ in range(40))
    assert taken / 1.6 < events_to_tell(0.5, 0.5) < taken * 1.6


@given(st.floats(0.05, 0.5), st.floats(0.3, 0.9))
def test_a_coin_nearer_to_even_and_a_larger_effect_take_fewer_events(p: float, ratio: float) -> None:
    assert events_to_tell(0.5, ratio) <= events_to_tell(p, ratio)
    assert events_to_tell(p, ratio) <= events_to_tell(p, ratio + 0.05)


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.sampled_from([0.5, 0.9, 0.98]))
def test_the_more_frequent_an_issue_the_fewer_runs_are_to_go(rows: int, events: int, p: float) -> None:
    to_go = runs_to_tell(rows=rows, events=min(events, rows), p_show=p)
    assert to_go >= 0
    assert runs_to_tell(rows=rows + 100, events=min(events, rows) + 100, p_show=p) <= to_go
