"""Compact JSON schemas: every byte of them is in every agent's prompt."""

import copy
import functools
from collections.abc import Collection
from typing import Any, Final, cast

from pydantic import BaseModel

from lessonbook.domain.vocabulary import UNSAID

Schema = dict[str, Any]

_DROPPED: Final = frozenset({"title", "default", "$defs"})
_DROPPED_OF_RESULTS: Final = frozenset({"description", "enum", "const"})


def input_schema(model: type[BaseModel]) -> Schema:
    """Return the schema of a tool's arguments: no titles, references inlined, nullables flattened."""
    return copy.deepcopy(_schema(model, is_input=True))


def output_schema(model: type[BaseModel], left_out: Collection[str] = ()) -> Schema:
    """Return the schema of a tool's structured content: its shape only, since clients check every answer against it.

    Fields that say nothing are left out of an answer, so nothing is null, and what has a default is not required.
    """
    schema = copy.deepcopy(_schema(model, is_input=False))
    for name in left_out:
        schema["properties"].pop(name)
    schema["required"] = [name for name in schema.get("required", ()) if name not in left_out]
    return schema


@functools.cache  # tools and REST both ask for each, and pydantic takes milliseconds to make one
def _schema(model: type[BaseModel], *, is_input: bool) -> Schema:
    schema = model.model_json_schema(mode="validation" if is_input else "serialization")
    compact = _compact(schema, schema.get("$defs", {}), is_input=is_input)
    if is_input:
        compact.pop("description", None)
    return compact


def _compact(schema: Schema, definitions: dict[str, Schema], *, is_input: bool) -> Schema:
    """Return `schema` without what a reader can do without; descriptions are kept for arguments only."""
    schema = _inlined(schema, definitions)
    if (flat := _not_null(schema)) is not None:
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return _compact({**(_unsayable(flat) if is_input else flat), **rest}, definitions, is_input=is_input)
    if not is_input and (merged := _merged(schema, definitions)) is not None:
        return _compact(merged, definitions, is_input=False)
    compact: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            fields = cast("dict[str, Schema]", value)
            compact[key] = {name: _compact(field, definitions, is_input=is_input) for name, field in fields.items()}
        elif key not in _DROPPED and (is_input or key not in _DROPPED_OF_RESULTS):
            compact[key] = _compact_value(value, definitions, is_input=is_input)
    return compact


def _compact_value(value: object, definitions: dict[str, Schema], *, is_input: bool) -> object:
    if isinstance(value, list):
        return [_compact_value(item, definitions, is_input=is_input) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return _compact(cast("Schema", value), definitions, is_input=is_input)
    return value


def _inlined(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return `schema` with its reference, if it is one, replaced by what it refers to."""
    if "$ref" not in schema:
        return schema
    target = definitions[cast("str", schema["$ref"]).rpartition("/")[2]]
    own = {key: value for key, value in schema.items() if key != "$ref"}
    return {**{key: value for key, value in target.items() if key != "description"}, **own}


def _unsayable(schema: Schema) -> Schema:
    """Return the schema of an argument that may be left unsaid by callers that must give every argument.

    Texts are left unsaid by an empty one. In an `enum` some models accept neither null nor an empty text.
    """
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], UNSAID]}
    return {**schema, "type": [schema["type"], "null"]} if schema.get("type") != "string" else schema


def _merged(schema: Schema, definitions: dict[str, Schema]) -> Schema | None:
    """Return one object with the members of all alternatives, where all are objects; required is what all require."""
    options = [_inlined(option, definitions) for option in cast("list[Schema]", schema.get("anyOf", []))]
    if not options or any("properties" not in option for option in options):
        return None
    properties = {name: field for option in options for name, field in option["properties"].items()}
    required = [name for name in properties if all(name in option.get("required", ()) for option in options)]
    return {"type": "object", "properties": properties, "required": required}


def _not_null(schema: Schema) -> Schema | None:
    """Return the one alternative that `schema` leaves beside null, or None."""
    options = cast("list[Schema]", schema.get("anyOf", []))
    others = [option for option in options if option.get("type") != "null"]
    return others[0] if len(others) == 1 < len(options) else None
