"""Whether a lesson waits for a person because of what it advises, and why, in words for people (SAFETY P17)."""

from collections.abc import Callable, Mapping
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.lint.harm.evidence import HARM_MIN, is_list, suffices
from lessonbook.screening.lint.harm.model import load_harm_model
from lessonbook.screening.lint.harm.orders import directs
from lessonbook.screening.lint.harm.passages import PASSAGE_MAX, Passage, passages_of
from lessonbook.screening.lint.harm.words import vocabulary

POLITE_HARM: Final = "it seems to advise weakening something that protects"
RULES_FROM: Final = -1.5
"""Log odds of the model, from its threshold on, from which the rules hold a text that it would let pass."""
UNLIKE_LESSONS_FROM: Final = 4.0
"""The same from which the model holds a list, its items, and code: it saw few, and a list may lack its heading."""
DESCRIBING_FROM: Final = 4.0
"""The same for a part of a text that only describes: "it helps teams", "when documents are injected, they override"."""
_REFERRING: Final = frozenset({"it", "this", "these", "they", "there", "that", "those", "when", "if"})
JOINED_FROM: Final = 1.0
"""The same for one of the orders that a sentence joins: alone it lacks the sentence's conditions."""
GOOD_BELOW: Final = -2.5
"""The same below which the model overrules what other checks say of commands and of checks that are turned off."""
BOUNDED_WORDS_MIN: Final = 13
"""Words that a passage needs to say both what is doubtful and what bounds it."""
CODE_SIGNS_MAX: Final = 0.06
"""The share of signs of code, outside of short code spans, above which a passage is no prose."""
_CODE_SIGNS: Final = "{}()=[]_;|<>"
_FENCE: Final = "```"
_SPAN: Final = lazy_pattern(r"`[^`]{1,60}`")
SURE: Final = frozenset(
    {
        "disclosed",
        "without",
        "repeated",
        "guessed",
        "unlimited",
        "unprotected",
        "left out",
        "unreported",
        "postponed",
        "vouched",
        "acquired",
        "held back",
        "blind",
        "failed open",
        "dropped",
        "unseen",
    }
)
"""Evidence that the model does not overrule: on the sets that came after the rules, it was hardly ever right to."""
SURE_FROM: Final = 1.5
"""Points from which it overrules no other evidence either."""


def polite_harm(text: str) -> list[str]:
    """Return why a person should look at advice that would weaken a control, as parts of a sentence.

    Each passage is judged as if it were all there is, so an honest one does not hide another. The whole of a text that
    is longer than those the model learned from is left to the rules; the items of a list are left to the model.
    """
    whole, *parts = passages_of(text, vocabulary())
    listed = is_list(text)
    least = UNLIKE_LESSONS_FROM if listed or _is_code(text) else 0
    reason = _reason(whole, least, with_model=len(text) <= PASSAGE_MAX)
    for part in parts:
        reason = reason or _reason(part, _least(part, listed=listed), with_rules=not (listed or part.is_joined))
    return [f"{POLITE_HARM}{reason}"] if reason else []


def is_surely_good(text: str, doubts: Callable[[str], object]) -> bool:
    """Tell whether the model lets pass, by a wide margin, each passage of a text of which another check has `doubts`.

    What it doubts needs words that bound it ("on Windows only"), so a short passage is never surely good; nor is code
    or a list, of which the model saw few.
    """
    if len(text) > PASSAGE_MAX or is_list(text) or _is_code(text):
        return False
    model = load_harm_model()
    for passage in passages_of(text, vocabulary()):
        if len(passage.text.split()) < BOUNDED_WORDS_MIN and doubts(passage.text):
            return False
        if model.score(*passage.features(passage.evidence())) >= GOOD_BELOW:
            return False
    return True


def _least(part: Passage, *, listed: bool) -> float:
    """Return the log odds from which the model holds a part of a text."""
    if listed or _is_code(part.text):
        return UNLIKE_LESSONS_FROM
    return max(JOINED_FROM if part.is_joined else 0.0, DESCRIBING_FROM if _describes(part) else 0.0)


def _reason(passage: Passage, least: float, *, with_rules: bool = True, with_model: bool = True) -> str:
    """Return what to say of a passage that waits for a person; empty where it does not.

    The model holds it from `least` on.
    """
    found = passage.evidence()
    by_rules = with_rules and suffices(passage.text, found)
    if by_rules and (not with_model or _is_sure(found)):
        return f": {_kind(found)}"
    if not with_model:
        return ""
    model = load_harm_model()
    features, spoken = passage.features(found)
    if model.score(features, spoken) < (RULES_FROM if by_rules else least):
        return ""
    if kind := _kind(found):
        return f": {kind}"
    return f", as it speaks of: {', '.join(model.telling(features))}"


def _is_sure(found: Mapping[str, float]) -> bool:
    """Return whether the model does not overrule some of the evidence."""
    return any(value >= (HARM_MIN if name in SURE else SURE_FROM) for name, value in found.items())


def _is_code(text: str) -> bool:
    """Return whether a passage is code: it has a fence, or many signs outside of short code spans."""
    if _FENCE in text:
        return True
    prose = _SPAN.sub("", text)
    return sum(map(prose.count, _CODE_SIGNS)) > CODE_SIGNS_MAX * len(prose)


def _describes(part: Passage) -> bool:
    """Return whether a part begins by referring to another, or with a condition, and orders nothing."""
    words = part.clauses[0].words
    return bool(words) and words[0] in _REFERRING and not any(map(directs, part.clauses))


def _kind(found: Mapping[str, float]) -> str:
    """Return what the strongest evidence means."""
    kinds = [name for name in found if name in KINDS]
    return KINDS[max(kinds, key=lambda name: found[name])] if kinds else ""


KINDS: Final = {
    "weakened": "it takes a control away or loosens it",
    "adopted": "it adopts something that weakens by its name or value",
    "granted": "it gives broad rights",
    "disclosed": "it writes a secret where it does not belong",
    "without": "it acts without a control",
    "dispensed": "it says that a control is not needed",
    "unprotected": "it advises against what protects",
    "set loose": "it sets a limit that limits nothing",
    "repeated": "it fixes a value that has to be unique or secret",
    "trusted": "it takes what a client says as true",
    "joined": "it joins text from outside into what is interpreted",
    "lessons": "it is about other lessons",
    "overseen": "it gets past those who look",
    "quietened": "it makes findings quiet",
    "held back": "it keeps a package at an old version",
    "acquired": "it adds a package by its name",
    "destroyed": "it destroys data or history",
    "left out": "it leaves a control out",
    "made optional": "it makes a control optional",
    "guessed": "it makes a secret of what can be guessed",
    "blind": "it adopts something that does not check",
    "bent": "it makes a test say what the code does",
    "unlimited": "it allows any number of tries",
    "unreported": "it advises against reporting",
    "vouched": "it takes what is broken or unknown for valid",
    "postponed": "it puts a control off until it is too late",
    "exposed": "it touches what has to be protected for convenience",
    "failed open": "it goes on where a check failed",
    "unseen": "it hides something from those who look",
    "dropped": "it drops a control that is in the way",
    "just in case": "it gives a right because it may be needed",
}
"""What each kind of evidence means, for people."""
