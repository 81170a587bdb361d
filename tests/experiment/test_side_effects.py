"""Side effects: a difference of arms, which unequal checking does not invent."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.experiment.evidence import Evidence, SideCounts
from lessonbook.experiment.side_effects import (
    SPREAD_MIN,
    UNKNOWN,
    SideEffect,
    of_lesson,
    pooled,
    shrunk,
    side_effect_of,
)

COUNTS = st.builds(
    lambda n, m, a, b: SideCounts(n, min(a, n), m, min(b, m)),
    *(st.integers(1, 300) for _ in range(4)),
)
SIDE = st.dictionaries(st.sampled_from([0.1, 0.5, 0.9]), COUNTS, min_size=1)


def drawn(dice: Random, rows: int, back: tuple[float, float], wrong: tuple[float, float]) -> Evidence:
    """Return the second outcome of changes whose base rate rises with p, and whose arms are checked unequally often."""
    evidence = Evidence()
    for _ in range(rows):
        p = dice.choice((0.5, 0.9))
        shown = dice.random() < p
        if dice.random() < back[not shown]:
            is_wrong = dice.random() < wrong[not shown] + (p - 0.5) / 2
            evidence = evidence.add_side(shown=shown, p_show=p, wrong=is_wrong)
    return evidence


def test_without_rows_in_both_arms_nothing_is_told() -> None:
    for side in ({}, {0.5: SideCounts(100, 50, 0, 0)}, {0.5: SideCounts(0, 0, 9, 3)}):
        effect = side_effect_of(side)
        assert (effect.rows, effect.is_told, effect.harms) == (0, False, False)


@given(st.floats(0.05, 0.95), st.floats(0.3, 1.0), st.floats(0.3, 1.0))
def test_what_is_expected_of_a_lesson_without_side_effects_is_zero_however_unequally_arms_are_checked(
    base: float, of_shown: float, of_withheld: float
) -> None:
    side = {
        p: SideCounts(shown, round(shown * rate), withheld, round(withheld * rate))
        for p, rate in ((0.5, base), (0.9, base / 2))
        for shown, withheld in ((round(10**6 * p * of_shown), round(10**6 * (1 - p) * of_withheld)),)
    }
    assert side_effect_of(side).mean == pytest.approx(0.0, abs=1e-4)


def test_under_80_to_60_checking_a_side_effect_is_found_and_none_invented() -> None:
    dice = Random(2)
    harmless = [side_effect_of(drawn(dice, 3_000, (0.8, 0.6), (0.3, 0.3)).side) for _ in range(10)]
    assert abs(sum(effect.mean for effect in harmless) / 10) < 0.015
    assert all(effect.is_told and effect.low <= 0 <= effect.high for effect in harmless)
    harmful = [side_effect_of(drawn(dice, 3_000, (0.8, 0.6), (0.5, 0.3)).side) for _ in range(10)]
    assert all(effect.harms and effect.low <= 0.2 <= effect.high for effect in harmful)


@given(SIDE)
def test_exchanging_the_arms_turns_the_sign(side: dict[float, SideCounts]) -> None:
    turned = {1 - p: SideCounts(*counts[2:], *counts[:2]) for p, counts in side.items()}
    one, other = side_effect_of(side), side_effect_of(turned)
    assert (one.mean, one.low) == (pytest.approx(-other.mean), pytest.approx(-other.high))
    assert one.low <= one.mean <= one.high


def test_a_wide_interval_is_not_told_and_never_harms() -> None:
    effect = side_effect_of({0.5: SideCounts(6, 6, 6, 0)})
    assert not effect.is_told
    assert not effect.harms


@given(st.floats(-0.3, 0.3), st.floats(0.001, 0.5), st.floats(-0.3, 0.3))
def test_a_lessons_side_effect_is_drawn_towards_that_of_its_agent(own: float, half: float, agents: float) -> None:
    agent = SideEffect(agents, agents - 0.1, agents + 0.1, 500)
    told = of_lesson(SideEffect(own, own - half, own + half, 50), agent)
    assert min(own, agents) - 1e-12 <= told.mean <= max(own, agents) + 1e-12
    assert told.high - told.low <= 2 * half + 1e-12
    assert of_lesson(SideEffect(own, own - half, own + half, 50), UNKNOWN).mean == own
    assert of_lesson(UNKNOWN, agent) == UNKNOWN
    assert shrunk(UNKNOWN, agent) == agents


def test_a_harmless_lesson_among_others_that_break_things_is_not_blamed_once_it_has_rows_of_its_own() -> None:
    breaking, harmless = {0.5: SideCounts(400, 240, 400, 120)}, {0.5: SideCounts(400, 120, 400, 120)}
    pool = pooled([breaking] * 4 + [harmless])
    assert of_lesson(side_effect_of(breaking), *pool).harms
    assert not of_lesson(side_effect_of(harmless), *pool).harms


@given(SIDE, st.integers(1, 6))
def test_lessons_that_are_alike_differ_by_no_more_than_is_assumed(side: dict[float, SideCounts], lessons: int) -> None:
    pool = pooled([side] * lessons)
    assert pool.spread == SPREAD_MIN
    assert pool.together.mean == pytest.approx(side_effect_of(side).mean)
