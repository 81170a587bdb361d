"""Expiry: showing a lesson keeps an active one, proves nothing of one on probation, and nothing stands for ever."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lessonbook.experiment.expiry import lapse

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = st.integers(1, 400)


@given(DAYS, DAYS)
def test_an_active_lesson_has_time_from_its_last_delivery_on(ttl_days: int, ago_days: int) -> None:
    delivered_at = NOW - timedelta(days=ago_days)
    found = lapse(active=True, delivered_at=delivered_at, now=NOW, ttl_days=ttl_days)
    if ago_days < ttl_days:
        assert (found.status, found.until) == ("active", delivered_at + timedelta(days=ttl_days))
    else:
        assert (found.status, found.until) == ("probation", NOW + timedelta(days=ttl_days))
    assert found.until is not None
    assert found.until > NOW


@given(DAYS, st.none() | st.just(NOW))
def test_a_lesson_on_probation_expires_however_lately_it_was_shown(
    ttl_days: int, delivered_at: datetime | None
) -> None:
    assert lapse(active=False, delivered_at=delivered_at, now=NOW, ttl_days=ttl_days).status == "expired"


def test_an_active_lesson_that_was_never_delivered_goes_back_to_probation() -> None:
    assert lapse(active=True, delivered_at=None, now=NOW, ttl_days=90).status == "probation"
