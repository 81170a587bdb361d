"""The exact names of lessons and issues, and the hashes they are made of."""

import hashlib
import re
from functools import cache
from typing import Final

from lessonbook.classify.catalogue import Catalogue, CatalogueRule
from lessonbook.screening.lint.screen import one_line

_PLACE: Final = re.compile(
    r"\b(?:line|col(?:umn)?)\s*\d+|:\d+(?::\d+)?\b|0x[0-9a-f]+|(?<![\w./-])(?:\d{1,2}|\d{4,})(?![\w./-])"
)
"""Where a problem was seen, and how often. Numbers that are part of a name (CVE-2021-44228) or a status (404) stay."""


def rule_worded(text: str, catalogue: Catalogue) -> CatalogueRule | None:
    """Return the rule of the catalogue whose lesson has these words, or None."""
    return _by_words(catalogue).get(content_hash(text))


@cache
def _by_words(catalogue: Catalogue) -> dict[str, CatalogueRule]:
    """Return the rules by the hashes of their lessons' texts."""
    return {content_hash(rule.text): rule for rule in catalogue.rules}


def content_hash(text: str) -> str:
    """Return the same hash for texts that differ only in case, punctuation and white space."""
    return digest(" ".join(re.findall(r"\w+", text.lower())))


def name_of_issue(rule_key: str, description: str) -> str:
    """Return the most telling exact name of an issue: its rule, else its words."""
    return f"rule:{rule_key}" if rule_key else issue_key(description)


def issue_key(description: str) -> str:
    """Return the exact name of an issue that names no rule: its words without numbers and places."""
    general = general_words(description)
    return f"issue:{digest(general if any(char.isalpha() for char in general) else description)}"


def digest(*parts: str) -> str:
    """Return 128 bits of SHA-256 over `parts`, in hexadecimal."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def general_words(description: str) -> str:
    """Return a description without what differs between sightings of one problem: numbers, places, white space."""
    return one_line(_PLACE.sub("#", description.lower()))
