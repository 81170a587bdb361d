"""When a lesson's time is over: nobody saw its issue, gave a verdict on it or was served it for long enough."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from lessonbook.domain.lesson_status import Status


@dataclass(frozen=True, slots=True)
class Lapse:
    """What becomes of a lesson whose time is up: its status, and until when that stands (None: for good)."""

    status: Status
    until: datetime | None


def lapse(*, active: bool, delivered_at: datetime | None, now: datetime, ttl_days: int) -> Lapse:
    """Return what becomes of a lesson on probation, or an `active` one, whose time is up.

    An active one that was delivered within `ttl_days` has time from then on; one that was not goes back to probation.
    A lesson on probation expires however often it was delivered: showing it proves nothing.
    """
    age = timedelta(days=ttl_days)
    if not active:
        return Lapse("expired", None)
    if delivered_at is not None and delivered_at + age > now:
        return Lapse("active", delivered_at + age)
    return Lapse("probation", now + age)
