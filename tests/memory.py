"""What reading a file allocates."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Final

TIMES: Final = 3


def peak_memory(act: Callable[[], object]) -> int:
    """Return the most bytes alive at a time while `act` ran: the least of three times.

    What another thread allocates meanwhile counts as well, and what is loaded on first use.
    """
    return min(_peak(act) for _ in range(TIMES))


def needs_less(act: Callable[[], object], limit: float) -> bool:
    """Return whether `act` ran with less than `limit` bytes alive at a time, in one of three times."""
    return any(_peak(act) < limit for _ in range(TIMES))


def _peak(act: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
