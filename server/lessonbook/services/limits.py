"""Limits: how often one principal may call in a minute and how much it may write in an hour, over all processes.

Both are counted in the database, and each process keeps the last count for a short time, so that a limit rarely costs a
round trip. A limit may be overrun by what the others admit meanwhile.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from lessonbook.domain.agent_tools import RefinedIssue
from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import TooMany, Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.store import call_counts, volumes
from lessonbook.store.volumes import Written

if TYPE_CHECKING:
    from lessonbook.services.workspace import Workspace

MINUTE_S: Final = 60
SHARED_EVERY: Final = timedelta(seconds=5)
"""Pause between two exchanges of call counts with the other processes."""
SHARED_FROM: Final = 0.02
"""Share of the limit from which a process exchanges its count: most principals never cost a transaction."""
HOUR: Final = timedelta(hours=1)
COUNTED_AGAIN: Final = timedelta(seconds=30)
"""How long a count of writes is used before the database is counted again, with what other processes wrote."""
WRITE_AGAIN_S: Final = 300
"""Seconds after which a principal may write again that has written too much in the last hour: a part of it is older."""
KNOWN_MAX: Final = 10_000

_Key = tuple[str, str]
"""Project and principal."""


@dataclass(slots=True)
class _Calls:
    """A principal's calls in a minute: those that this process admitted, and the others' when it last asked."""

    minute: int
    own: int = 0
    others: int = 0
    shared_at: datetime | None = None


@dataclass(slots=True)
class _Writes:
    """What a principal wrote in the hour before `counted_at`, and what this process wrote since."""

    written: Written
    counted_at: datetime


class Limits:
    """What principals have called and written lately, as far as this process knows."""

    def __init__(self) -> None:
        self._calls: dict[_Key, _Calls] = {}
        self._writes: dict[_Key, _Writes] = {}

    async def admit_call(self, work: "Workspace", caller: Caller) -> None:
        """Count a call. Only callers with a token are counted.

        Raises:
            TooMany: it is over the limit of its minute.
        """
        limit = work.settings.limits.calls_per_minute
        if not limit or caller.scopes is None:
            return
        now = work.now()
        minute, second = divmod(int(now.timestamp()), MINUTE_S)
        calls = self._calls_of(caller, minute)
        if calls.own + calls.others >= limit:
            raise TooMany(
                f"{caller.principal!r} has called {limit} times in this minute, which is its limit "
                "(limits.calls_per_minute): wait for the next minute",
                retry_after_s=MINUTE_S - second,
            )
        calls.own += 1
        is_due = calls.shared_at is None or now - calls.shared_at >= SHARED_EVERY
        if is_due and calls.own >= SHARED_FROM * limit:
            calls.shared_at = now
            try:
                calls.others = await work.store.write(
                    lambda connection: call_counts.exchange(
                        connection, caller.project, caller.principal, work.writer, minute, calls.own
                    )
                )
            except Unavailable:  # the call itself will say so, if it needs the database
                return

    def _calls_of(self, caller: Caller, minute: int) -> _Calls:
        key = caller.project, caller.principal
        calls = self._calls.get(key)
        if calls is None or calls.minute != minute:
            if len(self._calls) >= KNOWN_MAX:
                self._calls = {one: other for one, other in self._calls.items() if other.minute == minute}
            self._calls[key] = calls = _Calls(minute)
        return calls

    def admit_writes(
        self, connection: Connection, work: "Workspace", caller: Caller, *, issues: int, offers: int
    ) -> None:
        """Check that a principal may report `issues` more, with `offers` lessons of their own. People have no limit.

        Raises:
            TooMany: that is over the limit of an hour.
        """
        if caller.person:
            return
        limits, written = work.settings.limits, self._written(connection, caller, work.now())
        if limits.issues_per_hour and written.issues + issues > limits.issues_per_hour:
            raise TooMany(
                f"{caller.principal!r} has reported {count_of(written.issues, 'issue')} in the last hour, and may "
                f"report {limits.issues_per_hour} (limits.issues_per_hour): report the rest later, or fewer of a kind",
                retry_after_s=WRITE_AGAIN_S,
            )
        if limits.lessons_per_hour and offers and written.lessons + offers > limits.lessons_per_hour:
            raise TooMany(
                f"Reports of {caller.principal!r} have made {count_of(written.lessons, 'lesson')} in the last hour, "
                f"and may make {limits.lessons_per_hour} (limits.lessons_per_hour): leave out `lesson`, or wait",
                retry_after_s=WRITE_AGAIN_S,
            )

    def add_writes(self, caller: Caller, lines: Iterable[RefinedIssue], *, issues: int = 0, offers: int = 0) -> None:
        """Count what has just been written: `issues` that were reported, and lessons.

        These are those made for `lines`, or as many as were offered, where that is more: offers beside other lessons.
        """
        if (known := self._writes.get((caller.project, caller.principal))) is not None:
            made = {line.lesson_id for line in lines if line.action in {"created", "quarantined"}}
            written = known.written
            known.written = Written(written.issues + issues, written.lessons + max(len(made), offers))

    def _written(self, connection: Connection, caller: Caller, now: datetime) -> Written:
        key = caller.project, caller.principal
        known = self._writes.get(key)
        if known is None or not known.counted_at <= now < known.counted_at + COUNTED_AGAIN:
            if len(self._writes) >= KNOWN_MAX:
                self._writes.clear()  # the database is counted again when needed
            written = volumes.written_since(connection, *key, now - HOUR)
            self._writes[key] = known = _Writes(written, now)
        return known.written
