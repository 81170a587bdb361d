"""Parsing values from outside into requests, with one sentence on what to correct."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lessonbook.domain.corrections import correction_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.lenient_reading import read_fields

Model = TypeVar("Model", bound=BaseModel)

_FAULTS_MAX: Final = 3
_NAME_MAX: Final = 80
"""Characters of a name that are compared and repeated: a misspelt one is never longer."""


def parse(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Return `values` as a `model`.

    They are read leniently (`domain/lenient_reading`): null counts as left out, a text as a list of one, and so on.

    Raises:
        InvalidInput: a field is missing, unknown, out of bounds or ambiguous. The message names it, and never repeats
            its value.
    """
    try:
        return model.model_validate(read_fields(model, values))
    except ValidationError as error:
        raise InvalidInput(explain(error, model)) from error


def explain(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Return a sentence on the faults, at most three of them."""
    faults = error.errors(include_url=False, include_input=False, include_context=True)
    return sentences_of(faults, model)


def sentences_of(
    faults: Sequence[ErrorDetails], model: type[BaseModel] | None = None, whole: str = "the request"
) -> str:
    """Return a sentence on pydantic's faults, at most three; `whole` names what a fault without a place is in."""
    sentences = [_sentence(fault, model, whole) for fault in faults[:_FAULTS_MAX]]
    more = len(faults) - len(sentences)
    return "; ".join(sentences) + (f"; and {more} more" if more > 0 else "")


def _sentence(fault: ErrorDetails, model: type[BaseModel] | None, whole: str) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or whole
    match fault["type"]:
        case "extra_forbidden":
            known = _names_at(model, fault["loc"])
            near = get_close_matches(str(fault["loc"][-1])[:_NAME_MAX], known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known) or 'none'}"
            return f"unknown argument {_short(place)!r}: {hint}"
        case "missing":
            return f"{_short(place)} is missing"
        case "string_too_long" | "too_long" if _is_of_text(fault):
            return f"{place} has more than {fault.get('ctx', {}).get('max_length')} characters; shorten it"
        case "string_too_short" | "too_short" if _is_of_text(fault):
            return f"{place} is empty; write at least a word"
        case "string_unicode":
            return f"{place} has half of a surrogate pair; send valid Unicode"
        case "nul" | "surrogate" | "empty":
            return f"{place} {fault['msg']}"
        case _:
            return f"{_short(place)}: {correction_of(fault)}"


def _is_of_text(fault: ErrorDetails) -> bool:
    """Return whether a length is of a text, which pydantic calls a value where a validator of ours ran first."""
    return fault["type"].startswith("string") or fault.get("ctx", {}).get("field_type") == "Value"


def _short(place: str) -> str:
    return place if len(place) <= _NAME_MAX else place[: _NAME_MAX - 3] + "..."


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
