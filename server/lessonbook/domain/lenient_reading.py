"""Lenient reading of requests: what clients send instead of what a field wants, where it can mean one thing only.

Models and the converters between them and MCP send null or an empty text for what they leave out, a text for a list,
JSON in a text, numbers and booleans as texts, and names in any case. A value that may mean two things stays an error.
"""

import json
import types
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, cast, get_args, get_origin

from pydantic import BaseModel

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.vocabulary import HOLDS_NO_COMMA, UNSAID
from lessonbook.machine.patterns import lazy_pattern

DEPTH_MAX: Final = 8
"""Levels of lists and objects within one value; requests nest their fields less deeply than this."""
TOO_DEEP: Final = f"nested more than {DEPTH_MAX} levels deep; send the arguments as their description says"
_PLACE_MAX: Final = 80
_ENCODED_MAX: Final = 2
"""How often a client may have encoded a value as JSON."""
_BROKEN: Final = lazy_pattern(r"\A\s*(?:\[\s*(?:\Z|[\[{\"\d-])|\{\s*(?:\Z|[\"}\]]))")
"""How a text begins that is meant as JSON; where it is not valid, its end may have been cut off."""
_NOTHING: Final = frozenset({"", "null", "none"})
"""Texts that mean a missing number, boolean or name."""


class _FieldType(NamedTuple):
    """The type that a field wants: its kind, its items or model, and the names it may have."""

    kind: Literal["text", "names", "number", "flag", "list", "model", "other"]
    names: tuple[str, ...] = ()
    item: Any = None
    is_nullable: bool = False
    has_no_comma: bool = False
    is_required: bool = False


def read_fields(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a request as its `model` wants them, as far as they can mean one thing only.

    Raises:
        InvalidInput: a value may mean two things.
    """
    return _read_fields(model, values, "")


def _read_fields(model: type[BaseModel], values: Mapping[str, Any], place: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    types_of_fields = _types_in(model)
    for key, value in values.items():
        if value is None:
            continue
        if (wanted := types_of_fields.get(key)) is None:
            given[key] = _without_nulls(value, place=f"{place}{key}")
        elif wanted.is_required or not _is_unsaid(value, wanted):
            given[key] = _read(value, wanted, f"{place}{key}")
    return given


@cache
def _types_in(model: type[BaseModel]) -> dict[str, _FieldType]:
    """Return what each field of a model wants."""
    return {
        name: _type_of(field.annotation, tuple(field.metadata))._replace(is_required=field.is_required())
        for name, field in model.model_fields.items()
    }


def _is_unsaid(value: Any, wanted: _FieldType) -> bool:
    """Return whether a value of an optional field means that it is left out."""
    if not isinstance(value, str) or wanted.kind in {"text", "other"}:
        return False
    said = value.strip().lower()
    return said == "" or (wanted.kind != "list" and said in _NOTHING) or (wanted.is_nullable and said == UNSAID)


def _read(value: Any, wanted: _FieldType, place: str) -> Any:
    match wanted.kind:
        case "names" if isinstance(value, str):
            said = value.strip().lower().replace("_", "-").replace(" ", "-")
            return next((name for name in wanted.names if name.replace(" ", "-") == said), value)
        case "number" | "flag" if isinstance(value, str):
            return value.strip().lower()
        case "list":
            return _read_list(value, wanted, place)
        case "model":
            return _read_model(value, wanted.item, place)
        case _:
            return _without_nulls(value, place=place)


def _read_list(value: Any, wanted: _FieldType, place: str) -> Any:
    value = _decoded(value, "[{")
    if isinstance(value, str):
        value = _listed(value, wanted.item, place)
    elif isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        return value
    return [_read(item, wanted.item, f"{place}.{index}") for index, item in enumerate(cast("list[Any]", value))]


def _listed(text: str, item: _FieldType, place: str) -> list[Any] | str:
    """Return the items of a list that was sent as one text."""
    if not text.strip():
        return []
    _refuse_broken(text, place)
    if item.kind == "model":
        return [text]
    if item.kind == "names" or item.has_no_comma:
        return [part for part in (part.strip() for part in text.replace("\n", ",").split(",")) if part]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any("," in line for line in lines):
        raise InvalidInput(f"{place}: a text with a comma may be one item or several; send a list of texts")
    return lines


def _read_model(value: Any, model: type[BaseModel], place: str) -> Any:
    value = _decoded(value, "{")
    if isinstance(value, str) and "description" in model.model_fields:
        _refuse_broken(value, place)
        return {"description": value}
    if isinstance(value, Mapping):
        return _read_fields(model, cast("Mapping[str, Any]", value), f"{place}.")
    return value


def _refuse_broken(text: str, place: str) -> None:
    if _BROKEN.match(text):
        raise InvalidInput(f"{place}: begins like JSON but is not valid JSON; send a list or an object")


def _decoded(value: Any, first: str) -> Any:
    """Return what a text of JSON says, if it is one that begins with one of the characters of `first`."""
    for _ in range(_ENCODED_MAX):
        if not isinstance(value, str) or value.lstrip()[:1] not in {*first, '"'}:
            return value
        try:
            decoded: Any = json.loads(value)
        except (ValueError, RecursionError):
            return value
        if not isinstance(decoded, (list, dict, str)):
            return value
        value = cast("Any", decoded)
    return value


def _without_nulls(value: Any, depth: int = 0, *, place: str) -> Any:
    """Return `value` without the null members of its objects; lists keep their length, so that places stay right.

    Raises:
        InvalidInput: it is nested more deeply than any request.
    """
    if isinstance(value, (Mapping, list)) and depth == DEPTH_MAX:
        raise InvalidInput(f"{place[:_PLACE_MAX]}: {TOO_DEEP}")
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value).items()
        return {key: _without_nulls(member, depth + 1, place=place) for key, member in members if member is not None}
    if isinstance(value, list):
        return [_without_nulls(item, depth + 1, place=place) for item in cast("list[Any]", value)]
    return value


def _type_of(annotation: Any, metadata: tuple[Any, ...] = ()) -> _FieldType:
    """Return what a field of this type wants."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_of(parts[0], (*parts[1:], *metadata))
    if origin in {Union, types.UnionType}:
        others = [part for part in parts if part is not types.NoneType]
        return _type_of(others[0], metadata)._replace(is_nullable=True) if len(others) == 1 else _FieldType("other")
    if origin is Literal:
        return _FieldType("names", names=parts)
    if origin is list:
        return _FieldType("list", item=_type_of(parts[0]))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _FieldType("model", item=annotation)
    if annotation is bool:
        return _FieldType("flag")
    if annotation in {int, float}:
        return _FieldType("number")
    return _FieldType("text" if annotation is str else "other", has_no_comma=HOLDS_NO_COMMA in metadata)
