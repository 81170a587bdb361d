"""Rate limits: how much one principal may write in an hour, and notes on floods for the operator (SAFETY P9)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import TooMany
from lessonbook.domain.lesson import Caller
from lessonbook.domain.loop import RefinedIssue
from lessonbook.store import volumes
from lessonbook.store.volumes import Share, Written

if TYPE_CHECKING:
    from lessonbook.services.workspace import Workspace

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
COUNTED_AGAIN: Final = timedelta(seconds=30)
"""How long a count is used before the database is counted again, with what other processes wrote."""
KNOWN_MAX: Final = 1_000

BURST: Final = 500
"""Issues of one principal in an hour that make a burst, where they are more than `MOST` of its day."""
REPEATED: Final = 50
"""Issues in a day, alike or of one lesson, from which on they are noted."""
MOST: Final = 0.5
ALIKE: Final = 4
"""Issues for each different one from which on they are near-duplicates."""


@dataclass(slots=True)
class _Count:
    """What a principal wrote in the hour before `counted_at`, and what this process wrote since."""

    written: Written
    counted_at: datetime


class RateLimits:
    """What principals have written in the last hour, as far as this process knows."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], _Count] = {}

    def admit(self, connection: Connection, work: "Workspace", caller: Caller, *, issues: int, offers: int) -> None:
        """Check that a principal may report `issues` more, with `offers` lessons of their own. People have no limit.

        Raises:
            TooMany: that is over the configured limit.
        """
        if caller.person:
            return
        limits, written = work.settings.limits, self._written(connection, caller, work.now())
        if limits.issues_per_hour and written.issues + issues > limits.issues_per_hour:
            raise TooMany(
                f"{caller.principal!r} has reported {count_of(written.issues, 'issue')} in the last hour, and may"
                f" report {limits.issues_per_hour} (limits.issues_per_hour): report the rest later, or fewer of a kind"
            )
        if limits.lessons_per_hour and offers and written.lessons + offers > limits.lessons_per_hour:
            raise TooMany(
                f"Reports of {caller.principal!r} have made {count_of(written.lessons, 'lesson')} in the last hour, and"
                f" may make {limits.lessons_per_hour} (limits.lessons_per_hour): leave `lesson` out, or send it later"
            )

    def add(self, caller: Caller, lines: Iterable[RefinedIssue], *, issues: int = 0) -> None:
        """Count what has just been written: the lessons made for `lines`, and `issues` that were reported."""
        if (count := self._counts.get((caller.project, caller.principal))) is not None:
            made = {line.lesson_id for line in lines if line.action in {"created", "quarantined"}}
            written = count.written
            count.written = Written(written.issues + issues, written.lessons + len(made))

    def _written(self, connection: Connection, caller: Caller, now: datetime) -> Written:
        key = caller.project, caller.principal
        count = self._counts.get(key)
        if count is None or not count.counted_at <= now < count.counted_at + COUNTED_AGAIN:
            if len(self._counts) >= KNOWN_MAX:
                self._counts.clear()  # the database is counted again when needed
            written = volumes.written_since(connection, *key, now - HOUR)
            self._counts[key] = count = _Count(written, now)
        return count.written


def unusual(connection: Connection, project: str, now: datetime) -> list[str]:
    """Return notes on unusual reports of the last day, for operators."""
    shares = volumes.shares_since(connection, project, now - DAY, now - HOUR)
    return [*_floods(shares), *_dominating(shares)]


def _floods(shares: Sequence[Share]) -> Iterator[str]:
    """Yield a note for each principal that reports in bursts, or near-duplicates."""
    for principal in sorted({share.principal for share in shares}):
        own = [share for share in shares if share.principal == principal]
        issues, different = sum(share.issues for share in own), sum(share.different for share in own)
        lately = sum(share.lately for share in own)
        if lately >= BURST and lately > MOST * issues:
            yield f"A burst: {principal!r} reported {count_of(lately, 'issue')} in the last hour."
        if issues >= REPEATED and issues >= ALIKE * different:
            reported = count_of(issues, "issue")
            yield f"Near-duplicates: {reported} of {principal!r} in a day are {different} different ones."


def _dominating(shares: Sequence[Share]) -> Iterator[str]:
    """Yield a note for a lesson that most issues of the day joined."""
    issues = sum(share.issues for share in shares)
    for lesson_id in sorted({share.lesson_id for share in shares if share.lesson_id}):
        own = [share for share in shares if share.lesson_id == lesson_id]
        joined = sum(share.issues for share in own)
        if joined >= REPEATED and joined > MOST * issues:
            most = max(own, key=lambda share: share.issues).principal
            reported = count_of(issues, "issue")
            yield f"One lesson: {joined} of {reported} in a day joined {lesson_id}, most of them from {most!r}."
