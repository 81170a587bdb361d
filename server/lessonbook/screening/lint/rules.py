"""The lint that every offered, imported or generated lesson passes before it may be served (SAFETY P4)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.lint.advice import COMMAND, UNCHECKED, advices
from lessonbook.screening.lint.disguise import disguises, hides_characters, readings, visible
from lessonbook.screening.lint.harm.verdict import is_surely_good, polite_harm
from lessonbook.screening.lint.not_a_rule import TALK, forms, talks
from lessonbook.screening.lint.prompt_injection import speeches
from lessonbook.screening.lint.wording import wordings
from lessonbook.screening.redact import redact

__all__ = ["LESSON_MAX", "WHY_MAX", "Screened", "one_line", "screen", "screen_source", "screen_why", "visible"]

LESSON_MAX: Final = 600
WHY_MAX: Final = 600
WORDS_MIN: Final = 3
READ_MAX: Final = 2_000
"""The characters that are judged; a longer text waits for a person anyway."""
SOURCE_MAX: Final = 20_000
"""The characters of a page that are judged, as many as advice is taken from."""

Verdict = Literal["clean", "risky", "unfit"]


@dataclass(frozen=True, slots=True)
class Screened:
    """A lesson's text after the lint.

    `clean` may be served, `risky` waits for a person, `unfit` is not a rule. `reasons` are parts of a sentence for
    people.
    """

    text: str
    verdict: Verdict
    reasons: tuple[str, ...]


_WEB: Final = lazy_pattern(r"\b(?:https?|ftp|file|data|javascript)://?[\w\[]|\bdata:\w+/\w|\bwww\.\w", re.I)
_MAIL: Final = lazy_pattern(r"[\w.+-]{1,64}@[\w-]{1,64}\.[a-z]{2,}", re.I)
_WORD: Final = lazy_pattern(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2}|[^\W\d_]{2,}")
"""A word; where words are not spaced (Chinese, Japanese, Korean), two characters count as one."""


_UNSPACED: Final = lazy_pattern(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2}")


def one_line(text: str) -> str:
    """Return `text` on one line, with single blanks."""
    return " ".join(text.split())


def screen(text: str) -> Screened:
    """Return the lint's judgement of a lesson, with its text cleaned and on one line."""
    return _judge(text, WORDS_MIN)


def screen_why(text: str) -> Screened:
    """Return the lint's judgement of a rationale, which may be short. One without a word is dropped."""
    judged = _judge(text, 1)
    return Screened("", "clean", ()) if judged.verdict == "unfit" else judged


def screen_source(text: str) -> tuple[str, ...]:
    """Return why a person should look at advice taken from `text`, a whole page of which only a part is served.

    A page may hold examples, addresses and questions, but it speaks to programmers: where it hides something, somebody
    talks in it, or it speaks to a model, none of its sentences is to be trusted.
    """
    text = text[:SOURCE_MAX]
    reasons = ["it holds hidden or direction-changing characters"] if hides_characters(text) else []
    reasons += [reason for reading in readings(text) for reason in speeches(reading)] + disguises(text)
    if talks(text):
        reasons.append(TALK)
    return tuple(f"its page: {reason}" for reason in dict.fromkeys(reasons))


def _judge(text: str, words_min: int) -> Screened:
    reasons: list[str] = []
    if hides_characters(text):
        reasons.append("it holds hidden or direction-changing characters")
    cleaned, secrets = redact(one_line(visible(text)))
    if secrets:
        reasons.append(f"it holds a secret ({', '.join(secrets)})")
    if min(len(_WORD.findall(cleaned)), _spaced(cleaned)) < words_min:
        return Screened(cleaned, "unfit", ("it is not a rule: write what to do, in at least three words",))
    if len(cleaned) > LESSON_MAX:
        reasons.append(f"it is longer than {LESSON_MAX} characters")
    reasons += [reason for check in CHECKS for reason in check(cleaned[:READ_MAX])]
    return Screened(cleaned, "risky" if reasons else "clean", tuple(dict.fromkeys(reasons)))


def _spaced(text: str) -> int:
    """Return the number of words between blanks: one identifier is not a sentence, however many words it has.

    Where words are not spaced, two characters count as one.
    """
    return sum(max(1, len(_UNSPACED.findall(part))) for part in text.split() if _WORD.search(part))


def addresses(text: str) -> list[str]:
    """Return which addresses `text` holds, as parts of a sentence."""
    found = ["it holds a web address"] if _WEB.search(text) else []
    return [*found, "it holds an e-mail address"] if "@" in text and _MAIL.search(text) else found


def utterances(text: str) -> list[str]:
    """Return what `text`, with and without disguises, says to a model or wrongly advises, as parts of a sentence.

    What names a command or a check that is turned off may do so rightly ("rm -rf only after asserting that its path lies
    below /tmp"): it passes where the model of harmful advice is sure of that.
    """
    reasons: list[str] = []
    for reading in readings(text):
        advised = advices(reading)
        if advised and _LEFT_TO_MODEL.issuperset(advised) and is_surely_good(reading, advices):
            advised = []
        reasons += [*speeches(reading), *advised, *polite_harm(reading)]
    return reasons


_LEFT_TO_MODEL: Final = frozenset({COMMAND, UNCHECKED})
"""What `advices` finds that the model may overrule."""

CHECKS: tuple[Callable[[str], list[str]], ...] = (addresses, utterances, disguises, forms, wordings)
"""Each returns the reasons why a person should look at a text, as parts of a sentence; none where it is fine."""
