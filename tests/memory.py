"""What reading a file allocates."""

import gc
import tracemalloc
from collections.abc import Callable


def peak_memory(act: Callable[[], object]) -> int:
    """Return the most bytes alive at a time while `act` ran: the least of three times.

    What another thread allocates meanwhile counts as well, and what is loaded on first use.
    """
    return min(_peak(act) for _ in range(3))


def _peak(act: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
