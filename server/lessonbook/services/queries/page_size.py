"""Pages by size: as many items as an answer to a model may hold."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar, cast

from lessonbook.domain.agent_tools import Result
from lessonbook.domain.token_estimate import estimate_tokens

FRAME_TOKENS: Final = 300
"""What is reserved of an answer for everything but its items."""
_SHORTEST: Final = 40
"""Texts of fewer characters are not cut."""

Item = TypeVar("Item", bound=Result)


def tokens_of(*items: Result) -> int:
    """Return the estimated tokens of results as structured content."""
    return sum(estimate_tokens(f"{item.model_dump_json(exclude_defaults=True)},") for item in items)


def fitting(items: Sequence[Item], room: int | None) -> list[Item]:
    """Return the first of `items` that fit `room` tokens, at least one; None: all of them.

    An item that needs more than the whole room has its longest texts cut, so that every page goes on.
    """
    if room is None:
        return list(items)
    kept: list[Item] = []
    for item in items:
        room -= tokens_of(item)
        if room < 0:
            break
        kept.append(item)
    return kept or [cut(item, room + tokens_of(item)) for item in items[:1]]


def cut(item: Item, room: int) -> Item:
    """Return an item whose longest texts are cut until it fits `room` tokens, as far as they can be cut."""
    while tokens_of(item) > room:
        document = item.model_dump(mode="json")
        if not _halve_longest(document):
            break
        item = type(item).model_validate(document)
    return item


def _halve_longest(document: dict[str, Any]) -> bool:
    """Cut the longest text of a document to a half; returns False where all are short."""
    holder, key, text = max(_texts(document), key=lambda place: len(place[2]), default=(document, "", ""))
    if len(text) < _SHORTEST:
        return False
    half = text.removesuffix("…")[: len(text) // 2]
    holder[key] = f"{half}…"
    return True


def _texts(value: object) -> list[tuple[Any, Any, str]]:
    """Return every text in a document of JSON, with the object or list that holds it and its key there."""
    if isinstance(value, dict):
        members = list(cast("dict[Any, object]", value).items())
    elif isinstance(value, list):
        members = list(enumerate(cast("list[object]", value)))
    else:
        return []
    found: list[tuple[Any, Any, str]] = []
    for key, member in members:
        found += [(value, key, member)] if isinstance(member, str) else _texts(member)
    return found
