"""The budget, and the order in which lessons compete for it."""

from hypothesis import given
from hypothesis import strategies as st

from lessonbook.experiment.lesson_value import fill, static_score, value

SIZES = st.lists(st.integers(1, 60), max_size=40)


@given(SIZES, st.integers(1, 50), st.integers(0, 200), st.integers(0, 60))
def test_what_is_chosen_fits_and_nothing_that_still_fits_is_left(
    sizes: list[int], most: int, max_tokens: int, overhead: int
) -> None:
    items = list(enumerate(sizes))
    chosen = fill(items, most=most, max_tokens=max_tokens, overhead=overhead, cost=lambda item: item[1])
    spent = overhead + sum(size for _, size in chosen)
    assert len(chosen) <= most
    assert spent <= max_tokens or not chosen
    assert chosen == sorted(chosen)
    taken = overhead
    for number, size in items:
        if (number, size) in chosen:
            taken += size
        elif len([item for item in chosen if item[0] < number]) < most:
            assert taken + size > max_tokens


@given(st.integers(1, 3), st.floats(-3, 1), st.floats(0, 0.9))
def test_more_severe_more_effective_or_more_fitting_is_worth_more(severity: int, effect: float, score: float) -> None:
    own = static_score(severity, effect)
    assert static_score(severity + 1, effect) > own > 0
    assert static_score(severity, effect + 0.1) >= own
    assert value(own, score + 0.1) > value(own, score) > 0
    assert value(own * 2, score) > value(own, score)


def test_a_perfect_fit_beats_any_severity_without_one() -> None:
    assert value(static_score(1, 0.5), 1.0) > value(static_score(4, 0.5), 0.0)
