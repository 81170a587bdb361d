"""What may become a lesson: its words after the lint, how severe it may be, and whether it waits for a person."""

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from lessonbook.domain.holds import ANYWHERE, Holds
from lessonbook.domain.lesson_status import Status
from lessonbook.domain.vocabulary import (
    SEVERITY_OF_RANK,
    SEVERITY_RANK,
    SHARED_AGENT,
    Category,
    Severity,
    Trust,
)
from lessonbook.screening.lint.screen import screen, screen_why

ReviewMode = Literal["none", "risky", "all"]
"""Which lessons wait for a person: `trust.review` of the settings."""

COPIED: Final = "it copies the words of the issue"
COPIED_RUN: Final = 8
"""Words in a row that a lesson may not share with an issue."""
FOR_ALL: Final = "it would go to all agents (name the agent it is for, to have it served without a person's word)"
_WORDS: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Offer:
    """A lesson that may be made: where its words come from decides its trust."""

    text: str
    why: str
    severity: Severity
    category: Category
    trust: Trust
    status: Status
    rule_key: str
    reasons: tuple[str, ...] = ()
    catalogue_id: str = ""
    holds: Holds = ANYWHERE


def screened_offer(
    text: str, why: str, severity: Severity, category: Category, trust: Trust, rule_key: str = ""
) -> tuple[Offer | None, str]:
    """Return the lesson offered as `text` after the lint, or None and the reason it is no lesson."""
    judged, reason = screen(text), screen_why(why)
    if judged.verdict == "unfit":
        return None, "The offered lesson was not taken: " + judged.reasons[0] + "."
    reasons = judged.reasons + tuple(f"its rationale: {line}" for line in reason.reasons)
    status: Status = "quarantined" if reasons else "probation"
    return Offer(judged.text, reason.text, severity, category, trust, status, rule_key, reasons), ""


def capped(declared: Severity, suggested: Severity) -> Severity:
    """Return how severe a lesson may be that somebody offers: at most a step above what the issue's words suggest.

    A self-declared severity must not lift a lesson over others (SAFETY P14), and `critical` is the catalogue's and
    people's to give. The issue keeps what was declared.
    """
    return SEVERITY_OF_RANK[min(SEVERITY_RANK[declared], SEVERITY_RANK[suggested] + 1, SEVERITY_RANK["high"])]


def copies(lesson_text: str, description: str) -> bool:
    """Return whether a lesson has a run of eight words or more from an issue: such words are evidence, no rule."""
    words = _WORDS.findall(lesson_text.lower())
    issue = f" {' '.join(_WORDS.findall(description.lower()))} "
    return any(f" {' '.join(words[at : at + COPIED_RUN])} " in issue for at in range(len(words) - COPIED_RUN + 1))


def reviewed(offer: Offer, review: ReviewMode) -> Offer:
    """Return `offer` with the status it has where `trust.review` is `review`; curated words are never held back."""
    if offer.trust == "curated":
        return offer
    status, reasons = offer.status, offer.reasons
    if review == "all" and status != "quarantined":
        status, reasons = "quarantined", ("every lesson is reviewed here (trust.review = all)",)
    elif review == "none" and status == "quarantined" and offer.trust not in {"scanner", "generated"}:
        status = "probation"
    return replace(offer, status=status, reasons=reasons)


def held_from_all(offer: Offer, agent_name: str, review: ReviewMode) -> Offer:
    """Return `offer` as it is for one agent; for all agents, anybody's words but the catalogue's wait for a person.

    A lesson of the shared agent reaches everyone, and so would a planted one.
    """
    if agent_name != SHARED_AGENT or review == "none" or offer.trust not in {"offered", "generated"}:
        return offer
    return replace(offer, status="quarantined", reasons=(*offer.reasons, FOR_ALL))
