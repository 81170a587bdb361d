"""Parsing values from outside into requests, with one sentence on what to correct."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lessonbook.domain.errors import InvalidInput

Model = TypeVar("Model", bound=BaseModel)

_FAULTS_MAX: Final = 3
_DEPTH_MAX: Final = 8
"""Requests nest their fields less deeply than this; deeper values are refused by the model."""


def parse(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Return `values` as a `model`.

    Some clients send lists and objects as JSON texts, which are parsed. Many send every known argument, with null for
    those that are left out: a null counts as left out, also inside a list of objects.

    Raises:
        InvalidInput: a field is missing, unknown or out of bounds. The message names it, and never repeats its value.
    """
    try:
        given = {key: _read(model, key, value) for key, value in values.items()}
        return model.model_validate(_without_nulls(given))
    except ValidationError as error:
        raise InvalidInput(explain(error, model)) from error


def explain(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Return a sentence on the faults, at most three of them."""
    faults = error.errors(include_url=False, include_input=False, include_context=True)
    sentences = [_sentence(fault, model) for fault in faults[:_FAULTS_MAX]]
    more = len(faults) - len(sentences)
    return "; ".join(sentences) + (f"; and {more} more" if more > 0 else "")


def _read(model: type[BaseModel], key: str, value: Any) -> Any:
    field = model.model_fields.get(key)
    if not isinstance(value, str) or field is None or field.annotation is str or value[:1] not in {"[", "{"}:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _without_nulls(value: Any, depth: int = 0) -> Any:
    """Return `value` without the null members of its objects; lists keep their length, so that places stay right."""
    if depth == _DEPTH_MAX:
        return value
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value).items()
        return {key: _without_nulls(member, depth + 1) for key, member in members if member is not None}
    if isinstance(value, list):
        return [_without_nulls(item, depth + 1) for item in cast("list[Any]", value)]
    return value


def _sentence(fault: ErrorDetails, model: type[BaseModel] | None) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "the request"
    match fault["type"]:
        case "extra_forbidden":
            known = _names_at(model, fault["loc"])
            near = get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            return f"unknown argument {_short(place)!r}: {hint}"
        case "missing":
            return f"{place} is missing"
        case "string_too_long" | "too_long" if _is_of_text(fault):
            return f"{place} has more than {fault.get('ctx', {}).get('max_length')} characters; shorten it"
        case "string_too_short" | "too_short" if _is_of_text(fault):
            return f"{place} is empty; write at least a word"
        case "nul" | "surrogate" | "empty":
            return f"{place} {fault['msg']}"
        case _:
            return f"{place}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _is_of_text(fault: ErrorDetails) -> bool:
    """Return whether a length is of a text, which pydantic calls a value where a validator of ours ran first."""
    return fault["type"].startswith("string") or fault.get("ctx", {}).get("field_type") == "Value"


def _short(place: str) -> str:
    return place if len(place) <= 80 else place[:77] + "..."  # noqa: PLR2004  # a misspelt name is never that long


def _names_at(model: type[BaseModel] | None, place: tuple[int | str, ...]) -> list[str]:
    """Return the known field names at the place of an unknown one."""
    here: Any = model
    for part in place[:-1]:
        if isinstance(part, int) or here is None:
            continue
        here = _model_in(here.model_fields[part].annotation) if part in here.model_fields else None
    return list(here.model_fields) if here is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
