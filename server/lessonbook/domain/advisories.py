"""The ids of advisories on published packages, as databases give them."""

import re
from collections.abc import Iterable
from typing import Final

from lessonbook.machine.patterns import lazy_pattern

_ADVISORY: Final = lazy_pattern(
    r"\b(?:CVE-\d{4}-\d{4,7}|GHSA(?:-[0-9a-z]{4}){3}|GO-\d{4}-\d{4,5}|(?:RUSTSEC|PYSEC|OSV|MAL|CGA)-\d{4}-\d{1,9}"
    r"|SNYK-(?!CC-|CODE-)[A-Z0-9]{2,20}-[A-Z0-9-]{1,100}"
    r"|BDSA-\d{4}-\d{4,7}|(?:DSA|DLA|USN|RHSA|ALAS|ELSA)-\d{2,4}[:-]\d{1,6})",
    re.IGNORECASE,
)


def names_advisory(text: str) -> bool:
    """Return whether a text names an advisory on a published package, such as a CVE."""
    return _ADVISORY.search(text) is not None


def advisories_in(texts: Iterable[str]) -> list[str]:
    """Return the ids that texts name, in order, as their databases spell them."""
    return [spelled(match[0]) for text in texts for match in _ADVISORY.finditer(text)]


def spelled(advisory: str) -> str:
    """Return an id as its database spells it: GHSA in lower case behind the prefix, others in upper case."""
    if advisory[:5].upper() == "GHSA-":
        return f"GHSA-{advisory[5:].lower()}"
    return advisory.upper() if _ADVISORY.fullmatch(advisory) else advisory
