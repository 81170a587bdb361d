"""Reading JSON from outside: decoding it, and reading its parts without trusting its shape."""

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Final, TypeGuard, TypeVar

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from lessonbook.domain.corrections import correction_of
from lessonbook.domain.errors import ConfigError, InvalidInput
from lessonbook.domain.vocabulary import storable
from lessonbook.machine import packed_words
from lessonbook.machine.prepared import prepared

Phrase = Annotated[str, StringConstraints(pattern=r"\S")]
"""A text of a data file, with a visible character."""
Phrases = tuple[Phrase, ...]
Label = Annotated[str, StringConstraints(pattern=r"^\S(?s:.*\S)?$")]
"""A text of a data file, without white space around it."""

_MODEL_VERSION: Final = 1
_Form = TypeVar("_Form")


class Unreadable(Exception):
    """One record of a file cannot be read; its words give a person the reason."""


def read_data(file: Traversable) -> bytes:
    """Return the content of a data file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file.name}: cannot be read: {error.strerror}", place=str(file)) from error


def load_toml(file: Traversable, form: type[_Form]) -> _Form:
    """Return what a TOML file holds as a `form`, a dataclass whose fields pydantic checks.

    Raises:
        ConfigError: the file cannot be read, or is not of that form; names the file, the entry and the key.
    """
    content = read_data(file)
    try:
        document = prepared(file.name, [content], lambda: tomllib.loads(content.decode("utf-8")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file.name}: cannot be read as TOML: {error}") from error
    try:
        return TypeAdapter(form).validate_python(document)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise ConfigError(f"{file.name}: {_place(document, fault['loc'])}: {correction_of(fault)}") from None


def load_model_file(name: str) -> dict[str, Any]:
    """Return the content of the packaged model `data/models/{name}.json`, which a script of `bench/` writes."""
    return _model_in(_model_file(name).read_bytes(), name)


def prepared_model(name: str, pack: Callable[[dict[str, Any]], _Form], code: str) -> _Form:
    """Return what `pack` makes of the content of a packaged model, kept between processes; see `machine/prepared`.

    `code` is the file of the code that packs it.
    """
    text = _model_file(name).read_bytes()
    sources = [text, *(Path(place).read_bytes() for place in (code, packed_words.__file__))]
    return prepared(f"{name}.model", sources, lambda: pack(_model_in(text, name)))


def _model_file(name: str) -> Traversable:
    return resources.files("lessonbook") / "data" / "models" / f"{name}.json"


def _model_in(text: bytes, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(text)
    if content.get("version") != _MODEL_VERSION:
        raise ValueError(f"model {name}: version has to be {_MODEL_VERSION}")
    return content


def _place(value: object, path: Sequence[int | str]) -> str:
    """Return where `path` leads in a document: its keys, and the names or numbers of entries of lists."""
    steps: list[str] = []
    for step in path:
        if isinstance(step, str):
            steps.append(repr(step))
            value = object_of(value).get(step)
        else:
            value = item_at(list_of(value), step)
            steps.append(text_of(object_of(value).get("name") or object_of(value).get("cwe")) or str(step + 1))
    return " ".join(steps)


def load_json(data: bytes | str, *, place: str, advice: str) -> object:
    """Return what the JSON text `data` holds, in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    `place` names the file in errors and `advice` says what to do about them.

    Raises:
        InvalidInput: `data` is empty, not valid JSON, or nested too deeply. The message repeats nothing of it.
    """
    if not data.strip():
        raise InvalidInput(f"{place} is empty; {advice}")
    try:
        return json.loads(data.removeprefix("\ufeff") if isinstance(data, str) else data)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidInput(f"{place} is not valid JSON ({where}); {advice}") from None
    except RecursionError:
        raise InvalidInput(f"{place} is nested too deeply to be read; {advice}") from None
    except ValueError:
        raise InvalidInput(f"{place} holds bytes or numbers that JSON does not allow; {advice}") from None


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Return whether `value` is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Return whether `value` is a JSON array."""
    return isinstance(value, list)


def object_of(value: object) -> dict[str, object]:
    """Return `value` if it is a JSON object, else an empty one."""
    return value if is_object(value) else {}


def list_of(value: object) -> list[object]:
    """Return `value` if it is a JSON array, else an empty one."""
    return value if is_list(value) else []


def text_of(value: object) -> str:
    """Return `value` if it is a JSON string, else an empty one."""
    return value if isinstance(value, str) else ""


def index_of(value: object) -> int | None:
    """Return `value` if it is a whole number from zero up, else None (`true` is not a number)."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def item_at(items: list[object], index: int | None) -> object:
    """Return the item at `index`, or None where there is none."""
    return items[index] if index is not None and index < len(items) else None


def checked(text: str, what: str, *, max_chars: int | None = None) -> str:
    """Return `text` in a form that can be stored.

    Raises:
        Unreadable: it holds a NUL or half of a surrogate pair, or more than `max_chars` characters.
    """
    try:
        stored = storable(text)
    except PydanticCustomError as error:
        raise Unreadable(f"{what} {error.message()}") from None
    if max_chars is not None and len(stored) > max_chars:
        raise Unreadable(f"{what} has {len(stored)} characters; at most {max_chars} are kept")
    return stored


def texts_in(table: Mapping[str, object], name: str, where: str) -> tuple[str, ...]:
    """Return the list of texts under `name` of a data file's table; empty if there is none.

    Raises:
        ConfigError: it is not a list of texts. `where` names the table in the message.
    """
    value = table.get(name, [])
    texts = [item for item in list_of(value) if isinstance(item, str) and item.strip()]
    if not is_list(value) or len(texts) != len(value):
        raise ConfigError(f"{where}: {name!r} has to be a list of texts")
    return tuple(texts)
