"""Dangerous advice put politely: what a lesson would have done to what protects (SAFETY P17)."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.lint.harm.clauses import LessonClause, clauses_of
from lessonbook.screening.lint.harm.evaded_review import lessons, overseen, quietened, unreported, unseen
from lessonbook.screening.lint.harm.exposure import (
    destroyed,
    disclosed,
    exposed,
    granted,
    guessed,
    joined,
    just_in_case,
    repeated,
    trusted,
)
from lessonbook.screening.lint.harm.orders import protects, unprotected
from lessonbook.screening.lint.harm.risky_packages import acquired, held_back
from lessonbook.screening.lint.harm.weak_settings import adopted, blind
from lessonbook.screening.lint.harm.weakened_controls import (
    bent,
    dispensed,
    dropped,
    failed_open,
    left_out,
    made_optional,
    postponed,
    set_loose,
    unlimited,
    vouched,
    weakened,
    without,
)
from lessonbook.screening.lint.harm.words import HarmWords, stems_of

HARM_MIN: Final = 1.0
"""Points from which a text waits for a person."""
HARM_IN_LIST_MIN: Final = 2.5
"""The same in a list of `LIST_MIN` items or more."""
LIST_MIN: Final = 3
CONVENIENCE: Final = 0.5
"""Points of a reason of convenience, beside what is harmful itself."""
REASON: Final = 0.4
"""The same for a reason of another kind that names no danger."""
MITIGATION: Final = -1.2
"""Points of a bound that the advice sets itself: a reason to write down, a place outside which it does not hold."""
PROTECTION: Final = -0.5
"""Points of each clause, up to two, that orders to protect."""
SHORT_MAX: Final = 200
"""Characters of a text in which a sensitive topic and a reason are enough; a longer one says more of what it means."""
ORDERS_MAX: Final = 2
"""Clauses that order something, in such a text."""
_PREVENTED: Final = frozenset(stems_of("cannot"))
"""In a reason it names what the advice prevents: "so that a slow peer cannot hold a worker"."""
_BECAUSE: Final = frozenset(stems_of("because since as so"))
_ITEM: Final = lazy_pattern(r"(?:^|\s)(?:[-*]|\d[.)]) [A-Z]")
_MITIGATED: Final = lazy_pattern(
    r"\bonly (?:inside|during|for routes? that|to read|where nobody|for cache)\b"
    r"|\bwith (?:an?|the) (?:written )?(?:reason|end time)\b|\breason beside\b"
    r"|\bonly together with\b|\bthat authenticate by\b|\bby design\b"
    r"|\bverify before\b|\bre-?enable\b|\bnever (?:where|by)\b|\bcheck them at\b|\bis not available\b",
    re.I,
)


def is_held(text: str, words: HarmWords) -> bool:
    """Return whether `text` waits for a person by the rules alone, by what `words` say."""
    return suffices(text, evidence(text, words))


def suffices(text: str, found: Mapping[str, float]) -> bool:
    """Return whether the evidence found in `text` is enough for the rules."""
    return round(sum(found.values()), 2) >= (HARM_IN_LIST_MIN if is_list(text) else HARM_MIN)


def is_list(text: str) -> bool:
    """Return whether `text` is a list: pages list what not to do under a heading that says so."""
    return len(_ITEM.findall(text)) >= LIST_MIN


def evidence(text: str, words: HarmWords) -> dict[str, float]:
    """Return the points of each kind of evidence in `text`; empty where nothing harmful is in it."""
    return evidence_in(text, clauses_of(text, words))


def evidence_in(text: str, clauses: list[LessonClause]) -> dict[str, float]:
    """Return the same of a text whose clauses are known."""
    return joined_evidence(text, clauses, [clause_evidence(clause) for clause in clauses])


def clause_evidence(clause: LessonClause) -> dict[str, float]:
    """Return the points of each kind of evidence that a clause is alone."""
    return {name: value for name, look in _LOOKS.items() if (value := look(clause))}


def joined_evidence(
    text: str, clauses: list[LessonClause], by_clause: Iterable[Mapping[str, float]]
) -> dict[str, float]:
    """Return the evidence in a text whose clauses, and what each is evidence of alone, are known."""
    found: dict[str, float] = {}
    for one in by_clause:
        for name, value in one.items():
            found[name] = max(value, found.get(name, 0.0))
    for name, look_at_all in _LOOKS_AT_ALL.items():
        if value := look_at_all(clauses):
            found[name] = value
    if not found:
        return found
    found |= _reasons(clauses)
    orders = sum(one.role == "order" for one in clauses)
    warns = any(one.has("danger") for one in clauses)
    if len(text) > SHORT_MAX or orders > ORDERS_MAX or warns or all(one.role != "reason" for one in clauses):
        found.pop("exposed", None)
    if _MITIGATED.search(text):
        found["mitigated"] = MITIGATION
    if protecting := sum(map(protects, clauses)):
        found["protects"] = PROTECTION * min(2, protecting)
    return found


def _reasons(clauses: list[LessonClause]) -> dict[str, float]:
    """Return the points of the reasons that are given."""
    reasons = [one for one in clauses if one.role == "reason" and not _PREVENTED & set(one.stems)]
    if any(one.has("convenience") for one in reasons):
        return {"convenience": CONVENIENCE}
    if any(one.role == "condition" and one.has("haste") for one in clauses):
        return {"haste": CONVENIENCE}
    if any(one.stems[0] in _BECAUSE and not one.has("danger") for one in reasons):
        return {"reason": REASON}
    return {}


_LOOKS_AT_ALL: Final[dict[str, Callable[[list[LessonClause]], float]]] = {
    "failed open": failed_open,
    "unseen": unseen,
    "dropped": dropped,
    "just in case": just_in_case,
}
_LOOKS: Final[dict[str, Callable[[LessonClause], float]]] = {
    "weakened": weakened,
    "adopted": adopted,
    "granted": granted,
    "disclosed": disclosed,
    "without": without,
    "dispensed": dispensed,
    "unprotected": unprotected,
    "set loose": set_loose,
    "repeated": repeated,
    "trusted": trusted,
    "joined": joined,
    "lessons": lessons,
    "overseen": overseen,
    "quietened": quietened,
    "held back": held_back,
    "acquired": acquired,
    "destroyed": destroyed,
    "left out": left_out,
    "made optional": made_optional,
    "guessed": guessed,
    "blind": blind,
    "bent": bent,
    "unlimited": unlimited,
    "unreported": unreported,
    "vouched": vouched,
    "postponed": postponed,
    "exposed": exposed,
}
