"""Evidence: counts of checked rows that add up in any order, and survive being stored."""

import json
from dataclasses import replace
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.experiment.effect import effect_of
from lessonbook.experiment.evidence import SHARE_PERIODS, SHARE_ROWS, Evidence, Period, SideCounts
from lessonbook.experiment.lift import lift_of
from lessonbook.experiment.retirement import e_value
from tests.experiment.evidences import EVIDENCE, P_SHOWN, ROWS, Row, with_certain, with_row, with_rows


@given(EVIDENCE, st.integers(0, 3), st.integers(0, 3))
def test_what_is_stored_is_what_is_read(evidence: Evidence, flags: int, prevented: int) -> None:
    evidence = replace(evidence, verdicts=(prevented, flags), flags=flags, certain=prevented, shown=flags)
    assert Evidence.from_document(json.loads(json.dumps(evidence.to_document()))) == evidence


def test_no_evidence_is_an_empty_document() -> None:
    assert Evidence().to_document() == {}
    assert Evidence.from_document({}) == Evidence()


@given(ROWS, st.randoms(use_true_random=False), st.integers(0, 20))
def test_the_order_and_the_grouping_of_rows_do_not_matter(rows: list[Row], dice, cut: int) -> None:
    whole = with_rows(rows)
    shuffled = list(rows)
    dice.shuffle(shuffled)
    assert with_rows(shuffled) == whole
    assert with_rows(rows[:cut]) + with_rows(rows[cut:]) == whole
    assert sum((with_row(Evidence(), row) for row in rows), Evidence()) == whole


@given(ROWS)
def test_every_count_is_the_number_of_its_rows(rows: list[Row]) -> None:
    evidence = with_rows(rows)
    total = evidence.total()
    assert (total.shown, total.withheld) == (sum(row.shown for row in rows), sum(not row.shown for row in rows))
    assert evidence.rows == len(rows)
    assert evidence.events == total.events == sum(row.event for row in rows)
    assert total.applied == sum(row.applied and row.shown for row in rows)
    assert total.applied_events == sum(row.applied and row.shown and row.event for row in rows)
    wrong = sum(row.wrong for row in rows)
    assert sum(counts.shown_wrong + counts.withheld_wrong for counts in evidence.side.values()) == wrong
    unexplained = total.unexplained
    assert (unexplained.shown, unexplained.withheld) == (total.shown, total.withheld)
    assert unexplained.shown_wrong + unexplained.withheld_wrong == wrong


@given(EVIDENCE, st.booleans())
def test_what_could_not_be_shown_is_no_row(evidence: Evidence, shown: bool) -> None:
    assert evidence.add_row(shown=shown, p_show=0.0) == evidence
    assert evidence.add_side(shown=shown, p_show=0.0, wrong=True) == evidence
    assert evidence.add_unexplained(shown=shown, p_show=0.0, wrong=True) == evidence


@given(EVIDENCE, st.integers(0, 5), st.integers(1, 9), st.integers(0, 9))
def test_rows_without_a_coin_tell_how_often_the_issue_comes_up_and_nothing_of_the_effect(
    evidence: Evidence, period: int, rows: int, events: int
) -> None:
    more = with_certain(evidence, period, (rows, events))
    before, after = evidence.total(), more.total()
    assert (after.certain_rows, after.certain_events) == (
        before.certain_rows + rows,
        before.certain_events + min(rows, events),
    )
    assert more.share(1.0, period) == 1.0
    assert more.add_side(shown=True, p_show=1.0, wrong=True) == more
    assert (more.rows, more.events, more.verified, more.coins) == (
        evidence.rows,
        evidence.events,
        evidence.verified,
        evidence.coins,
    )
    assert (effect_of(more), e_value(more), lift_of(more)) == (
        effect_of(evidence),
        e_value(evidence),
        lift_of(evidence),
    )


@given(EVIDENCE, P_SHOWN, st.booleans(), st.integers(0, 9), st.sampled_from(["ci", "new"]))
def test_an_event_is_counted_in_its_period_and_for_its_reporter(
    evidence: Evidence, share: float, shown: bool, period: int, reporter: str
) -> None:
    more = evidence.add_event(shown=shown, share=share, reporter=reporter, applied=True, period=period)
    assert more.events == evidence.events + 1
    before = evidence.periods.get(period, Period())
    assert more.periods[period].events == before.events + 1
    assert more.periods[period].applied_events == before.applied_events + shown
    assert more.without_reporter(reporter).reporters == evidence.without_reporter(reporter).reporters
    assert sum(map(sum, more.verified.values())) == more.events


def test_adding_leaves_the_old_evidence_as_it_was() -> None:
    before = Evidence().add_row(shown=True, p_show=0.5)
    kept = before.to_document()
    before.add_row(shown=False, p_show=0.5).add_event(shown=True, share=0.5, reporter="ci").add_application()
    assert before.to_document() == kept


def test_trouble_that_is_found_later_adds_no_row() -> None:
    evidence = Evidence().add_side(shown=True, p_show=0.5, wrong=False)
    assert evidence.add_side(shown=True, p_show=0.5, wrong=True, rows=0).side == {0.5: SideCounts(1, 1, 0, 0)}
    evidence = Evidence().add_unexplained(shown=False, p_show=0.5, wrong=False)
    later = evidence.add_unexplained(shown=False, p_show=0.5, wrong=True, rows=0)
    assert later.total().unexplained == SideCounts(0, 0, 1, 1)


@given(EVIDENCE, st.integers(0, 5))
def test_without_the_agents_statements_rows_and_events_stay(evidence: Evidence, flags: int) -> None:
    bare = replace(evidence, flags=flags).without_claims()
    assert (bare.flags, bare.total().applied, bare.total().applied_events) == (0, 0, 0)
    assert (bare.verified, bare.rows, bare.side) == (evidence.verified, evidence.rows, evidence.side)


@given(P_SHOWN, st.integers(0, 300), st.integers(0, 300))
def test_the_expected_share_lies_between_the_coins_and_what_was_shown(p: float, shown: int, withheld: int) -> None:
    evidence = Evidence(periods={7: Period(coins={p: (shown, withheld)})})
    expected = (shown + SHARE_ROWS * p) / (shown + withheld + SHARE_ROWS)
    share = evidence.share(p, 7)
    assert log(share / (1 - share)) == pytest.approx(log(expected / (1 - expected)), abs=0.0051)
    assert 0 < share < 1


def test_the_expected_share_is_that_of_late_rows_of_the_same_propensity() -> None:
    evidence = Evidence(periods={0: Period(coins={0.5: (500, 0)}), 40: Period(coins={0.8: (0, 500)})})
    assert evidence.share(0.5, SHARE_PERIODS) == pytest.approx(0.5)
    assert evidence.share(0.5, SHARE_PERIODS - 1) > 0.9
    assert evidence.share(0.5, 40) == pytest.approx(0.5)
    assert evidence.share(0.8, 39) == pytest.approx(0.8, abs=0.002)
