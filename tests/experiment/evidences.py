"""Evidence drawn for property tests."""

from collections.abc import Iterable
from typing import NamedTuple

from hypothesis import strategies as st

from lessonbook.experiment.evidence import Evidence, Period, Split

P_SHOWN = st.sampled_from([0.02, 0.1, 0.5, 0.8, 0.95])


class Row(NamedTuple):
    """One lesson in one checked change."""

    shown: bool
    p_show: float
    event: bool
    reporter: str
    period: int
    applied: bool
    wrong: bool


ROWS = st.lists(
    st.builds(
        Row,
        st.booleans(),
        P_SHOWN,
        st.booleans(),
        st.sampled_from(["ci", "qa", "reviewer"]),
        st.integers(0, 5),
        st.booleans(),
        st.booleans(),
    ),
    max_size=25,
)


def with_row(evidence: Evidence, row: Row) -> Evidence:
    """Return the evidence with one more row, its event, its application and what else went wrong; π is p here."""
    applied = row.applied and row.shown
    more = evidence.add_row(shown=row.shown, p_show=row.p_show, period=row.period)
    if applied:
        more = more.add_application(period=row.period)
    if row.event:
        more = more.add_event(
            shown=row.shown, share=row.p_show, reporter=row.reporter, applied=applied, period=row.period
        )
    more = more.add_unexplained(shown=row.shown, p_show=row.p_show, wrong=row.wrong, period=row.period)
    return more.add_side(shown=row.shown, p_show=row.p_show, wrong=row.wrong)


def with_certain(evidence: Evidence, number: int, counts: tuple[int, int]) -> Evidence:
    """Return the evidence with rows of one period in which no coin was tossed, and so many events at most."""
    rows, events = counts
    for row in range(rows):
        evidence = evidence.add_row(shown=True, p_show=1.0, period=number)
        if row < events:
            evidence = evidence.add_event(shown=True, share=1.0, reporter="ci", period=number)
    return evidence


def with_rows(rows: Iterable[Row]) -> Evidence:
    """Return the evidence of rows that came one after the other."""
    evidence = Evidence()
    for row in rows:
        evidence = with_row(evidence, row)
    return evidence


def counted(
    splits: dict[float, Split], *, rows: Split = (0, 0), p_show: float = 0.5, reporters: int = 2, shown: int = 0
) -> Evidence:
    """Return evidence of one period, whose events every one of so many reporters reported a part of."""
    shares: list[dict[float, Split]] = [{} for _ in range(reporters)]
    for share, split in splits.items():
        for number, of_reporter in enumerate(shares):
            of_reporter[share] = (_part(split[0], number, reporters), _part(split[1], number, reporters))
    coins = {p_show: rows} if any(rows) else {}
    return Evidence(
        periods={0: Period(coins=coins, splits=splits)},
        reporters={f"reporter {number}": of_reporter for number, of_reporter in enumerate(shares)},
        shown=shown or rows[0],
    )


def _part(count: int, number: int, parts: int) -> int:
    return count // parts + (number < count % parts)


EVIDENCE = st.builds(
    with_certain, ROWS.map(with_rows), st.integers(0, 5), st.tuples(st.integers(0, 4), st.integers(0, 4))
)
