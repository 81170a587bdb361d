"""Reviews of lessons, and lessons that people add."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from lessonbook.classify.catalogue import CatalogueRule, canonical_key
from lessonbook.classify.catalogue_offer import offer_of_rule
from lessonbook.classify.stacks import load_technologies
from lessonbook.classify.starters import starter_rules
from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import Conflict, Forbidden, InvalidInput
from lessonbook.domain.lesson import TEXT_COLUMNS, Caller, Lesson
from lessonbook.domain.lesson_names import catalogue_name, content_hash, rule_name, text_name
from lessonbook.domain.lesson_reviews import LessonReview, NewLesson, Reviewed
from lessonbook.domain.lesson_status import NEEDS_PERSON, TAKES_AWAY, ReviewAction, Status, allowed_targets
from lessonbook.domain.token_estimate import estimate_lesson_tokens
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.domain.where_it_holds import Holds
from lessonbook.screening.lint.rules import screen
from lessonbook.screening.offer import Offer, reviewed, screened_offer
from lessonbook.screening.redact import redact, redact_rule_id
from lessonbook.services.agent_names import give_name
from lessonbook.services.alike_lesson_lookup import AlikeLessons
from lessonbook.services.lesson_fields import result_of
from lessonbook.services.workspace import Workspace, once, request_hash
from lessonbook.services.writing.issue_writer import reindex
from lessonbook.services.writing.ledger import Ledger
from lessonbook.services.writing.scoring import recount
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.types import Row

ISSUES_MAX: Final = 50
"""Issues behind an edited lesson by which search finds it."""


async def review_lesson(work: Workspace, caller: Caller, review: LessonReview) -> Reviewed:
    """Carry out a person's decision about a lesson.

    Raises:
        NotFound: the lesson does not exist.
        Forbidden: the action needs a person, or a token with `lessons:approve` of another principal than the author.
        InvalidInput: the lesson's status does not allow the action, or the text of `edit` is missing or not a rule.
        Conflict: the idempotency key was used with another review.
    """
    if review.action in NEEDS_PERSON:
        caller.require_reviewer(f"{review.action} a lesson", f"lessons {review.action} {review.lesson_id}")

    def act(connection: Connection, now: datetime) -> Reviewed:
        ledger = Ledger(work, caller, connection, now)
        lesson = ledger.lesson(review.lesson_id)
        _check_right(caller, lesson, review.action)
        note = _carry_out(ledger, lesson, review)
        ledger.write()
        return reviewed_lesson(ledger.lesson(lesson.id), review.action, note)

    fingerprint = request_hash(review, "idempotency_key")
    return await once(work, caller, "review_lesson", review.idempotency_key, fingerprint, Reviewed, act)


def _check_right(caller: Caller, lesson: Lesson, action: ReviewAction) -> None:
    """Check that the caller may do that with this lesson.

    Raises:
        Forbidden: it is vouched for and the caller is no reviewer, or the words are the caller's own.
    """
    if caller.person or (action in TAKES_AWAY and not lesson.is_vouched_for):
        return
    command = f"`lessonbook lessons {action} {lesson.id}`"
    if not caller.is_reviewer:
        who = "A person" if lesson.pinned or lesson.approved_by else "The catalogue"
        raise Forbidden(f"{who} vouches for lesson {lesson.id}. Only a person can {action} it: run {command}")
    if lesson.author == caller.principal and lesson.trust != "curated":
        raise Forbidden(
            f"Lesson {lesson.id} came from {caller.principal!r}, and nobody decides on their own words: have somebody "
            f"else {action} it, with another token or by {command}"
        )


def reviewed_lesson(lesson: Lesson, action: str, note: str) -> Reviewed:
    """Return the answer to a review, from the lesson after it."""
    return result_of(Reviewed, lesson, action=action, note=note)


def _carry_out(ledger: Ledger, lesson: Lesson, review: LessonReview) -> str:
    action = review.action
    targets = allowed_targets(lesson.id, action, lesson.status)
    status = "active" if lesson.approved_by and "active" in targets else targets[0]
    if action == "restore" and not lesson.lesson_text:
        raise InvalidInput(f"Lesson {lesson.id} was deleted: its words are gone, so there is nothing to restore")
    if action == "pin" and lesson.visible_to is not None:
        raise InvalidInput(
            f"Nobody has approved the words of lesson {lesson.id}, so it is served to {lesson.visible_to!r} alone: "
            "approve it first"
        )
    if action == "edit":
        return _edit(ledger, lesson, review, status)
    if action == "delete":
        others = f" and those of {count_of(blanked, 'issue')}" if (blanked := delete_lesson(ledger, lesson)) else ""
        return f"Its words{others} are deleted for good; a tombstone stays, so that it is not learned again."
    values = {"status": status, **_values(ledger, action, status)}
    ledger.move(lesson, action, redact(review.reason)[0] or action, values)
    if action == "approve" and lesson.rule_key:
        ledger.name(lesson.id, lesson.agent_name, (rule_name(lesson.rule_key),))  # a person's now, if it is free
    return ""


def _values(ledger: Ledger, action: ReviewAction, status: Status) -> Row:
    """Return the columns that an action sets besides the status it leads to."""
    match action:
        case "approve":
            return {
                "trust": "approved",
                "approved_by": ledger.caller.principal,
                "expires_at": None,
                "visible_to": None,
            }
        case "restore":
            return {"expires_at": None if status == "active" else ledger.expiry()}
        case "pin" | "unpin":
            return {"pinned": action == "pin"}
        case "expire":
            return {"expires_at": ledger.now}
        case _:
            return {}


def _edit(ledger: Ledger, lesson: Lesson, review: LessonReview, status: Status) -> str:
    if not review.text.strip():
        raise InvalidInput("An edit needs the lesson's new text: pass `text`")
    judged = screen(review.text)
    if judged.verdict == "unfit":
        raise InvalidInput(f"The new text was refused: {judged.reasons[0]}")
    values: Row = {
        "lesson_text": judged.text,
        "content_hash": content_hash(judged.text),
        "token_count": estimate_lesson_tokens(judged.text, lesson.rationale),
        "trust": "approved",
        "approved_by": ledger.caller.principal,
        "visible_to": None,
    }
    if status != lesson.status:
        values |= {"status": status, "expires_at": None}
    ledger.move(lesson, "edit", redact(review.reason)[0] or "edited", values)
    if judged.text != lesson.lesson_text:
        recount(ledger, replace(lesson, version=lesson.version + 1))  # the effect was measured for the old words
    ledger.name(lesson.id, lesson.agent_name, (text_name(judged.text),))
    reindex(ledger, replace(lesson, lesson_text=judged.text), ISSUES_MAX)
    return _despite(() if judged.verdict == "clean" else judged.reasons)


def _despite(reasons: Sequence[str]) -> str:
    """Return the note on words that a reviewer gave although the lint objects; empty where it does not."""
    return f"Accepted as a reviewer's words, although {'; '.join(reasons)}." if reasons else ""


def delete_lesson(ledger: Ledger, lesson: Lesson) -> int:
    """Blank a lesson and the issues behind it, and return the number of issues.

    Raises:
        InvalidInput: its status does not allow it.
    """
    status = allowed_targets(lesson.id, "delete", lesson.status)[0]
    values: Row = {
        **dict.fromkeys(TEXT_COLUMNS, ""),
        "status": status,
        "pinned": False,
        "token_count": 0,
        "provenance": {},
    }
    blanked = issue_rows.forget_words(ledger.connection, ledger.caller.project, lesson.id)
    ledger.move(lesson, "delete", "deleted", values, {"issues_blanked": blanked})
    recount(ledger, replace(lesson, version=lesson.version + 1))
    ledger.flush()
    lesson_rows.forget_words(ledger.connection, ledger.caller.project, lesson.id)
    return blanked


async def add_lesson(work: Workspace, caller: Caller, new: NewLesson) -> Reviewed:
    """Store a lesson that a person wrote: active at once. The note names a lesson that says the same or the opposite.

    Raises:
        Forbidden: the caller is not a person.
        InvalidInput: the text is not a rule, or a language is unknown; the message names the nearest.
        Conflict: the same lesson exists already.
    """
    caller.require_person("add a lesson", "lessons add")
    agent_name = work.roster.resolve(new.agent_name)
    rule_key = canonical_key(redact_rule_id(new.rule_id)) if new.rule_id else ""
    offer, refusal = screened_offer(new.words, "approved", rule_key)
    if offer is None:
        raise InvalidInput(refusal)
    paths = tuple(dict.fromkeys(redact(path)[0] for path in new.paths))
    offer = replace(offer, holds=Holds(load_technologies().named(new.languages), paths))
    keys = tuple(filter(None, (rule_key and rule_name(rule_key), text_name(offer.text))))

    def transaction(connection: Connection) -> Reviewed:
        ledger = Ledger(work, caller, connection, work.now())
        ledger.hold([agent_name])
        taken = lesson_rows.find_by_keys(connection, caller.project, [agent_name], keys)
        if taken:
            raise Conflict(f"Lesson {next(iter(taken.values()))} says the same already: edit that one")
        give_name(work, connection, caller.project, agent_name, "a lesson's author")
        alike = AlikeLessons(connection, caller, with_text=True).sentence(agent_name, offer.text)
        lesson_id = ledger.create(agent_name, offer, keys=keys, provenance={"written_by": "person"}, status="active")
        ledger.write()
        note = " ".join(filter(None, (_despite(offer.reasons), alike)))
        return reviewed_lesson(ledger.lesson(lesson_id), "add", note)

    return await work.store.write(transaction)


async def starters(work: Workspace, _caller: Caller, agent_name: str, stack: Sequence[str]) -> Sequence[CatalogueRule]:
    """Return the catalogue rules for an agent that works with a stack, the most useful first.

    Raises:
        InvalidInput: a name of the stack is unknown; the message has the nearest.
    """
    return starter_rules(work.catalogue, work.roster.resolve(agent_name), tuple(stack))


async def add_starters(work: Workspace, caller: Caller, agent_name: str, rules: Sequence[CatalogueRule]) -> list[str]:
    """Give an agent catalogue lessons before anything was reported, and return the ids of those it did not have."""
    name = work.roster.resolve(agent_name)

    def transaction(connection: Connection) -> list[str]:
        wanted = {rule.id: (catalogue_name(rule.id), rule_name(next(iter(rule.keys), ""))) for rule in rules}
        names = [key for keys in wanted.values() for key in keys]
        ledger = Ledger(work, caller, connection, work.now())
        ledger.hold([name])
        taken = {key for _, key in lesson_rows.find_by_keys(connection, caller.project, [name], names)}
        texts = {rule.id: content_hash(rule.text) for rule in rules}
        worded = lesson_rows.worded(connection, caller.project, texts.values())
        there = {text for owner, text, _ in worded if owner in {name, SHARED_AGENT}}
        fresh = [rule for rule in rules if not taken.intersection(wanted[rule.id]) and texts[rule.id] not in there]
        offers = [(wanted[rule.id], offer) for rule in fresh if (offer := offer_of_rule(rule)) is not None]
        made = [_add_starter(ledger, name, names, offer) for names, offer in offers]
        ledger.write()
        return made

    return await work.store.write(transaction)


def _add_starter(ledger: Ledger, agent_name: str, names: tuple[str, str], offer: Offer) -> str:
    keys = names if offer.rule_key else names[:1]
    held = reviewed(offer, ledger.work.review_for(ledger.caller))
    return ledger.create(agent_name, held, keys=keys, provenance={"catalogue": offer.catalogue_id, "starter": True})
