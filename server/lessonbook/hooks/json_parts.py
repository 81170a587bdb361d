"""Reading the parts of a JSON document without trusting its shape; `domain.documents` does too, and loads pydantic."""

from __future__ import annotations

import json
from typing import cast


def read_object(text: str | bytes) -> dict[str, object]:
    """Return the JSON object that a text holds; empty if it holds none."""
    try:
        return object_of(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def object_of(value: object) -> dict[str, object]:
    """Return a JSON object; empty if the value is none."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def list_of(value: object) -> list[object]:
    """Return a JSON array; empty if the value is none."""
    return cast("list[object]", value) if isinstance(value, list) else []


def text_of(value: object) -> str:
    """Return a text without NUL and halves of surrogate pairs, which no database stores; empty if it is none."""
    return value.encode("utf-8", "replace").decode().replace("\0", " ") if isinstance(value, str) else ""
