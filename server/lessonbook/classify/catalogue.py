"""The curated rules: which lesson answers to which scanner rule or CWE."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import chain, starmap
from pathlib import Path
from sys import intern
from typing import Final, cast, get_args

from lessonbook.classify import rule_keys
from lessonbook.classify.rule_keys import spelled, twin_of
from lessonbook.classify.tool_rules import NO_LESSON, elsewhere, entries_of, id_of_today
from lessonbook.classify.tools import load_tools
from lessonbook.domain.documents import texts_in
from lessonbook.domain.errors import ConfigError
from lessonbook.domain.lesson_names import catalogue_name
from lessonbook.domain.vocabulary import Category, Severity, Trust
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.machine.prepared import prepared

_VERSION: Final = 1
_FIELDS: Final = frozenset(
    {"id", "keys", "severity", "category", "text", "why", "languages", "agents", "words", "common", "tasks"}
)
_SEVERITIES: Final = frozenset(get_args(Severity))
_CATEGORIES: Final = frozenset(get_args(Category))
_MAX_TEXT_CHARACTERS: Final = 400
_MAX_WHY_CHARACTERS: Final = 250

COMMON_MAX: Final = 3

_TWO_WORDS = lazy_pattern(r"\w[-_/.]\w|[a-z][A-Z]")
"""Part of an id of two words or more: one word alone may be anything."""
_ID = lazy_pattern(r"\A[a-z0-9]+(?:-[a-z0-9]+)*\Z")


@dataclass(frozen=True, slots=True)
class CatalogueRule:
    """One curated lesson and the rule ids it answers to; empty `languages` means any language.

    `tasks` are kinds of work that raise its issue, as developers ask for them: the lesson is found by them before any
    issue was reported. Without them it is served only once its issue came. `common`, from 0 to 3, is how often a
    reviewer would name the rule first for such a task.
    """

    id: str
    keys: tuple[str, ...]
    severity: Severity
    category: Category
    text: str
    why: str
    languages: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    common: int = 0
    tasks: tuple[str, ...] = ()
    trust: Trust = "curated"
    """`imported` for a rule of a catalogue that replaces the packaged one: nobody of ours has read it."""
    subject: str = ""
    """The name of its file, without the ending: rules of one file are about one subject."""

    @property
    def key(self) -> str:
        """The key to record with a lesson made from this rule: the first one, or `catalogue:<id>`."""
        return self.keys[0] if self.keys else catalogue_name(self.id)


class Catalogue:
    """All rules, found by any spelling of a key."""

    __slots__ = ("_bare", "_by_key", "_by_text", "rules")

    def __init__(self, rules: Iterable[CatalogueRule]) -> None:
        self.rules: tuple[CatalogueRule, ...] = tuple(rules)
        by_key: dict[str, CatalogueRule] = {}
        for rule in self.rules:
            for key in (*rule.keys, catalogue_name(rule.id)):
                by_key[key.casefold()] = rule
        self._by_key: Mapping[str, CatalogueRule] = by_key
        self._by_text = {rule.text: rule for rule in self.rules}
        self._bare = _bare_ids(self.rules)

    def entry(self, rule_id: str) -> CatalogueRule | None:
        """Return the rule with this id of the catalogue's own, or None."""
        return self._by_key.get(catalogue_name(rule_id).casefold())

    def find(self, key: str) -> CatalogueRule | None:
        """Return the rule that answers to `key`, in any spelling `canonical_key` knows, or None."""
        canonical = self.canonical(key)
        for spelling in filter(None, (canonical, twin_of(canonical))):
            if (found := self._by_key.get(spelling.casefold())) is not None:
                return found
            tool, _, rule_id = spelling.casefold().partition(":")
            entries = entries_of(tool)
            entry = entries.get(rule_id) or entries.get(rule_id.rpartition(".")[0], "")  # of `Sniff.Code` the sniff
            if (found := self.entry(entry)) is not None:
                return found
        return None

    def find_elsewhere(self, key: str) -> CatalogueRule | None:
        """Return the rule that answers to the same id of another tool, where only one rule can be meant, or None."""
        rule_id = self.canonical(key).partition(":")[2]
        if not _TWO_WORDS.search(rule_id):
            return None
        if (other := self._bare.get(rule_id.casefold())) is not None:
            return self._by_key.get(other.casefold())
        return self.entry(elsewhere().get(rule_id.casefold(), ""))

    def is_without_lesson(self, key: str) -> bool:
        """Return whether a rule is known, and no lesson is worth serving for it: a formatter settles it."""
        tool, _, rule_id = self.canonical(key).partition(":")
        return entries_of(tool).get(rule_id.casefold()) == NO_LESSON

    def rule_of_lesson(self, text: str, rule_key: str) -> CatalogueRule | None:
        """Return the rule that a lesson is of: the one it words, else the one that answers to its rule key, or None."""
        return self._by_text.get(text) or (self.find(rule_key) if rule_key else None)

    def canonical(self, text: str) -> str:
        """Return `text` as this catalogue spells keys, under its name of today; an unknown id is stripped."""
        by_form = spelled(text)
        key = self._bare.get(by_form.casefold(), by_form)
        tool, colon, rule_id = key.partition(":")
        if not colon or key.casefold() in self._by_key or rule_id.casefold() in entries_of(tool):
            return key
        return f"{tool}:{id_of_today(tool, rule_id)}"


def canonical_key(text: str) -> str:
    """Return a rule id or CWE as the catalogue spells it; an unknown one stripped, its tool prefix in lower case."""
    return load_catalogue().canonical(text)


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Return the catalogue in `path`, a TOML file or a directory of them; without one, the packaged catalogue.

    Raises:
        ConfigError: a file cannot be read, or a rule in it is malformed or given twice; names the file and the key.
    """
    return _loaded(path)


@cache
def _loaded(path: Path | None) -> Catalogue:
    files = _files(path)
    if path is not None:
        return Catalogue([replace(rule, trust="imported") for rule in _read(files)])
    # Reading and checking that much TOML takes more than half a second.
    code = (Path(place).read_bytes() for place in (__file__, rule_keys.__file__))
    sources = chain(code, (part for file in files for part in (file.name.encode(), file.read_bytes())))
    names = [field.name for field in fields(CatalogueRule)]
    kept = prepared("catalogue", sources, lambda: [[getattr(rule, name) for name in names] for rule in _read(files)])
    return Catalogue(starmap(CatalogueRule, kept))


def _read(files: Iterable[Traversable]) -> Iterator[CatalogueRule]:
    """Yield the rules of several files, each checked."""
    seen: dict[str, str] = {}
    for file in files:
        for number, entry in enumerate(_entries(file), start=1):
            rule = _rule(entry, file.name, number)
            _claim(rule, file.name, seen)
            yield rule


def _files(path: Path | None) -> list[Traversable]:
    root: Traversable = resources.files("lessonbook") / "data" / "catalogue" if path is None else path
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise ConfigError(f"{root.name}: there is no such catalogue file or directory", place=str(root))
    return sorted((file for file in root.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)


def _entries(file: Traversable) -> list[object]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file.name}: cannot be read: {error.strerror}", place=str(file)) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file.name}: cannot be read as TOML: {error}") from error
    if unknown := sorted(document.keys() - {"version", "rule"}):
        raise ConfigError(f"{file.name}: unknown key {unknown[0]!r}; a catalogue has 'version' and 'rule'")
    if document.get("version") != _VERSION:
        raise ConfigError(f"{file.name}: 'version' has to be {_VERSION}")
    entries: object = document.get("rule", [])
    if not isinstance(entries, list):
        raise ConfigError(f"{file.name}: 'rule' has to be an array of tables")
    return cast("list[object]", entries)


def _rule(entry: object, file: str, number: int) -> CatalogueRule:
    if not isinstance(entry, dict):
        raise ConfigError(f"{file}: rule {number} has to be a table")
    table = cast("dict[str, object]", entry)
    where = f"{file}: rule {table.get('id') or number}"
    if unknown := sorted(table.keys() - _FIELDS):
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}")
    rule = CatalogueRule(
        id=_string(table, "id", where),
        keys=texts_in(table, "keys", where),
        severity=cast("Severity", intern(_one_of(table, "severity", _SEVERITIES, where))),
        category=cast("Category", intern(_one_of(table, "category", _CATEGORIES, where))),
        text=_string(table, "text", where, _MAX_TEXT_CHARACTERS),
        why=_string(table, "why", where, _MAX_WHY_CHARACTERS),
        languages=tuple(map(intern, texts_in(table, "languages", where))),
        agents=tuple(map(intern, texts_in(table, "agents", where))),
        words=tuple(map(intern, texts_in(table, "words", where))),
        common=_grade(table, "common", where),
        tasks=texts_in(table, "tasks", where),
        subject=intern(file.removesuffix(".toml")),
    )
    if not _ID.match(rule.id):
        raise ConfigError(f"{where}: 'id' has to be kebab-case")
    for key in rule.keys:
        if (by_form := spelled(key)) != key:
            raise ConfigError(f"{where}: 'keys' has {key!r}; write {by_form!r}")
    return rule


def _claim(rule: CatalogueRule, file: str, seen: dict[str, str]) -> None:
    own = f"{file}: rule {rule.id}"
    for kind, value in [("id", rule.id), ("text", rule.text), *(("keys", key) for key in rule.keys)]:
        other = seen.setdefault(f"{kind} {value.casefold()}", own)
        if other is not own:
            raise ConfigError(f"{own}: {kind!r} has {value!r}, which {other} has already")


def _string(table: Mapping[str, object], name: str, where: str, most: int = 200) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value.strip() or value != value.strip() or "\n" in value:
        raise ConfigError(f"{where}: {name!r} has to be one line of text")
    if len(value) > most:
        raise ConfigError(f"{where}: {name!r} has {len(value)} characters; {most} at most")
    return value


def _one_of(table: Mapping[str, object], name: str, allowed: frozenset[str], where: str) -> str:
    value = _string(table, name, where)
    if value not in allowed:
        raise ConfigError(f"{where}: {name!r} is {value!r}; it has to be one of {', '.join(sorted(allowed))}")
    return value


def _grade(table: Mapping[str, object], name: str, where: str) -> int:
    value = table.get(name, 0)
    if not isinstance(value, int) or not 0 <= value <= COMMON_MAX:
        raise ConfigError(f"{where}: {name!r} has to be a whole number from 0 to {COMMON_MAX}")
    return value


def _bare_ids(rules: Iterable[CatalogueRule]) -> dict[str, str]:
    """Map ids without their tool to keys, where only one rule can be meant."""
    owners: dict[str, dict[str, str]] = {}
    for rule in rules:
        for key in rule.keys:
            tool, colon, bare = key.partition(":")
            if colon and load_tools()[tool].bare:
                owners.setdefault(bare.casefold(), {}).setdefault(rule.id, key)
    return {bare: next(iter(keys.values())) for bare, keys in owners.items() if len(keys) == 1}
