"""Retirement: hardly ever wrong, however often it is looked at."""

from math import prod
from random import Random

import pytest
from hypothesis import given

from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.grid import shown_share
from lessonbook.experiment.retirement import ALPHA, RHO_BAD, RHO_NULL, e_value
from tests.experiment.evidences import EVIDENCE

PEEKS = 250


def ever_retired(rho: float, dice: Random, reports: int = 1) -> bool:
    """Return whether a lesson with this rate ratio is retired at any of many looks; p follows what was seen.

    Every event is reported `reports` times; the caller counts it once.
    """
    evidence = Evidence()
    p_show = 0.5
    counted: set[int] = set()
    for number in range(PEEKS):
        shown = dice.random() < shown_share(p_show, rho)
        for _ in range(reports):
            if number not in counted:
                counted.add(number)
                evidence = evidence.add_event(shown=shown, p_show=p_show, verified=True)
        value = e_value(evidence)
        if value >= 1 / ALPHA:
            return True
        p_show = 0.1 if value > 3 else 0.9 if value < 0.3 else 0.5
    return False


@pytest.mark.parametrize("reports", [1, 3])
def test_a_lesson_at_the_null_is_retired_in_at_most_one_of_a_hundred_lives(reports: int) -> None:
    dice = Random(reports)
    lives = 300
    assert sum(ever_retired(RHO_NULL, dice, reports) for _ in range(lives)) <= ALPHA * lives


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


def test_declared_events_never_retire_a_lesson() -> None:
    evidence = Evidence()
    for _ in range(500):
        evidence = evidence.add_event(shown=True, p_show=0.1, verified=False)
    assert e_value(evidence) == 1
    assert e_value(evidence) < 1 / ALPHA
    assert e_value(evidence + Evidence(verified=evidence.total().splits)) >= 1 / ALPHA


def test_overwhelming_evidence_does_not_overflow() -> None:
    assert e_value(Evidence(verified={0.02: (10_000, 0)})) >= 1 / ALPHA
