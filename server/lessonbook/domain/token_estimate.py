"""The token estimate: how much of a model's context window a text takes."""

from math import ceil
from typing import Final

BYTES_PER_TOKEN: Final = 4


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a language model counts in `text`: a quarter of its UTF-8 bytes, rounded up."""
    return ceil(len(text.encode()) / BYTES_PER_TOKEN)


def most_tokens(size_bytes: int) -> int:
    """Return how many tokens a text of `size_bytes` of UTF-8 takes at most, so that they can be set aside: a third."""
    return size_bytes // 3


def estimate_lesson_tokens(text: str, why: str) -> int:
    """Return about how many tokens a lesson's text and rationale take."""
    return estimate_tokens(text) + estimate_tokens(why)
