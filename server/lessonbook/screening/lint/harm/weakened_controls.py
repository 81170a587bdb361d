"""Advice to take a control away, to do without it, to loosen it, or to go on when it fails."""

import re
from itertools import pairwise
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.lint.harm.clauses import LessonClause
from lessonbook.screening.lint.harm.orders import NEAR, PROTECTIVE, REACH, directs, objects_of, ordered_verbs
from lessonbook.screening.lint.harm.words import WordSpan, stems_of

_THINGS: Final = frozenset(stems_of("page form file name data code user account screen log path folder level build"))
_BOUNDLESS: Final = frozenset(stems_of("whatever unlimited infinite any never"))
_TAKES_OUT: Final = frozenset(stems_of("leave take comment turn switch shut rule cut"))
_BENT: Final = lazy_pattern(
    r"\b(?:change|set|adjust|update|edit|rewrite|make|alter|correct)\b.{0,20}"
    r"\b(?:expected (?:value|result|output)s?|assertions?|snapshots?|expectations?|golden files?|tests?)\b.{0,12}"
    r"\b(?:to (?:what|match|agree|fit|equal)|until (?:it|they|the))\b",
    re.I,
)
_UNLIMITED: Final = lazy_pattern(
    r"\b(?:any number of|unlimited|an? unlimited number of|as many)\b.{0,20}"
    r"\b(?:attempts?|resets?|logins?|requests?|tries|retries|codes?|guesses|uploads?)\b",
    re.I,
)
_TREATED_AS_BAD: Final = lazy_pattern(
    r"\bas (?:an? )?(?:refused|denied|failed|invalid|error|failure|missing|absent|not granted|rejected|closed)\b"
    r"|\b[45]\d\d\b",
    re.I,
)
_VOUCHED: Final = lazy_pattern(
    r"^(?:please |simply |just )?(?:treat|regard|consider|count|take|accept) .{0,20}?\b(?:unreadable|invalid|missing"
    r"|expired|unknown|failed|failing|unsigned|red|broken|unverified|absent|lapsed|malformed|empty|unmatched)\b.{0,40}?"
    r"\bas (?:an? )?(?:valid|fine|passed|passing|successful|success|trusted|ok|okay|known|granted|genuine|safe|true"
    r"|authentic|green|approved|accepted|harmless|allowed)\b",
    re.I,
)
_LATER: Final = lazy_pattern(
    r"\b(?:afterwards|(?<!or )later(?! than| version| release)|after the (?:fact|release)|when there is time"
    r"|next (?:sprint|quarter)|retroactively|in hindsight)\b",
    re.I,
)


def weakened(clause: LessonClause) -> float:
    """A verb that takes away, and a control behind it that is none of those that should go."""
    best = 0.0
    for verb in ordered_verbs(clause, "weaken") if directs(clause) else ():
        for name, value in (("control", 1.0), ("soft", 0.6)):
            for one in objects_of(clause, verb, name):
                window = range(verb.end, one.end + 1)
                spared = (*clause.of("harmless"), *clause.of("weak"))
                if not any(bad.start in window for bad in spared) and not _names_thing(clause, one):
                    best = max(best, value)
    return best


def left_out(clause: LessonClause) -> float:
    """A control between two words, "leave the check out", or behind them, "keep this out of the trail"."""
    if not directs(clause) or clause.has("harmless") or clause.stems[0] not in _TAKES_OUT | {"keep"}:
        return 0.0
    at = next((i for i, stem in enumerate(clause.stems) if stem in {"out", "off", "asid"} and i > 1), None)
    if at is None or at > REACH + 2:
        return 0.0
    if clause.stems[0] == "keep":
        kept_out = clause.stems[at + 1 : at + 2] == ("of",) and not clause.has("secret")
        return 1.0 if kept_out and any(at < one.start <= at + NEAR for one in clause.of("control")) else 0.0
    if any(1 <= one.start < at for one in clause.of("control")):
        return 1.0
    if any(1 <= one.start < at for one in clause.of("soft")):
        return 1.0 if clause.stems[0] == "comment" else 0.6
    return 0.0


def _names_thing(clause: LessonClause, control: WordSpan) -> bool:
    """Return whether a control's name only describes another thing: the login page, the test file."""
    return clause.stems[control.end : control.end + 1] != () and clause.stems[control.end] in _THINGS


def without(clause: LessonClause) -> float:
    """An order to act without a control."""
    if not directs(clause) or clause.stems[0] == "leav":
        return 0.0
    for at, stem in enumerate(clause.stems):
        if stem == "without" and not clause.is_against(at):
            near = range(at + 1, at + 4)
            verbs = (one for one in clause.of("protect") if clause.words[one.start].endswith("ing"))
            if any(one.start in near for one in (*clause.of("control"), *clause.of("credential"), *verbs)):
                return 1.0
    return 0.0


def dispensed(clause: LessonClause) -> float:
    """A control said to be needless, or what weakens said to be good enough."""
    for one in clause.of("dispensable"):
        findings = {other.start for other in clause.of("findings")}
        if any(ref.end <= one.start and ref.start not in findings for ref in clause.of("refuse")):
            continue
        spared = {"weak"} if clause.has("harmless") else set[str]()
        needs = {"need", "no", "fin", "fine", "safe", "okay"} & set(clause.stems[one.start : one.end])
        for name in {"control", "weak", "protect", "lesson", "findings"} - spared:
            for other in clause.of(name):
                is_subject = name != "protect" and 0 <= one.start - other.end <= REACH
                if is_subject or (needs and one.end <= other.start <= one.end + 2):
                    return 1.0
    return 0.0


def set_loose(clause: LessonClause) -> float:
    """A limit set to what limits nothing."""
    for verb in ordered_verbs(clause, "adopt", "weaken") if directs(clause) else ():
        for one in clause.of("parameter"):
            far = [far for far in clause.of("extreme") if one.end <= far.start <= one.end + NEAR]
            if one.start >= verb.end and far:
                return 1.0 if any(clause.stems[each.start] in _BOUNDLESS for each in far) else 0.8
    return 0.0


def made_optional(clause: LessonClause) -> float:
    """A control that nobody has to pass any more."""
    if not directs(clause):
        return 0.0
    for one in clause.of("optional"):
        names = ("control", "soft", "lesson", "rule", "guarded")
        before = [other for name in names for other in clause.of(name) if other.end <= one.start]
        if before and not clause.is_against(one.start):
            return 1.0
    return 0.0


def bent(clause: LessonClause) -> float:
    """A test that is made to say what the code does."""
    return 1.0 if directs(clause) and clause.role == "order" and _BENT.search(clause.text) else 0.0


def unlimited(clause: LessonClause) -> float:
    """Any number of tries."""
    return 1.0 if directs(clause) and not clause.has("refuse") and _UNLIMITED.search(clause.text) else 0.0


def dropped(clauses: list[LessonClause]) -> float:
    """A control of a condition that is dropped where it is in the way: "if a test keeps failing, delete it"."""
    for before, order in pairwise(clauses):
        if before.role != "condition" or order.role != "order" or not directs(order):
            continue
        names = ("control", "soft", "findings", "lesson")
        if not (before.has("failure") or before.has("haste")) or not any(before.has(name) for name in names):
            continue
        verbs = [*ordered_verbs(order, "weaken"), *ordered_verbs(order, "destroy"), *ordered_verbs(order, "quieten")]
        if any(order.stems[verb.end : verb.end + 1] in {("it",), ("them",)} for verb in verbs):
            return 1.0
    return 0.0


def vouched(clause: LessonClause) -> float:
    """What is broken or unknown, taken for valid."""
    return 1.0 if clause.role == "order" and _VOUCHED.search(clause.text) else 0.0


def postponed(clause: LessonClause) -> float:
    """A control that comes when it is too late."""
    if clause.role != "order" or not directs(clause) or clause.stems[0] in PROTECTIVE or clause.has("refuse"):
        return 0.0
    return 1.0 if clause.has("control") and _LATER.search(clause.text) else 0.0


def failed_open(clauses: list[LessonClause]) -> float:
    """A failure, and going on as if there were none."""
    if not any(one.has("failure") for one in clauses):
        return 0.0
    orders = (one for one in clauses if one.role == "order" and directs(one) and not _TREATED_AS_BAD.search(one.text))
    if not any(True for order in orders for _ in ordered_verbs(order, "proceed")):
        return 0.0
    return 1.0 if any(one.has("guarded") for one in clauses) else 0.3
