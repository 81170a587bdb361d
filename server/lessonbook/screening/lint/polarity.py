"""Signs of what a lesson may not hold, and whether a text advises something or advises against it."""

import re
from typing import Final, NamedTuple

from lessonbook.machine.patterns import lazy_pattern


class Sign(NamedTuple):
    """What shows that a lesson has a fault; looked for only in texts with one of `words`, which is quick to see."""

    reason: str
    words: tuple[str, ...]
    pattern: re.Pattern[str]

    def may_be_in(self, lower: str) -> bool:
        """Return whether a text in lower case has one of the words."""
        return any(word in lower for word in self.words)


def sign(reason: str, words: str, *patterns: str) -> Sign:
    """Return the sign that any of `patterns` is, in any case of letters."""
    return Sign(reason, tuple(words.split()), lazy_pattern("|".join(patterns), re.I | re.S))


_URGED: Final = lazy_pattern(
    r"(?:\b(?:never|not|need not)|n't)\s+(?:hesitat\w+|fail|forget|be (?:afraid|shy|scared|reluctant)|worry|wait|mind"
    r"|shy away|neglect|hold back|only|just)\b(?:\s+(?:to|from|about|of))?"
    r"|\bwithout (?:any )?(?:further )?(?:delay|hesitation|hesitating|worry\w*|fear|ado|exception|question)\b"
    r"|\bno matter\b|\bno problem\b",
    re.I,
)
"""Negations that urge to do what follows: "do not hesitate to", "never fail to"."""

_NOT: Final = lazy_pattern(
    r"\b(?:never|not|cannot|no|no one|nobody|none|neither|nor|without|instead of|rather than|avoid(?:s|ing)?)\b|n't\b"
    r"|^\W*(?:(?:always|also|then|please)\s)?(?:refuse|reject|forbid|prohibit|disallow|prevent|refrain|ban|block|deny"
    r"|detect|stop|flag|fail|alert|warn|guard|protect|beware|(?:checks?|looks?) for|finds?|reports?|detects|flags)\b"
    r"|\b(?:must|should) (?:refuse|reject|forbid|prevent)\b",
    re.I,
)
_CONDITION: Final = lazy_pattern(r"\b(?:if|when|whenever|where|while|since|because|unless|in case|once|until)\b", re.I)
_STATEMENT: Final = lazy_pattern(r"\b(?:does|is|are|was|were|did|has|have|had|will|would|wo|could|it's) ?$", re.I)
_BETWEEN: Final = lazy_pattern(
    r"\W*(?:(?:ever|to|even|simply|blindly|silently|globally|permanently|temporarily|quietly|just|allowed|be)\W+)*$",
    re.I,
)
_HARMFUL: Final = lazy_pattern(
    r"\b(?:attackers?|adversar(?:y|ies)|intruders?|hackers?|thie(?:f|ves)|malware|anyone|anybody|somebody|someone"
    r"|whoever|exploits?|payloads?|malicious \w+|untrusted \w+)\b(?:\s+[\w-]+){0,4}\s*$",
    re.I,
)
"""Those whose deeds are described, not advised: "an attacker can bypass …"."""

_SUPPOSED: Final = lazy_pattern(
    r"\b(?:might|could|would|able to|used to|in order to|attempts? to|tr(?:y|ies) to"
    r"|(?:allow|let|enable|cause|permit|lead|help)(?:s|ed|ing) (?:[\w-]+ ){1,5}(?:to)?)\s*(?:\w+\s+)?$",
    re.I,
)
"""A consequence, not what to do: "which allows users to bypass …"."""

_CLAUSE_END: Final = lazy_pattern(r"(?<!\.)[.,;:!?](?=\s)|\b(?:and|but|then|just)\b|\s[-–—]\s", re.I)
_ASIDE: Final = lazy_pattern(r"\b(never|not|don't)\s*,[^,.;:!?]{1,40},\s*", re.I)

CLAUSE_MAX: Final = 200
"""The characters before a match in which a negation of it is looked for."""


def is_advised(pattern: re.Pattern[str], text: str) -> bool:
    """Return whether `text` advises what `pattern` finds, rather than advising against it.

    Advice against something has a negation before it in the same clause, unlike "Don't panic, disable TLS". Two
    negations are an order: "Never build without running …", "There is no reason not to …".
    """
    if not pattern.search(text):
        return False
    plain = _URGED.sub(" ", _ASIDE.sub(r"\1 ", text))
    ends = [end.end() for end in _CLAUSE_END.finditer(plain)]
    start, passed = 0, 0
    found = pattern.search(plain)
    while found:
        while passed < len(ends) and ends[passed] <= found.start():
            start, passed = ends[passed], passed + 1
        clause = plain[max(start, found.start() - CLAUSE_MAX) : found.start()]
        if not (_is_against(clause) or _HARMFUL.search(clause) or _SUPPOSED.search(clause)):
            return True
        found = pattern.search(plain, found.start() + 1)
    return False


def _is_against(clause: str) -> bool:
    """Return whether what follows `clause` is negated by it."""
    return sum(_governs(negation, clause) for negation in _NOT.finditer(clause)) % 2 == 1


def _governs(negation: re.Match[str], clause: str) -> bool:
    """Return whether a negation reaches the end of its clause; one in a condition or a statement does not.

    "If it is not valid disable the check" advises; "make sure that it does not disable the check" does not.
    """
    if _BETWEEN.match(clause, negation.end()):
        return True
    before = clause[: negation.start()]
    states = negation.group().lower() in {"not", "n't"} and _STATEMENT.search(before)
    return not states and not _CONDITION.search(before)
