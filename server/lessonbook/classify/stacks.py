"""The technologies that a stack is made of: names, what they bring along, how texts and manifests name them."""

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Final, cast

from lessonbook.domain.documents import texts_in
from lessonbook.domain.errors import ConfigError, InvalidInput
from lessonbook.machine.patterns import lazy_pattern

STACK_MAX: Final = 60
"""Technologies of one stack."""
_VERSION: Final = 1
_FIELDS: Final = frozenset({"aliases", "implies", "languages", "words", "packages", "files", "agents", "first", "rare"})
_SHOWN_MAX: Final = 80
_NEAREST: Final = 3

_SEPARATORS = lazy_pattern(r"[\s._-]+")
_RELEASE = lazy_pattern(r"(?<![\s@=~^>v\d.x])[\s@=~^>v]{0,9}\d[\d.x]{0,30}\Z")
_SEVERAL = lazy_pattern(r"[,;/&]|\+(?=\s*[a-z])|\band\b|\s", re.IGNORECASE)
_TOKEN = lazy_pattern(r"[A-Za-z_][\w.+#-]*[\w+#]|[A-Za-z]|\.NET")


@dataclass(frozen=True, slots=True)
class Technology:
    """A language, framework, database, platform or protocol, as `data/stacks.toml` describes it."""

    name: str
    aliases: tuple[str, ...] = ()
    implies: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stack:
    """What somebody builds with: the technologies that were named, and those that come with them."""

    named: tuple[Technology, ...] = ()
    implied: tuple[Technology, ...] = ()
    languages: frozenset[str] = frozenset()
    """Languages of the catalogue's rules that hold for this stack."""
    kin: frozenset[str] = frozenset()
    """Technologies outside the stack that imply one which was named: Django, where Python was."""

    @property
    def names(self) -> frozenset[str]:
        """The names of all its technologies."""
        return frozenset(technology.name for technology in (*self.named, *self.implied))


class Technologies:
    """All known technologies."""

    __slots__ = ("_longest", "_named", "_spoken", "all")

    def __init__(self, technologies: Iterable[Technology]) -> None:
        self.all: Mapping[str, Technology] = {technology.name: technology for technology in technologies}
        self._named = {_folded(name): each for each in self.all.values() for name in (each.name, *each.aliases)}
        self._spoken = {tuple(_TOKEN.findall(word)): each.name for each in self.all.values() for word in each.words}
        self._longest = max(map(len, self._spoken), default=0)

    def find(self, name: str) -> Technology | None:
        """Return the technology that goes by `name`, in any case and spelling, with or without a version."""
        return self._named.get(_folded(name)) or self._named.get(_folded(_RELEASE.sub("", name)))

    def stack(self, names: Iterable[str], languages: Collection[str] = ()) -> Stack:
        """Return the stack that `names` stand for; `languages` are further names, those of a catalogue's rules.

        Raises:
            InvalidInput: a name is unknown; the message has the nearest.
        """
        named: dict[str, Technology] = {}
        for name in [part for given in names for part in self._parts(given, languages)][:STACK_MAX]:
            technology = self.find(name) or self._language(name, languages)
            if technology is None:
                raise InvalidInput(self._unknown(name, languages))
            named[technology.name] = technology
        implied = self._implied(named)
        return Stack(
            named=tuple(named.values()),
            implied=tuple(implied.values()),
            languages=frozenset(
                language for each in (*named.values(), *implied.values()) for language in (each.name, *each.languages)
            ),
            kin=frozenset(each.name for each in self.all.values() if named.keys() & self._implied({each.name: each})),
        )

    def named(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the names as the table has them, each once.

        Raises:
            InvalidInput: a name is unknown; the message has the nearest.
        """
        return tuple(technology.name for technology in self.stack(names).named)

    def mentioned(self, text: str) -> frozenset[str]:
        """Return the names of the technologies that `text` speaks of."""
        tokens = _TOKEN.findall(text)
        runs = (
            tuple(tokens[start:end])
            for start in range(len(tokens))
            for end in range(start + 1, min(start + self._longest, len(tokens)) + 1)
        )
        return frozenset(self._spoken[run] for run in runs if run in self._spoken)

    def _implied(self, named: Mapping[str, Technology]) -> dict[str, Technology]:
        found: dict[str, Technology] = {}
        waiting = [name for each in named.values() for name in each.implies]
        while waiting:
            name = waiting.pop(0)
            if name not in named and name not in found:
                found[name] = self.all[name]
                waiting += found[name].implies
        return found

    def _parts(self, name: str, languages: Collection[str]) -> Iterator[str]:
        """Return `name`, or the names in it where it is several, as in `Python + PostgreSQL`."""
        if self.find(name) or self._language(name, languages):
            yield name
            return
        parts = [part.strip() for part in _SEVERAL.split(name)]
        known = [part for part in parts if part and not _RELEASE.fullmatch(part)]
        if len(known) > 1 and all(map(self.find, known)):
            yield from known
        elif name.strip():
            yield name

    def _language(self, name: str, languages: Collection[str]) -> Technology | None:
        return Technology(_folded(name)) if _folded(name) in languages else None

    def _unknown(self, name: str, languages: Collection[str]) -> str:
        known = dict(zip(map(_folded, languages), languages, strict=True))
        known |= {form: each.name for form, each in self._named.items()}
        near = get_close_matches(_folded(name[:_SHOWN_MAX]), known, n=_NEAREST, cutoff=0.5)
        hint = ", ".join(dict.fromkeys(known[form] for form in near))
        return f"There is no stack {name[:_SHOWN_MAX]!r} here" + (
            f"; nearest: {hint}" if hint else f"; known are {', '.join(sorted(self.all))}"
        )


@cache
def load_technologies() -> Technologies:
    """Return the technologies of `data/stacks.toml`.

    Raises:
        ConfigError: the file is malformed.
    """
    file = resources.files("lessonbook") / "data" / "stacks.toml"
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    if document.keys() != {"version", "technology"} or document["version"] != _VERSION:
        raise ConfigError(f"stacks.toml: it has to have 'version' {_VERSION} and 'technology'")
    tables = cast("dict[str, dict[str, object]]", document["technology"])
    return Technologies(_technology(name, table, tables) for name, table in tables.items())


def _technology(name: str, table: Mapping[str, object], known: Collection[str]) -> Technology:
    where = f"stacks.toml: {name}"
    if unknown := sorted(table.keys() - _FIELDS):
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}")
    technology = Technology(name, **{field: texts_in(table, field, where) for field in _FIELDS})
    if missing := [other for other in technology.implies if other not in known]:
        raise ConfigError(f"{where}: 'implies' has {missing[0]!r}, which is not there")
    return technology


def _folded(name: str) -> str:
    return _SEPARATORS.sub("", name.strip().casefold())


def fits_name(pattern: str, name: str) -> bool:
    """Return whether `name` is like `pattern`, where one `*` stands for any letters."""
    before, wild, after = pattern.partition("*")
    if not wild:
        return name == pattern
    return len(name) >= len(before) + len(after) and name.startswith(before) and name.endswith(after)


def any_fits(patterns: Sequence[str], name: str) -> bool:
    """Return whether `name` is like one of `patterns`."""
    return any(fits_name(pattern, name) for pattern in patterns)
