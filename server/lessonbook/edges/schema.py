"""JSON schemas as small as they can be: every byte of them is in every agent's prompt."""

from typing import Any, Final

from pydantic import BaseModel

_DROPPED: Final = frozenset({"title", "default", "$defs"})


def input_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a tool's arguments: no titles, references inlined, nullables flattened."""
    schema = model.model_json_schema()
    compact = _compact(schema, schema.get("$defs", {}), keep=("description",))
    compact.pop("description", None)
    return compact


def output_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a tool's result: its shape only, since clients check every answer against it."""
    schema = model.model_json_schema(mode="serialization")
    return _compact(schema, schema.get("$defs", {}), keep=())


def _compact(schema: Any, definitions: dict[str, Any], keep: tuple[str, ...]) -> Any:
    if isinstance(schema, list):
        return [_compact(item, definitions, keep) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = dict(definitions[schema["$ref"].rpartition("/")[2]])
        target.pop("description", None)
        return _compact({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions, keep)
    if "anyOf" in schema and (flat := _not_null(schema["anyOf"])) is not None and keep:
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return _compact({**flat, **rest}, definitions, keep)
    compact: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            compact[key] = {name: _compact(item, definitions, keep) for name, item in value.items()}
        elif key not in _DROPPED and (key != "description" or key in keep):
            compact[key] = _compact(value, definitions, keep)
    return compact


def _not_null(options: list[Any]) -> Any:
    """Return the one alternative beside null, or None."""
    others = [option for option in options if option.get("type") != "null"]
    return others[0] if len(others) == 1 and len(others) < len(options) else None
