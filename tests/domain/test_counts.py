"""Numbers of things in sentences."""

import pytest

from lessonbook.domain.counts import count_of


@pytest.mark.parametrize(
    ("count", "thing", "told"),
    [(0, "issue", "0 issues"), (1, "issue", "1 issue"), (2, "issue", "2 issues"), (2, "entry", "2 entries")],
)
def test_a_noun_takes_the_form_of_its_number(count: int, thing: str, told: str):
    assert count_of(count, thing) == told
