"""Notes on unusual reports of the last day, for operators (SAFETY P9)."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from lessonbook.domain.counts import count_of
from lessonbook.store import report_volumes
from lessonbook.store.report_volumes import Share

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
BURST: Final = 500
"""Issues of one principal in an hour that make a burst, where they are more than `MOST` of its day."""
REPEATED: Final = 50
"""Issues in a day, alike or of one lesson, from which on they are noted."""
MOST: Final = 0.5
ALIKE: Final = 4
"""Issues for each different one from which on they are near-duplicates."""


def unusual(connection: Connection, project: str, now: datetime) -> list[str]:
    """Return notes on unusual reports of the last day, for operators."""
    shares = report_volumes.shares_since(connection, project, now - DAY, now - HOUR)
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
