import pytest

from lessonbook.experiment.intervals import wilson_interval


@pytest.mark.parametrize(
    ("share", "observations", "low", "high"),
    [(0.5, 10, 0.2366, 0.7634), (1.0, 20, 0.8389, 1.0), (0.0, 5, 0.0, 0.4345), (0.3, 10, 0.1078, 0.6032)],
)
def test_the_score_interval_of_a_share(share: float, observations: float, low: float, high: float):
    assert wilson_interval(share, observations) == pytest.approx((low, high), abs=1e-4)
