"""What to write instead of a value that a model refuses. pydantic's own words never leave: nobody can act on them."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, get_args

from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

_OTHER: Final = "write another value: this one cannot be read"
_WHOLE: Final = "write a whole number"
_NUMBER: Final = "write a number"
_TABLE: Final = "write an object with named fields"
_LIST: Final = "write a list"
_TEXT: Final = "write a text"
_TIME: Final = "write a date or time as in 2026-01-31T12:00:00Z"

_CORRECTIONS: Final[Mapping[str, str]] = {
    "missing": "write it: it is required",
    "extra_forbidden": "leave it out: it is not known here",
    "unexpected_keyword_argument": "leave it out: it is not a key that is known here",
    "none_required": "leave it out",
    "string_type": _TEXT,
    "string_unicode": "send valid Unicode: it has half of a surrogate pair",
    "string_too_long": "write at most {max_length} characters",
    "string_too_short": "write at least {min_length} characters",
    "string_pattern_mismatch": "write it in another form: it has a character that is not allowed here",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "write a smaller number",
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "write a finite number",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "literal_error": "write {expected}",
    "enum": "write {expected}",
    "greater_than": "write a number above {gt}",
    "greater_than_equal": "write a number that is {ge} or more",
    "less_than": "write a number below {lt}",
    "less_than_equal": "write a number that is {le} or less",
    "multiple_of": "write a multiple of {multiple_of}",
    "too_long": "write at most {max_length} items",
    "too_short": "write at least {min_length} items",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "iterable_type": _LIST,
    "dict_type": _TABLE,
    "mapping_type": _TABLE,
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
    "dataclass_type": _TABLE,
    "json_invalid": "write valid JSON",
    "json_type": "write valid JSON",
    "path_type": "write a path",
    "url_parsing": "write a URL",
    "url_type": "write a URL",
}
"""The correction for each of pydantic's kinds of faults that our models can have, with fields of its context."""


def correction_of(fault: ErrorDetails) -> str:
    """Return what to write instead, an imperative without the place. It never repeats the value."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind in _CORRECTIONS:
        return _filled_in(_CORRECTIONS[kind], context)
    if kind.startswith(("date", "time")):
        return _TIME
    # pydantic has a few kinds more than it lists, which speak of the input as those do. The others are our own.
    return _OTHER if kind in _known() or fault["msg"].startswith("Input ") else fault["msg"]


def _filled_in(correction: str, context: Mapping[str, Any]) -> str:
    numbers = {name: f"{bound:g}" for name, bound in context.items() if isinstance(bound, float)}
    correction = correction.format_map({**context, **numbers})
    for count in ("characters", "items"):
        correction = correction.replace(f" 1 {count}", f" 1 {count[:-1]}")
    return correction


@cache
def _known() -> frozenset[str]:
    return frozenset(get_args(ErrorType))
