"""The order in which lessons are offered, and how many of them fit."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil
from typing import Final, Generic, TypeVar

SEVERITY_WEIGHTS: Final[dict[int, float]] = {4: 8.0, 3: 4.0, 2: 2.0, 1: 1.0}
RELEVANCE_FLOOR: Final = 0.05
"""What a lesson without a word in common with the task is worth, beside 1 for a perfect fit."""
RELEVANCE_HALF: Final = 6.0
"""The BM25 score that counts as half a perfect fit."""
EFFECT_FLOOR: Final = 0.05

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Choice(Generic[Item]):
    """Which items fit the budget, in order, and how many candidates were left over."""

    chosen: list[Item]
    left_over: int


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a language model counts in `text`: a quarter of its UTF-8 bytes, rounded up."""
    return ceil(len(text.encode()) / 4)


def value(severity: int, effectiveness: float, score: float | None) -> float:
    """Return what serving a lesson is worth: severity weight · relevance · effectiveness.

    `score` is its BM25 score for the task, None where no task was given (every lesson then fits equally).
    """
    relevance = 1.0 if score is None else RELEVANCE_FLOOR + (1 - RELEVANCE_FLOOR) * score / (score + RELEVANCE_HALF)
    return SEVERITY_WEIGHTS[severity] * relevance * max(effectiveness, EFFECT_FLOOR)


def fill(
    ranked: Iterable[Item], *, most: int, max_tokens: int, overhead: int, cost: Callable[[Item], int]
) -> Choice[Item]:
    """Walk `ranked`, best first, and take what fits `max_tokens` after `overhead`, at most `most` items.

    A lesson that does not fit is passed over, so that a shorter one after it still may.
    """
    chosen: list[Item] = []
    left_over, spent = 0, overhead
    for item in ranked:
        price = cost(item)
        if len(chosen) < most and spent + price <= max_tokens:
            chosen.append(item)
            spent += price
        else:
            left_over += 1
    return Choice(chosen, left_over)
