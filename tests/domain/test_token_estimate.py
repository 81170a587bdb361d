"""The token estimate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.token_estimate import estimate_tokens, most_tokens


@given(st.text(max_size=200), st.text(max_size=200))
def test_tokens_of_parts_are_never_fewer_than_those_of_the_whole(one: str, other: str) -> None:
    assert estimate_tokens(one + other) <= estimate_tokens(one) + estimate_tokens(other)
    assert estimate_tokens(one + other) >= estimate_tokens(one)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("ü", 1), ("🚀🚀", 2)])
def test_a_token_is_a_quarter_of_the_bytes_rounded_up(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@given(st.text(max_size=200))
def test_what_is_set_aside_is_about_what_is_estimated_or_more(text: str) -> None:
    assert most_tokens(len(text.encode())) >= estimate_tokens(text) - 1
