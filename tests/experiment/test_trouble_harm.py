"""Harm elsewhere, by trouble that no lesson of a change is about."""

from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.experiment.evidence import Evidence, Period, SideCounts
from lessonbook.experiment.mixture import posterior
from lessonbook.experiment.prior import DEFAULT_PRIOR
from lessonbook.experiment.serving_policy import LessonState, Priors, appraise, fit_priors
from lessonbook.experiment.trouble_harm import NO_BACKGROUND, SPREADS, Background, fitted, logs_of

HARM = 0.08
HARMLESS = 27
USUAL = {0: 0.05, 1: 0.2, 2: 0.1}
"""The usual rate of trouble by week."""


def drawn(dice: Random, *, harm: float = 0.0, kind: float = 1.0, p: float = 0.95, rows: int = 150) -> Evidence:
    """Return what went wrong in so many rows a week of a lesson that does this harm, for tasks of this kind."""
    evidence = Evidence()
    for week, usual in USUAL.items():
        for _ in range(rows):
            shown = dice.random() < p
            wrong = dice.random() < min(kind * usual, 0.9) + harm * shown
            evidence = evidence.add_unexplained(shown=shown, p_show=p, wrong=wrong, period=week)
    return evidence


def harm_of(evidence: Evidence, background: Background) -> float:
    """Return the harm that is expected of a lesson, in issues per showing."""
    weights = posterior(DEFAULT_PRIOR.flag_weights, logs_of(evidence, background, DEFAULT_PRIOR))
    return sum(weight * harm for weight, harm in zip(weights, DEFAULT_PRIOR.harms, strict=True))


@given(st.dictionaries(st.integers(0, 3), st.builds(SideCounts, *[st.integers(0, 50)] * 4)))
def test_nothing_is_known_without_rows_that_were_shown_or_in_weeks_without_a_background(
    weeks: dict[int, SideCounts],
) -> None:
    withheld = Evidence({week: Period(unexplained=SideCounts(0, 0, *counts[2:])) for week, counts in weeks.items()})
    everywhere = Background(dict.fromkeys(weeks, 0.1), 0.2)
    assert set(logs_of(withheld, everywhere, DEFAULT_PRIOR)) == {0.0}
    whole = Evidence({week: Period(unexplained=counts) for week, counts in weeks.items()})
    assert set(logs_of(whole, NO_BACKGROUND, DEFAULT_PRIOR)) == {0.0}


@given(st.integers(1, 200), st.integers(0, 200), st.integers(1, 200), st.integers(0, 200), st.sampled_from(SPREADS))
def test_harm_is_the_likelier_the_more_went_wrong_while_the_lesson_was_shown(
    shown: int, wrong: int, withheld: int, without: int, spread: float
) -> None:
    def odds(shown_wrong: int, withheld_wrong: int) -> float:
        counts = SideCounts(shown, shown_wrong, withheld, withheld_wrong)
        logs = logs_of(Evidence({0: Period(unexplained=counts)}), Background({0: 0.1}, spread), DEFAULT_PRIOR)
        return logs[-1] - logs[0]

    assert odds(wrong + 1, without) > odds(wrong, without)
    assert odds(wrong, without + 1) < odds(wrong, without) + 1e-9


def test_lessons_that_break_something_else_stand_out_from_the_others() -> None:
    dice = Random(1)
    harmful = [drawn(dice, harm=HARM) for _ in range(3)]
    harmless = [drawn(dice) for _ in range(HARMLESS)]
    background = fitted([*harmful, *harmless])
    assert background.rates == pytest.approx(USUAL, abs=0.02)
    assert background.spread == min(SPREADS)
    assert min(harm_of(evidence, background) for evidence in harmful) > HARM / 3
    assert max(harm_of(evidence, background) for evidence in harmless) < HARM / 6


def test_where_kinds_of_task_differ_the_hard_ones_are_not_held_against_their_lessons() -> None:
    dice = Random(2)
    lessons = [drawn(dice, kind=exp(dice.gauss(0.0, 0.8))) for _ in range(HARMLESS)]
    background = fitted(lessons)
    assert background.spread >= 0.4
    assert sum(harm_of(evidence, background) for evidence in lessons) / HARMLESS < harm_of(Evidence(), background)
    easy = Background(background.rates, min(SPREADS))
    assert max(harm_of(evidence, easy) for evidence in lessons) > 2 * HARM  # what the spread is there for
    hard = drawn(dice, kind=2.0, p=0.5, rows=400)
    harmful = drawn(dice, kind=1.0, harm=0.13, p=0.5, rows=400)
    assert harm_of(hard, background) < 0.02 < HARM < harm_of(harmful, background)


def test_what_breaks_something_else_is_shown_less_often_and_what_breaks_nothing_more_often() -> None:
    dice = Random(3)
    harmful, harmless = drawn(dice, harm=HARM), drawn(dice)
    priors = fit_priors([harmful, *(drawn(dice) for _ in range(HARMLESS))])

    def p_show(evidence: Evidence, priors: Priors) -> float:
        (appraisal,) = appraise([LessonState("lesson", 1.0, 100, evidence)], priors=priors, tokens=100).values()
        return appraisal.p_show

    assert p_show(harmful, priors) < p_show(Evidence(), Priors()) < p_show(harmless, priors)


def test_rows_from_before_trouble_was_counted_tell_nothing() -> None:
    before = [Evidence().add_row(shown=True, p_show=0.5, period=week) for week in range(3)]
    assert fitted(before).rates == {}
    priors = fit_priors(before)
    assert priors.independent.flag_weights == pytest.approx(DEFAULT_PRIOR.flag_weights)
