"""Expiry: a lesson whose issue was not reported, and that got no verdict and no delivery, for too long."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from lessonbook.domain.lesson_status import Status


@dataclass(frozen=True, slots=True)
class Lapse:
    """The status of a lesson whose time is up, and when that status ends (None: never)."""

    status: Status
    until: datetime | None


def lapse(*, active: bool, delivered_at: datetime | None, now: datetime, ttl_days: int) -> Lapse:
    """Return what happens to a lesson on probation, or an `active` one, whose time is up.

    An active lesson that was delivered within `ttl_days` gets as many days from that delivery; any other returns to
    probation. A lesson on probation expires however often it was delivered: deliveries prove nothing.
    """
    age = timedelta(days=ttl_days)
    if not active:
        return Lapse("expired", None)
    if delivered_at is not None and delivered_at + age > now:
        return Lapse("active", delivered_at + age)
    return Lapse("probation", now + age)
