"""Evidence drawn for property tests."""

from dataclasses import replace

from hypothesis import strategies as st

from lessonbook.experiment.evidence import Evidence, Period

P_SHOWN = st.sampled_from([0.02, 0.1, 0.5, 0.8, 0.95])
EVENT = st.tuples(st.booleans(), P_SHOWN, st.booleans(), st.integers(0, 5))


def exposed(evidence: Evidence, *, shown: bool, p_show: float, period: int = 0) -> Evidence:
    """Return the evidence with one more exposure."""
    if not 0.0 < p_show < 1.0:
        return replace(evidence, certain=evidence.certain + 1, shown=evidence.shown + shown)
    periods = {period: Period(shown=int(shown), withheld=int(not shown))}
    return evidence + Evidence(periods=periods, shown=int(shown))


def with_events(events: list[tuple[bool, float, bool, int]]) -> Evidence:
    """Return the evidence of exposures that all had an event: (shown, p, verified, period)."""
    evidence = Evidence()
    for shown, p_show, verified, period in events:
        evidence = exposed(evidence, shown=shown, p_show=p_show, period=period)
        evidence = evidence.add_event(shown=shown, p_show=p_show, verified=verified, period=period)
    return evidence


EVIDENCE = st.lists(EVENT, max_size=25).map(with_events)
