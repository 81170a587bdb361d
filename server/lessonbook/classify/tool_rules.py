"""The rules of scanners: which lesson of the catalogue answers to each rule id.

`data/rules/` has one file per tool. Together they are large, and a report is mostly of one tool, so each is read when a
finding of its tool is first met.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from lessonbook.domain.errors import ConfigError

NO_LESSON: Final = "-"
"""The entry of a rule that is known, and for which no lesson is worth serving: a formatter settles it."""
_COLUMNS: Final = 3
_ENDING: Final = ".tsv"


@dataclass(frozen=True, slots=True)
class ToolRule:
    """One rule of a tool: its id, the id of the catalogue's entry for it, and what it finds in a few words."""

    tool: str
    id: str
    entry: str
    finds: str


def entries_of(tool: str) -> Mapping[str, str]:
    """Return the ids of the catalogue's entries for a tool's rules, by rule id in lower case; empty for other tools.

    Raises:
        ConfigError: a line of the tool's file has not three columns; names the file and the line.
    """
    return _entries(tool) if tool in _files() else {}


def id_of_today(tool: str, rule_id: str) -> str:
    """Return the id that a rule has since its tool renamed it; other ids as they are."""
    return _renamed().get((tool, rule_id.casefold()), rule_id)


def all_tool_rules() -> Iterator[ToolRule]:
    """Yield the rules of all tools. See `entries_of`."""
    for tool, file in _files().items():
        yield from _rules(tool, file)


@cache
def elsewhere() -> Mapping[str, str]:
    """Return the entries of rule ids, in lower case, that mean the same in every tool that has them."""
    entries: dict[str, set[str]] = {}
    for rule in all_tool_rules():
        entries.setdefault(rule.id.casefold(), set()).add(rule.entry)
    return {rule_id: next(iter(found)) for rule_id, found in entries.items() if len(found) == 1}


@cache
def _entries(tool: str) -> Mapping[str, str]:
    return {rule.id.casefold(): rule.entry for rule in _rules(tool, _files()[tool])}


@cache
def _renamed() -> Mapping[tuple[str, str], str]:
    """Return today's ids by tool and older id, in lower case."""
    file = resources.files("lessonbook") / "data" / "renamed_rules.tsv"
    return {(tool, old.casefold()): new for tool, old, new in _rows(file)}


@cache
def _files() -> Mapping[str, Traversable]:
    folder = resources.files("lessonbook") / "data" / "rules"
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(_ENDING))
    return {name.removesuffix(_ENDING): folder / name for name in names}


def _rules(tool: str, file: Traversable) -> Iterator[ToolRule]:
    return (ToolRule(tool, rule_id, entry, finds) for rule_id, entry, finds in _rows(file))


def _rows(file: Traversable) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        columns = line.split("\t")
        if len(columns) != _COLUMNS:
            raise ConfigError(f"{file.name}: line {number} has {len(columns)} columns instead of {_COLUMNS}")
        yield columns[0], columns[1], columns[2]
