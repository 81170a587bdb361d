"""What may become a lesson: its words after the lint, its severity, and whether it waits for a person."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from lessonbook.domain.lesson import LABELS, LessonWords
from lessonbook.domain.lesson_status import Status
from lessonbook.domain.vocabulary import (
    SEVERITY_OF_RANK,
    SEVERITY_RANK,
    SHARED_AGENT,
    ReviewMode,
    Severity,
    Trust,
)
from lessonbook.domain.where_it_holds import ANYWHERE, Holds
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.lint.rules import one_line, screen, screen_why
from lessonbook.screening.redact import redact

COPIED: Final = "it copies the words of the issue"
COPIED_RUN: Final = 8
"""The fewest words in a row, shared with an issue, that count as copied."""
FOR_ALL: Final = "it would go to all agents (name the agent it is for, to have it served without a person's word)"
BESIDE: Final = "a reviewed lesson says what to do about the issue"
_WORDS: Final = lazy_pattern(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer(LessonWords):
    """A lesson that may be made. Its trust follows from where its words come from."""

    trust: Trust
    status: Status
    rule_key: str = ""
    reasons: tuple[str, ...] = ()
    catalogue_id: str = ""
    holds: Holds = ANYWHERE


def screened_offer(words: LessonWords, trust: Trust, rule_key: str = "") -> tuple[Offer | None, str]:
    """Return the lesson offered in these words after the lint, or None and the reason why it cannot be one."""
    judged, reason = screen(words.text), screen_why(words.why)
    if judged.verdict == "unfit":
        return None, "The offered lesson was not taken: " + judged.reasons[0] + "."
    reasons = judged.reasons + tuple(f"its rationale: {line}" for line in reason.reasons)
    status: Status = "quarantined" if reasons else "probation"
    others: Mapping[str, Any] = {
        name: one_line(redact(getattr(words, name))[0]) for name in LABELS.values() if name != "why"
    }
    clean = (judged.text, reason.text, words.severity, words.category)
    return Offer(*clean, **others, trust=trust, status=status, rule_key=rule_key, reasons=reasons), ""


def held(offer: Offer, reasons: tuple[str, ...]) -> Offer:
    """Return `offer`, quarantined if there are further `reasons` why a person should look at it."""
    return replace(offer, status="quarantined", reasons=(*offer.reasons, *reasons)) if reasons else offer


def capped(declared: Severity, suggested: Severity) -> Severity:
    """Return the severity of an offered lesson: at most a step above what the issue's words suggest, and `high`.

    A self-declared severity must not lift a lesson over others (SAFETY P14); `critical` comes from the catalogue and
    from people. The issue keeps the severity that was declared.
    """
    return SEVERITY_OF_RANK[min(SEVERITY_RANK[declared], SEVERITY_RANK[suggested] + 1, SEVERITY_RANK["high"])]


def copies(lesson_text: str, description: str) -> bool:
    """Return whether a lesson has a run of eight words from an issue: such words are evidence, not a rule."""
    words = _WORDS.findall(lesson_text.lower())
    issue = f" {' '.join(_WORDS.findall(description.lower()))} "
    return any(f" {' '.join(words[at : at + COPIED_RUN])} " in issue for at in range(len(words) - COPIED_RUN + 1))


def reviewed(offer: Offer, review: ReviewMode) -> Offer:
    """Return `offer` with its status under `trust.review` = `review`; curated words never wait."""
    if offer.trust == "curated":
        return offer
    status, reasons = offer.status, offer.reasons
    if review == "all" and status != "quarantined":
        status, reasons = "quarantined", ("every lesson is reviewed here (trust.review = all)",)
    elif review == "none" and status == "quarantined" and offer.trust not in {"scanner", "generated"}:
        status = "probation"
    return replace(offer, status=status, reasons=reasons)


def held_from_all(offer: Offer, agent_name: str, review: ReviewMode) -> Offer:
    """Return `offer`, quarantined if it is for all agents and neither the catalogue nor a person stands for it.

    A lesson of the shared agent reaches everyone, and so would a planted one.
    """
    if agent_name != SHARED_AGENT or review == "none" or offer.trust not in {"offered", "generated"}:
        return offer
    return held(offer, (FOR_ALL,))


def beside(offer: Offer, review: ReviewMode, *, by_person: bool) -> Offer:
    """Return the words offered beside a lesson of the catalogue or of a person, as a lesson of their own.

    Under `others` they wait for a person, who compares the two. Nothing is named by them but their own text.
    """
    if by_person or review != "others":
        return offer
    return held(offer, (BESIDE,))
