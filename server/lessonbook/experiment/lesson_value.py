"""The value by which lessons are ranked, and how many of them fit a budget."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

SEVERITY_WEIGHTS: Final[dict[int, float]] = {4: 8.0, 3: 4.0, 2: 2.0, 1: 1.0}
RELEVANCE_FLOOR: Final = 0.05
"""The factor of a lesson without a word in common with the task; a perfect fit has 1."""
EFFECT_FLOOR: Final = 0.05

Item = TypeVar("Item")


def static_score(severity: int, effectiveness: float) -> float:
    """Return a lesson's value independent of the task: severity weight · effectiveness, at least `EFFECT_FLOOR`."""
    return SEVERITY_WEIGHTS[severity] * max(effectiveness, EFFECT_FLOOR)


def value(score: float, relevance: float) -> float:
    """Return the value of a lesson for a task: its static score · its relevance (0 to 1), above a floor."""
    return score * (RELEVANCE_FLOOR + (1 - RELEVANCE_FLOOR) * relevance)


def fill(
    ranked: Iterable[Item], *, most: int, max_tokens: int, overhead: int, cost: Callable[[Item], int]
) -> list[Item]:
    """Return the items of `ranked`, best first, that fit `max_tokens` after `overhead`, at most `most`.

    An item that does not fit is skipped; a shorter one after it may fit.
    """
    chosen: list[Item] = []
    spent = overhead
    for item in ranked:
        price = cost(item)
        if len(chosen) < most and spent + price <= max_tokens:
            chosen.append(item)
            spent += price
    return chosen
