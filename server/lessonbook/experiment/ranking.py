"""The order in which lessons are offered, and how many of them fit."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

SEVERITY_WEIGHTS: Final[dict[int, float]] = {4: 8.0, 3: 4.0, 2: 2.0, 1: 1.0}
RELEVANCE_FLOOR: Final = 0.05
"""What a lesson without a word in common with the task is worth, beside 1 for a perfect fit."""
EFFECT_FLOOR: Final = 0.05

Item = TypeVar("Item")


def static_score(severity: int, effectiveness: float) -> float:
    """Return what a lesson is worth whatever the task: severity weight · effectiveness."""
    return SEVERITY_WEIGHTS[severity] * max(effectiveness, EFFECT_FLOOR)


def value(own_standing: float, relevance: float) -> float:
    """Return what serving a lesson is worth for a task: its static_score · its relevance (0 to 1), above a floor."""
    return own_standing * (RELEVANCE_FLOOR + (1 - RELEVANCE_FLOOR) * relevance)


def fill(
    ranked: Iterable[Item], *, most: int, max_tokens: int, overhead: int, cost: Callable[[Item], int]
) -> list[Item]:
    """Walk `ranked`, best first, and return what fits `max_tokens` after `overhead`, at most `most` items.

    What does not fit is passed over, so that something shorter after it still may.
    """
    chosen: list[Item] = []
    spent = overhead
    for item in ranked:
        price = cost(item)
        if len(chosen) < most and spent + price <= max_tokens:
            chosen.append(item)
            spent += price
    return chosen
