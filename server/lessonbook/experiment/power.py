"""Power: how many checked runs it takes until a cut of 15 % can be told."""

from math import ceil, log
from typing import Final

from lessonbook.experiment.retirement import RHO_NULL
from lessonbook.experiment.told_interval import ALPHA

_TAU_SQUARED: Final = 0.7**2
_ROUNDS: Final = 40
RATE_ROWS: Final = 5.0
RATE_EVENTS: Final = 0.5
"""What a lesson's own rate of events is shrunk by where it has few rows."""


def events_to_tell(p_show: float, ratio: float = RHO_NULL) -> int:
    """Return the expected number of events until an interval valid at every look leaves out "no effect".

    One event tells about log ρ as much as a toss of its own coin, p(1 − p). With a prior of variance τ² the log of the
    prior's average likelihood over that of no effect grows as n·p(1 − p)·δ²/2 − ½ log(1 + n·p(1 − p)·τ²), δ = log ρ.

    Args:
        p_show: the propensity, above 0 and below 1.
        ratio: the rate ratio that is to be told from 1.
    """
    per_event = p_show * (1 - p_show)
    events = 1.0
    for _ in range(_ROUNDS):
        events = 2 * (0.5 * log(1 + events * per_event * _TAU_SQUARED) - log(ALPHA)) / (per_event * log(ratio) ** 2)
    return ceil(events)


def runs_to_tell(*, rows: int, events: int, p_show: float) -> int:
    """Return how many more checked runs it takes, at the rate of events so far, until a cut of 15 % can be told.

    Args:
        rows: checked rows so far.
        events: events in them.
        p_show: the propensity from now on.
    """
    rate = (events + RATE_EVENTS) / (rows + RATE_ROWS)
    return ceil(max(events_to_tell(p_show) - events, 0) / rate)
