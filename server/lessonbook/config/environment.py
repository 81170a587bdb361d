"""Our environment variables: `LESSONBOOK_` and a setting's key in capitals."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final, cast, get_origin

from pydantic import BaseModel

from lessonbook.domain.errors import ConfigError

PREFIX: Final = "LESSONBOOK_"
_OURS: Final = re.compile(rf"{PREFIX}(?:CONFIG|TOKEN|TEST_\w+)")
"""Variables that are no settings: the configuration file, the token of `report --server`, what tests need."""
_HOLDS_SECRET: Final = re.compile(rf"\A{PREFIX}\w+_(?:KEY|TOKEN)")
"""Variables that `api_key_env` may name, in this folder or in another."""


def read(settings: type[BaseModel]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each variable that is a setting, and what it sets, keyed as in the file."""
    known = _known(settings)
    for variable, text in os.environ.items():
        if (keys := known.get(variable.upper())) is not None:
            yield variable, _nested(keys, _value(_annotation(settings, keys), text))


def refuse_unknown(settings: type[BaseModel], secrets: set[str]) -> None:
    """See that each variable with our prefix is a setting, or is named to hold a secret (by `secrets`, or as keys are).

    Raises:
        ConfigError: one is neither. Its value, which may be a secret, is not repeated.
    """
    known = _known(settings)
    sections = tuple(f"{PREFIX}{keys[0]}_".upper() for keys in known.values() if len(keys) > 1)
    for variable in sorted(os.environ):
        name = variable.upper()
        if not name.startswith(PREFIX) or name in known or variable in secrets or _OURS.fullmatch(name):
            continue
        if _HOLDS_SECRET.fullmatch(name) and not name.startswith(sections):
            continue
        near = [f"{name}_URL"] if f"{name}_URL" in known else get_close_matches(name, known, 1)
        hint = f": did you mean {near[0]}?" if near else "."
        raise ConfigError(f"There is no setting {variable[:100]!a}{hint} config.example.toml has all of them.")


def _known(settings: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """Return the keys of each setting by the variable that sets it."""
    known: dict[str, tuple[str, ...]] = {}
    for name in settings.model_fields:
        section = _section(settings, name)
        for keys in [(name, key) for key in section.model_fields] if section else [(name,)]:
            known[PREFIX + "_".join(keys).upper()] = keys
    return known


def _section(settings: type[BaseModel], name: str) -> type[BaseModel] | None:
    annotation = settings.model_fields[name].annotation
    is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return cast("type[BaseModel]", annotation) if is_section else None


def _annotation(settings: type[BaseModel], keys: Sequence[str]) -> object:
    section = _section(settings, keys[0]) or settings
    return section.model_fields[keys[-1]].annotation


def _nested(keys: Sequence[str], value: object) -> dict[str, Any]:
    return {keys[0]: _nested(keys[1:], value) if len(keys) > 1 else value}


def _value(annotation: object, text: str) -> object:
    """Return what a variable says; a list is written as JSON, or with commas."""
    if get_origin(annotation) is not list:
        return text
    if not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError:
        return text  # told as a wrong value
