"""Changes of one table in TOML: comments and order stay as they are."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from lessonbook.domain.errors import InvalidInput

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def read(text: str) -> dict[str, Any]:
    """Return what a text holds.

    Raises:
        InvalidInput: the text is not valid TOML.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInput(f"it is not valid TOML ({error})") from error


def with_member(text: str, key: str, name: str, value: dict[str, Any]) -> str:
    """Return the text after setting the table `name` in the table `key`.

    Raises:
        InvalidInput: the text is not valid TOML, or `key` is not a table.
    """
    import tomlkit

    document = _document(text, key)
    if key not in document:
        document[key] = tomlkit.table(is_super_table=True)
    servers: Any = document[key]
    table = tomlkit.table()
    for field, content in value.items():
        table[field] = content
    servers[name] = table
    return tomlkit.dumps(document)


def without_member(text: str, key: str, name: str) -> str:
    """Return the text after removing the table `name` from the table `key`.

    Raises:
        InvalidInput: as for `with_member`.
    """
    import tomlkit

    document = _document(text, key)
    if name not in document.unwrap().get(key, {}):
        return text
    servers: Any = document[key]
    del servers[name]
    if not servers:
        del document[key]
    return tomlkit.dumps(document)


def _document(text: str, key: str) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    if not isinstance(read(text).get(key, {}), dict):
        raise InvalidInput(f"its {key!r} is not a table")
    try:
        return tomlkit.parse(text)
    except (TOMLKitError, RecursionError) as error:
        raise InvalidInput(f"it is not valid TOML ({error})") from error
