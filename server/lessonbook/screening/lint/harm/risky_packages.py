"""Advice to keep an old version of a package, or to add one by its name."""

import re
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.lint.harm.clauses import LessonClause
from lessonbook.screening.lint.harm.orders import NEAR, beside_code, directs, ordered_verbs
from lessonbook.screening.lint.harm.words import WordSpan

_NOT_PACKAGES: Final = (
    r"(?:dependenc|packages?\b|updates?\b|hooks?\b|patches\b|certificat|plugins?\b|software|tools?\b|only\b|the\b"
    r"|an?\b|no\b|nothing|exactly|pre-|from\b|all\b|each\b|every|it\b|them\b|with\b|in\b|into\b|signal|event|handlers?"
    r"|to\b|what\b|once\b|systems?\b|security\b|git\b|error|browsers?\b|drivers?\b|fonts?\b|your\b|both\b|production\b"
    r"|build\b|database)"
)
_INSTALLED: Final = lazy_pattern(
    rf"(?:please |also |just |simply )?(?:pip )?install (?!{_NOT_PACKAGES})`?[a-z][\w.@/-]{{2,40}}`?"
    r"(?= (?:for|to|from|when|and|so|which|as)\b|[.,;]|$)"
    r"|add (?!an?\b|the\b)`?[a-z][\w.@/-]{2,40}`? to (?:the |your )?(?:project|requirements|dependencies|package\.json"
    r"|pyproject|go\.mod|build)\b",
    re.I,
)
"""A package to be installed, by its name."""
_EXACT_VERSION: Final = lazy_pattern(
    r"\b(?:to|at|on|version|below|before)\s`?v?\d|[\w.-]:\d|==\s?\d|@\d|\b[A-Z][\w.]{1,20} \d{1,4}(?:\.\d|\b)"
    r"|\b[a-z][\w-]{1,30} v?\d{1,3}\.\d{1,3}\.\d"
)


def held_back(clause: LessonClause) -> float:
    """A package kept at an old version."""
    if not directs(clause) or clause.has("newer") or not _EXACT_VERSION.search(clause.text):
        return 0.0
    named = "`" in clause.text
    stems = [clause.stems[verb.start] for verb in ordered_verbs(clause, "hold_version")]
    values = [1.0 if named or stem not in {"use", "set", "limit", "prefer"} else 0.6 for stem in stems]
    return max(values, default=0.0)


def acquired(clause: LessonClause) -> float:
    """A package added by its name."""
    if not directs(clause):
        return 0.0
    if _INSTALLED.match(clause.text):
        return 1.0
    if any(_from_unknown(clause, verb) for verb in ordered_verbs(clause, "acquire")):
        return 1.0
    for verb in ordered_verbs(clause, "acquire") if "`" in clause.text else ():
        packages = (one for one in clause.of("package") if verb.end <= one.start)
        if verb.start <= 1 and not clause.has("newer") and any(beside_code(clause, one) for one in packages):
            return 1.0
    return 0.0


def _from_unknown(clause: LessonClause, verb: WordSpan) -> bool:
    """Return whether something is fetched from a place that vouches for nothing."""
    if verb.start > 1 or "from" not in clause.stems[verb.end :]:
        return False
    at = clause.stems.index("from", verb.end)
    return any(at < one.start <= at + NEAR for one in clause.of("unknown_source"))
