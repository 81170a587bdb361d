"""The exact names of lessons: `rule:…`, `catalogue:…`, `text:…`, `issue:…` and `group:…`. Only this module spells them.

Names are stored (`agent_lesson_keys`) and travel in exports, so neither the prefixes nor the hashes may change.
"""

import hashlib
import re
from functools import lru_cache
from typing import Final, Literal, cast, get_args

from lessonbook.machine.patterns import lazy_pattern

Kind = Literal["rule", "catalogue", "text", "issue", "group"]

CATALOGUE: Final = "catalogue"
"""The tool of a rule key that names an entry of the catalogue itself."""
_HASHED: Final = lazy_pattern(r"(?:text|issue):[0-9a-f]{32}|group:G[0-9a-f]{20}")
_CATALOGUED: Final = lazy_pattern(r"catalogue:[\w.-]{1,100}")
_KINDS: Final = frozenset(get_args(Kind))
_KEPT: Final = 2_000
"""Names that are kept: scanners say the same of many places."""
_PLACE: Final = lazy_pattern(
    r"\b(?:line|col(?:umn)?)\s*\d+|:\d+(?::\d+)?\b|0x[0-9a-f]+|(?<![\w./-])(?:\d{1,2}|\d{4,})(?![\w./-])"
)
"""Places and counts in a description, but not numbers that are part of a name (CVE-2021-44228) or a status (404)."""


def rule_name(rule_key: str) -> str:
    """Return the name of a lesson for a scanner's rule or a CWE, as the catalogue spells it."""
    return f"rule:{rule_key}"


def catalogue_name(catalogue_id: str) -> str:
    """Return the name of a lesson for an entry of the catalogue."""
    return f"{CATALOGUE}:{catalogue_id}"


def is_catalogued(name: str) -> bool:
    """Return whether a name is of an entry of the catalogue."""
    return _CATALOGUED.fullmatch(name) is not None


@lru_cache(_KEPT)
def text_name(text: str) -> str:
    """Return the name of a lesson by its own text."""
    return f"text:{content_hash(text)}"


def issue_name(description: str) -> str:
    """Return the name of a lesson by the words of an issue, without numbers and places."""
    words = general_words(description)
    return f"issue:{digest(words if any(char.isalpha() for char in words) else description)}"


def name_of_issue(rule_key: str, description: str) -> str:
    """Return the most specific exact name of an issue: by its rule, else by its words."""
    return rule_name(rule_key) if rule_key else issue_name(description)


@lru_cache(_KEPT)
def group_id_of(name: str) -> str:
    """Return the id of the group of issues with this name (see `name_of_issue`), in any project and of any agent."""
    return f"G{digest('group', name)[:20]}"


def group_name(group_id: str) -> str:
    """Return the name of a lesson that answers to a group of issues, though it does not own their rule's name."""
    return f"group:{group_id}"


def is_group_id(text: str) -> bool:
    """Return whether `text` is the id of a group, not of an issue or a lesson: the first letter names the kind."""
    return text.startswith("G")


def kind_of(name: str) -> Kind | None:
    """Return what kind of name this is; None where it is not a name."""
    kind, colon, _ = name.partition(":")
    return cast("Kind", kind) if colon and kind in _KINDS else None


def value_of(name: str) -> str:
    """Return a name without its kind: the rule's key, the catalogue's id, or the hash."""
    return name.partition(":")[2]


def names_rule(name: str) -> bool:
    """Return whether a name is of a rule or an entry of the catalogue, not of words."""
    return kind_of(name) in {"rule", "catalogue"}


def is_well_formed(name: str) -> bool:
    """Return whether a name from outside has a form that this module produces."""
    if kind_of(name) == "rule":
        return bool(value_of(name))
    return bool(_HASHED.fullmatch(name) or _CATALOGUED.fullmatch(name))


def content_hash(text: str) -> str:
    """Return the same hash for texts that differ only in case, punctuation and white space."""
    return digest(" ".join(re.findall(r"\w+", text.lower())))


def digest(*parts: str) -> str:
    """Return 128 bits of SHA-256 over `parts`, in hexadecimal."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def general_words(description: str) -> str:
    """Return a description without what differs between reports of one problem: numbers, places, white space."""
    return " ".join(_PLACE.sub("#", description.lower()).split())
