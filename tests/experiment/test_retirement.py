"""Retirement: hardly ever wrong, however often it is looked at."""

from itertools import product
from math import prod
from random import Random

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.retirement import ALPHA, RHO_BAD, RHO_NULL, e_value
from lessonbook.experiment.rho_grid import shown_share
from tests.experiment.evidences import EVIDENCE, counted

PEEKS = 250


def ever_retired(rho: float, dice: Random) -> bool:
    """Return whether a lesson with this rate ratio is retired at any of many looks; p follows what was seen."""
    evidence = Evidence()
    p_show = 0.5
    for _ in range(PEEKS):
        shown = dice.random() < shown_share(p_show, rho)
        evidence = evidence.add_event(shown=shown, share=p_show, reporter="ci")
        value = e_value(evidence)
        if value >= 1 / ALPHA:
            return True
        p_show = 0.1 if value > 3 else 0.9 if value < 0.3 else 0.5
    return False


@given(st.integers(1, 7), st.integers(0, 2), st.integers(1, 5))
@examples(max_examples=25, deadline=None)
def test_the_e_value_is_a_martingale_at_the_null_and_falls_on_average_for_better_lessons(
    events: int, start: int, turn: int
) -> None:
    """The expectation over every outcome, where the next propensity may depend on all that came before."""
    for rho, least, most in ((RHO_NULL, 1 - 1e-9, 1 + 1e-9), (0.5, 0.0, 1.0), (0.2, 0.0, 1.0)):
        expected = 0.0
        for outcome in product((True, False), repeat=events):
            chance, at = 1.0, start
            evidence = Evidence()
            for shown in outcome:
                p = (0.1, 0.5, 0.95)[at % 3]
                chance *= shown_share(p, rho) if shown else 1 - shown_share(p, rho)
                evidence = evidence.add_event(shown=shown, share=p, reporter="ci")
                at += turn if shown else 1
            expected += chance * e_value(evidence)
        assert least <= expected <= most


def test_a_lesson_at_the_null_is_retired_in_at_most_one_of_a_hundred_lives() -> None:
    dice = Random(1)
    lives = 120
    assert sum(ever_retired(RHO_NULL, dice) for _ in range(lives)) <= ALPHA * lives


def test_with_the_share_really_shown_unequal_checking_retires_no_good_lesson() -> None:
    """Withheld changes come back a quarter as often: with p in place of π nearly every life would end in retirement."""
    dice = Random(6)
    retired = wrongly = 0
    for _ in range(25):
        with_pi = with_p = Evidence()
        rows = Evidence()
        for _ in range(1_500):
            shown = dice.random() < 0.9
            if dice.random() >= (0.8 if shown else 0.2):
                continue
            if dice.random() < 0.3 * (0.5 if shown else 1.0):
                share = rows.share(0.9)
                with_pi = with_pi.add_event(shown=shown, share=share, reporter="ci")
                with_p = with_p.add_event(shown=shown, share=0.9, reporter="ci")
            rows = rows.add_row(shown=shown, p_show=0.9)
        retired += e_value(with_pi) >= 1 / ALPHA
        wrongly += e_value(with_p) >= 1 / ALPHA
    assert retired == 0
    assert wrongly > 5


def test_a_lesson_that_doubles_its_issue_is_nearly_always_retired() -> None:
    dice = Random(3)
    assert sum(ever_retired(2.0, dice) for _ in range(40)) >= 34


@given(EVIDENCE)
def test_the_closed_form_is_the_mean_of_products_over_events(evidence: Evidence) -> None:
    products: list[float] = []
    for rho in RHO_BAD:
        factors: list[float] = []
        for p_show, (shown, withheld) in evidence.verified.items():
            bad, null = shown_share(p_show, rho), shown_share(p_show, RHO_NULL)
            factors += [bad / null] * shown + [(1 - bad) / (1 - null)] * withheld
        products.append(prod(factors))
    assert e_value(evidence) == pytest.approx(sum(products) / len(products))


def test_overwhelming_evidence_does_not_overflow() -> None:
    assert e_value(counted({0.02: (10_000, 0)})) >= 1 / ALPHA
