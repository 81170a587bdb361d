"""Evidence: counts that add up in any order and survive being stored."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lessonbook.experiment.evidence import Evidence, Period
from tests.experiment.evidences import EVENT, EVIDENCE, P_SHOWN, exposed, with_events


@given(EVIDENCE, st.integers(0, 3), st.integers(0, 3))
def test_what_is_stored_is_what_is_read(evidence: Evidence, flags: int, applied: int) -> None:
    evidence = replace(evidence, verdicts=(applied, flags), flags=flags)
    for number in range(applied):
        evidence = evidence.add_application(p_show=0.5, period=number, event=number == 1)
    assert Evidence.from_document(json.loads(json.dumps(evidence.to_document()))) == evidence


def test_no_evidence_is_an_empty_document() -> None:
    assert Evidence().to_document() == {}
    assert Evidence.from_document({}) == Evidence()


@given(st.lists(EVENT, max_size=20), st.randoms(use_true_random=False), st.integers(0, 20))
def test_the_order_and_the_grouping_of_evidence_do_not_matter(events, dice, cut: int) -> None:
    whole = with_events(events)
    shuffled = list(events)
    dice.shuffle(shuffled)
    assert with_events(shuffled) == whole
    assert with_events(events[:cut]) + with_events(events[cut:]) == whole


@given(EVIDENCE, st.sampled_from([0.0, 1.0]), st.booleans())
def test_certain_deliveries_are_counted_apart(evidence: Evidence, certain: float, verified: bool) -> None:
    shown = certain == 1.0
    more = exposed(evidence, shown=shown, p_show=certain).add_application(p_show=certain)
    more = more.add_event(shown=shown, p_show=certain, verified=verified)
    assert (more.periods, more.verified, more.events) == (evidence.periods, evidence.verified, evidence.events)
    assert more.certain == evidence.certain + 1
    assert more.shown == evidence.shown + shown


@given(EVIDENCE, P_SHOWN, st.booleans(), st.integers(0, 9))
def test_an_event_is_counted_where_it_belongs(evidence: Evidence, p_show: float, shown: bool, period: int) -> None:
    more = evidence.add_event(shown=shown, p_show=p_show, verified=False, applied=True, period=period)
    assert more.events == evidence.events + 1
    assert more.verified == evidence.verified
    before = evidence.periods.get(period, Period())
    assert more.periods[period].applied_events == before.applied_events + shown
    verified = evidence.add_event(shown=shown, p_show=p_show, verified=True, applied=True, period=period)
    assert verified.periods == more.periods
    assert sum(map(sum, verified.verified.values())) == sum(map(sum, evidence.verified.values())) + 1


def test_adding_leaves_the_old_evidence_as_it_was() -> None:
    before = exposed(Evidence(), shown=True, p_show=0.5)
    before.add_event(shown=True, p_show=0.5, verified=True)
    assert before.events == 0
