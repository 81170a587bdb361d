"""The environment variables: `LESSONBOOK_` and a setting's key in capitals."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final, get_origin

from pydantic import BaseModel

from lessonbook.domain.errors import ConfigError
from lessonbook.machine.patterns import lazy_pattern

PREFIX: Final = "LESSONBOOK_"
_OURS: Final = lazy_pattern(rf"{PREFIX}(?:CONFIG|SERVER|TOKEN|TEST_\w+)")
"""Variables that are not settings: the configuration file, a team's server and the token for it, those of tests."""
_HOLDS_SECRET: Final = lazy_pattern(rf"\A{PREFIX}\w+_(?:KEY|TOKEN)")
"""Variables that `api_key_env` may name, here or in another folder's settings."""


def read(settings: type[BaseModel]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each variable that is a setting, and what it sets, keyed as in the file."""
    known = _known(settings)
    for variable, text in os.environ.items():
        if (setting := known.get(variable.upper())) is not None:
            (*section, key), annotation = setting
            values = {key: _value(annotation, text)}
            yield variable, {section[0]: values} if section else values


def refuse_unknown(settings: type[BaseModel], secrets: set[str]) -> None:
    """Check that each variable with our prefix is a setting, is in `secrets`, or has a name for a key or token.

    Raises:
        ConfigError: one is unknown. Its value, which may be a secret, is not repeated.
    """
    known = _known(settings)
    sections = tuple(f"{PREFIX}{keys[0]}_".upper() for keys, _ in known.values() if len(keys) > 1)
    for variable in sorted(os.environ):
        name = variable.upper()
        if not name.startswith(PREFIX) or name in known or variable in secrets or _OURS.fullmatch(name):
            continue
        if _HOLDS_SECRET.fullmatch(name) and not name.startswith(sections):
            continue
        near = [f"{name}_URL"] if f"{name}_URL" in known else get_close_matches(name, known, 1)
        hint = f": did you mean {near[0]}?" if near else "."
        raise ConfigError(f"There is no setting {variable[:100]!a}{hint} config.example.toml has all of them.")


def _known(settings: type[BaseModel], *section: str) -> dict[str, tuple[tuple[str, ...], object]]:
    """Return the keys and the type of each setting by the variable that sets it."""
    known: dict[str, tuple[tuple[str, ...], object]] = {}
    for name, field in settings.model_fields.items():
        annotation: object = field.annotation  # pyright: ignore[reportUnknownMemberType]  # pydantic's own is partial
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            known |= _known(annotation, name)
        else:
            keys = (*section, name)
            known[PREFIX + "_".join(keys).upper()] = keys, annotation
    return known


def _value(annotation: object, text: str) -> object:
    """Return the value of a variable; a list is written as JSON, or with commas."""
    if get_origin(annotation) is not list:
        return text
    if not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError:
        return text  # validation reports the wrong value
