"""Evidence drawn for property tests."""

from hypothesis import strategies as st

from lessonbook.experiment.evidence import Evidence

P_SHOWN = st.sampled_from([0.02, 0.1, 0.5, 0.8, 0.95])
EVENT = st.tuples(st.booleans(), P_SHOWN, st.booleans(), st.integers(0, 5))


def with_events(events: list[tuple[bool, float, bool, int]]) -> Evidence:
    """Return the evidence of exposures that all had an event: (shown, p, verified, period)."""
    evidence = Evidence()
    for shown, p_show, verified, period in events:
        evidence = evidence.add_exposure(shown=shown, p_show=p_show, period=period)
        evidence = evidence.add_event(shown=shown, p_show=p_show, verified=verified, period=period)
    return evidence


EVIDENCE = st.lists(EVENT, max_size=25).map(with_events)
