"""The limit on calls: how often one principal may call in a minute, over all server processes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from lessonbook.domain.errors import TooMany, Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.store import call_counts

if TYPE_CHECKING:
    from lessonbook.services.workspace import Workspace

SHARED_EVERY: Final = timedelta(seconds=5)
"""Pause between two exchanges with the other processes. A limit is overrun by what they admit meanwhile."""
SHARED_FROM: Final = 0.02
"""Share of the limit from which a process exchanges its count: most principals never cost a transaction."""
KNOWN_MAX: Final = 10_000


@dataclass(slots=True)
class _MinuteCount:
    """A principal's calls in a minute: those that this process admitted, and the others' when it last asked."""

    minute: int
    own: int = 0
    others: int = 0
    shared_at: datetime | None = None


class CallLimit:
    """The calls of principals in this minute, as far as this process knows. Only callers with a token are counted."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], _MinuteCount] = {}

    async def admit(self, work: "Workspace", caller: Caller) -> None:
        """Count a call.

        Raises:
            TooMany: it is over the limit of its minute.
        """
        limit = work.settings.limits.calls_per_minute
        if not limit or caller.scopes is None:
            return
        now = work.now()
        count = self._count(caller, int(now.timestamp()) // 60)
        if count.own + count.others >= limit:
            raise TooMany(
                f"{caller.principal!r} has called {limit} times in this minute, which is its limit "
                "(limits.calls_per_minute): wait for the next minute"
            )
        count.own += 1
        is_due = count.shared_at is None or now - count.shared_at >= SHARED_EVERY
        if is_due and count.own >= SHARED_FROM * limit:
            count.shared_at = now
            try:
                count.others = await work.store.write(
                    lambda connection: call_counts.exchange(
                        connection, caller.project, caller.principal, work.writer, count.minute, count.own
                    )
                )
            except Unavailable:  # the call itself will say so, if it needs the database
                return

    def _count(self, caller: Caller, minute: int) -> _MinuteCount:
        key = caller.project, caller.principal
        count = self._counts.get(key)
        if count is None or count.minute != minute:
            if len(self._counts) >= KNOWN_MAX:
                self._counts = {one: other for one, other in self._counts.items() if other.minute == minute}
            self._counts[key] = count = _MinuteCount(minute)
        return count
