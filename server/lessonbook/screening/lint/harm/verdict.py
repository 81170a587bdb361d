"""Whether a lesson waits for a person because of what it advises, and why, in words for people (SAFETY P17)."""

import re
from collections.abc import Mapping
from typing import Final

from lessonbook.screening.lint.harm.clauses import clauses_of
from lessonbook.screening.lint.harm.evidence import evidence_in, suffices
from lessonbook.screening.lint.harm.features import features_of
from lessonbook.screening.lint.harm.model import load_harm_model
from lessonbook.screening.lint.harm.words import vocabulary

POLITE_HARM: Final = "it seems to advise weakening something that protects"
ADVICE_MAX: Final = 300
"""Characters of a text that the model judges: it learned from lessons of so many."""
CODE_SIGNS_MAX: Final = 0.08
"""The share of signs of code, outside of code spans, above which a text is no prose."""
_CODE_SIGNS: Final = "{}()=[]_;|<>"
_FENCE: Final = "```"
_SPAN: Final = re.compile(r"`[^`]*`")
_NEXT_SENTENCE: Final = re.compile(r"[.!?][)\"'`]? ")
"""Where there are several sentences the rules are not overruled: honest ones would hide one that is not."""
RULES_FROM: Final = -1.5
"""Log odds of the model, from its threshold on, from which the rules hold a text that it would let pass."""


def polite_harm(text: str) -> list[str]:
    """Return why a person should look at advice that would weaken a control, as parts of a sentence.

    The model judges what is as long as a lesson is and reads as one; a longer text, or code, is left to the rules.
    """
    clauses = clauses_of(text, vocabulary())
    found = evidence_in(text, clauses)
    by_rules = suffices(text, found)
    if not _reads_as_advice(text):
        return [f"{POLITE_HARM}: {_kind(found)}"] if by_rules else []
    model = load_harm_model()
    features, spoken = features_of(clauses, found)
    score = model.score(features, spoken)
    if score < 0 and not (by_rules and (score >= RULES_FROM or _NEXT_SENTENCE.search(text))):
        return []
    if kind := _kind(found):
        return [f"{POLITE_HARM}: {kind}"]
    return [f"{POLITE_HARM}, as it speaks of: {', '.join(model.telling(features))}"]


def _reads_as_advice(text: str) -> bool:
    """Return whether `text` is short prose; code spans do not count as code."""
    if len(text) > ADVICE_MAX or _FENCE in text:
        return False
    prose = _SPAN.sub("", text)
    return sum(prose.count(sign) for sign in _CODE_SIGNS) <= CODE_SIGNS_MAX * len(prose)


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
