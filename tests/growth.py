"""Counting lines of Python: how the work grows with a text, the same on every machine.

The work of regular expressions is counted elsewhere (`tests/test_patterns.py`).
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

GROWTH_MAX = 6.0
"""For a text four times as long; sixteen times would be the square."""


def lines_run(work: Callable[[], object]) -> int:
    """Return how many lines of Python some work takes."""
    count = 0

    def trace(_frame: FrameType, event: str, _value: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def growth(work: Callable[[str], object], piece: str, size: int) -> float:
    small, large = (lambda n=n: work((piece * n)[:n]) for n in (size, 4 * size))
    small(), large()  # what is kept for later is made now
    return lines_run(large) / max(lines_run(small), 1_000)
