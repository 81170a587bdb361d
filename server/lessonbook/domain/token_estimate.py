"""The token estimate: the tokens of a model's context window that a text takes."""

from math import ceil
from typing import Final

BYTES_PER_TOKEN: Final = 4


def estimate_tokens(text: str) -> int:
    """Return the estimated number of tokens of `text`: a quarter of its UTF-8 bytes, rounded up."""
    return ceil(len(text.encode()) / BYTES_PER_TOKEN)


def most_tokens(size_bytes: int) -> int:
    """Return the most tokens that a text of `size_bytes` of UTF-8 may take, to be reserved: a third of the bytes."""
    return size_bytes // 3


def estimate_lesson_tokens(text: str, why: str) -> int:
    """Return the estimated number of tokens of a lesson's text and rationale."""
    return estimate_tokens(text) + estimate_tokens(why)
