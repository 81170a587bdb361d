"""Limits: how often one principal may call in a minute and how much it may write in an hour, over all processes.

`USES` is the table of what services count as. All is counted in the database, and each process keeps the last count for
a short time, so that a limit rarely costs a round trip. A limit may be overrun by what the others admit meanwhile.
Issues and lessons are counted exactly, from what was written, within the transaction that writes more.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, cast

from sqlalchemy import Connection

from lessonbook.domain.agent_tools import RefinedIssue
from lessonbook.domain.counts import count_of
from lessonbook.domain.documents import list_of
from lessonbook.domain.errors import TooMany, Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.store import call_counts, report_volumes
from lessonbook.store.report_volumes import Written

if TYPE_CHECKING:
    from lessonbook.services.workspace import Workspace

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
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

Kind = Literal["runs", "applications", "flags", "checks", "files", "decisions"]
Request = Mapping[str, object]
"""What a call asks for, by the names of fields and arguments."""

USES: Final[Mapping[str, Mapping[Kind, Callable[[Request], int]]]] = MappingProxyType(
    {
        "get_lessons": {"runs": lambda _: 1},
        "record_application": {"applications": lambda asked: _length(asked, "lesson_ids")},
        "flag_lesson": {"flags": lambda _: 1},
        "report_issues": {"checks": lambda asked: 1 if asked.get("run_id") else 0},
        "report_file": {"files": lambda _: 1, "checks": lambda asked: _length(asked, "run_ids")},
        "refine_issues": {"decisions": lambda asked: _length(asked, "lessons")},
        "review_lesson": {"decisions": lambda _: 1},
        "cleanup_lessons": {"decisions": lambda asked: 0 if asked.get("dry_run") else 1},
    }
)
"""What a call of each service counts as in the hour, and as how many."""
_SAID: Final[Mapping[Kind, str]] = {
    "runs": "has asked for lessons {} times",
    "applications": "has reported on {} applied lessons",
    "flags": "has flagged {} lessons",
    "checks": "has reported on {} runs",
    "files": "has sent {} files",
    "decisions": "has made {} decisions",
}

_Key = tuple[str, str]
"""Project and principal."""


@dataclass(slots=True)
class _Uses:
    """A principal's calls or uses in a period: those that this process admitted, and the others' when it last asked.

    `exchange` tells the others of a number, and returns theirs.
    """

    period: int
    exchange: Callable[[Connection, int], int]
    own: int = 0
    others: int = 0
    shared_at: datetime | None = None

    @property
    def total(self) -> int:
        return self.own + self.others

    async def add(self, work: "Workspace", count: int, limit: int, now: datetime) -> None:
        """Count what was admitted, and tell the other processes now and then."""
        self.own += count
        is_due = self.shared_at is None or now - self.shared_at >= SHARED_EVERY
        if is_due and self.own >= SHARED_FROM * limit:
            self.shared_at, own = now, self.own
            try:
                self.others = await work.store.write(lambda connection: self.exchange(connection, own))
            except Unavailable:  # the call itself will say so, if it needs the database
                return


@dataclass(slots=True)
class _Writes:
    """What a principal wrote in the hour before `counted_at`, and what this process wrote since."""

    written: Written
    counted_at: datetime


class Limits:
    """What principals have called and written lately, as far as this process knows."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str, str], _Uses] = {}
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

        def exchange(connection: Connection, own: int) -> int:
            return call_counts.exchange(connection, caller.project, caller.principal, work.writer, minute, own)

        calls = self._uses_of(caller, "calls", minute, exchange)
        if calls.total >= limit:
            raise TooMany(
                f"{caller.principal!r} has called {limit} times in this minute, which is its limit "
                f"(limits.calls_per_minute): wait for the next minute, {MINUTE_S - second} s",
                retry_after_s=MINUTE_S - second,
            )
        await calls.add(work, 1, limit, now)

    async def admit_use(self, work: "Workspace", caller: Caller, service: str, asked: Request) -> None:
        """Count what a call of a service is in `USES`. People have no limit.

        Raises:
            TooMany: it is over the limit of its hour.
        """
        if caller.person:
            return
        now = work.now()
        hour, second = divmod(int(now.timestamp()), HOUR_S)
        for kind, counted in USES.get(service, {}).items():
            limit: int = getattr(work.settings.limits, f"{kind}_per_hour")
            count = counted(asked)
            if not limit or not count:
                continue

            def exchange(connection: Connection, own: int, kind: Kind = kind) -> int:
                of_kind = (caller.project, caller.principal, kind, work.writer)
                return call_counts.exchange_uses(connection, *of_kind, hour, own)

            uses = self._uses_of(caller, kind, hour, exchange)
            if uses.total + count > limit:
                left_s = HOUR_S - second
                raise TooMany(
                    f"{caller.principal!r} {_SAID[kind].format(uses.total)} in this hour, and its limit is {limit} "
                    f"(limits.{kind}_per_hour): wait for the next hour, {count_of(-(-left_s // MINUTE_S), 'minute')}",
                    retry_after_s=left_s,
                )
            await uses.add(work, count, limit, now)

    def _uses_of(self, caller: Caller, kind: str, period: int, exchange: Callable[[Connection, int], int]) -> _Uses:
        key = caller.project, caller.principal, kind
        uses = self._uses.get(key)
        if uses is None or uses.period != period:
            if len(self._uses) >= KNOWN_MAX:  # what is over, else the oldest: those that count much are stored
                self._uses = dict(list(self._uses.items())[KNOWN_MAX // 2 :])
            self._uses.pop(key, None)
            self._uses[key] = uses = _Uses(period, exchange)
        return uses

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
            written = report_volumes.written_since(connection, *key, now - HOUR)
            self._writes[key] = known = _Writes(written, now)
        return known.written


def _length(asked: Request, name: str) -> int:
    """Return how many items a list of a request has."""
    items = asked.get(name)
    return len(cast("tuple[object, ...]", items)) if isinstance(items, tuple) else len(list_of(items))
