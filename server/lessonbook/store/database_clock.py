"""The database's time, known without asking for it in each transaction."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

_TIME: Final = text("SELECT clock_timestamp()")
MEASURED_EVERY_S: Final = 30.0
"""How old a measurement may be, in seconds."""


def _steady_s() -> float:
    """Return a clock that nobody sets, in seconds; where the system has one, it goes on while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class DatabaseClock:
    """The time of a database server, as this process measured it last.

    All replicas go by one clock. Where each went by its own, one that is wrong would let lessons expire and forget
    idempotency keys for all.
    """

    def __init__(self) -> None:
        self._at: datetime | None = None
        self._measured_s = 0.0

    @property
    def is_stale(self) -> bool:
        """Whether the time should be measured again."""
        return self._at is None or _steady_s() - self._measured_s >= MEASURED_EVERY_S

    def measure(self, connection: Connection) -> None:
        """Ask the database for the time. It is off by a round trip at most."""
        before = _steady_s()
        at: datetime = connection.execute(_TIME).scalar_one()
        self._measured_s = (before + _steady_s()) / 2
        self._at = at

    def now(self) -> datetime:
        """Return the database's time; before the first measurement, this machine's."""
        if self._at is None:
            return datetime.now(UTC)
        return self._at + timedelta(seconds=_steady_s() - self._measured_s)
