"""Health: an alarm that is hardly ever false, and that comes where one arm is checked less often than the other."""

from collections import Counter
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.experiment.arm_health import assigned_risk, health_e_value, is_unhealthy
from lessonbook.experiment.evidence import Split

LADDER = (0.05, 0.5, 0.9)


def of_rows(rows: list[tuple[bool, float]]) -> dict[float, Split]:
    counts = Counter(rows)
    return {p: (counts[True, p], counts[False, p]) for p in LADDER}


@given(st.integers(1, 7), st.integers(0, 2), st.integers(1, 5))
def test_the_e_value_is_a_martingale_whatever_the_propensities_follow(rows: int, start: int, turn: int) -> None:
    """Each coin's chance may depend on all that came before: the expectation stays one, here over every outcome."""
    expected = 0.0
    for outcome in product((True, False), repeat=rows):
        chance, at = 1.0, start
        seen: list[tuple[bool, float]] = []
        for shown in outcome:
            p = LADDER[at % len(LADDER)]
            chance *= p if shown else 1 - p
            seen.append((shown, p))
            at += turn if shown else 1
        expected += chance * health_e_value(of_rows(seen))
    assert expected == pytest.approx(1.0)


def alarmed_at(dice: Random, back: tuple[float, float], p: float, rows: int) -> int | None:
    """Return at which row the alarm is raised where shown and withheld rows come back with these chances."""
    coins = [0, 0]
    for number in range(rows):
        shown = dice.random() < p
        coins[not shown] += dice.random() < back[not shown]
        if number % 20 == 0 and is_unhealthy({p: (coins[0], coins[1])}):
            return number
    return None


@pytest.mark.parametrize("p", [0.5, 0.95])
def test_no_alarm_where_the_arms_are_alike(p: float) -> None:
    dice = Random(7)
    assert not any(alarmed_at(dice, (0.8, 0.8), p, 2_000) for _ in range(60))


@pytest.mark.parametrize(("p", "rows"), [(0.5, 400), (0.9, 1_500)])
def test_an_alarm_where_withheld_runs_come_back_half_as_often(p: float, rows: int) -> None:
    dice = Random(8)
    assert sum(alarmed_at(dice, (0.8, 0.4), p, rows) is not None for _ in range(30)) >= 27


def test_overwhelming_differences_do_not_overflow() -> None:
    assert is_unhealthy({0.02: (50_000, 0)})


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_an_arms_risk_lies_within_its_bounds_whichever_rows_come_back(
    rows: list[tuple[bool, bool]],
) -> None:
    """Rows are (came back, has an event); an event of a row that did not come back is not seen."""
    checked = sum(back for back, _ in rows)
    low, high = assigned_risk(len(rows), checked, sum(back and event for back, event in rows))
    assert 0 <= low <= sum(event for _, event in rows) / len(rows) <= high <= 1
    assert high - low == pytest.approx(1 - checked / len(rows))
