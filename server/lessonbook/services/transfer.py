"""Import of lessons from old memories and other databases, and export.

An import keeps a lesson's status or lowers it: the file, this database and the lint can each only lower it.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import anyio.to_thread
from sqlalchemy import Connection

from lessonbook.classify.catalogue import canonical_key
from lessonbook.classify.catalogue_offer import offer_of_rule, rule_worded
from lessonbook.classify.rule_keys import tool_of
from lessonbook.classify.stacks import load_technologies
from lessonbook.domain.errors import Forbidden
from lessonbook.domain.file_results import ExportedLesson, Imported, PortableLesson, RefusedRecord
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_names import (
    catalogue_name,
    content_hash,
    group_id_of,
    group_name,
    is_well_formed,
    kind_of,
    rule_name,
    text_name,
    value_of,
)
from lessonbook.domain.lesson_status import COMES_BACK, RULES, SERVABLE, STANDING, Status
from lessonbook.domain.where_it_holds import Holds, where_it_holds
from lessonbook.screening.offer import Offer, reviewed, screened_offer
from lessonbook.screening.redact import redact, redact_rule_id
from lessonbook.services.agent_names import give_name
from lessonbook.services.alike_lesson_lookup import AlikeLessons
from lessonbook.services.lesson_fields import result_of
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import lessons as lesson_rows

CHUNK: Final = 200
EXPORTED_MAX: Final = 100_000
NOTES_MAX: Final = 100
COMPARED_MAX: Final = 1_000
"""Lessons of a file that are compared with what is there: the work grows with both."""


@dataclass(frozen=True, slots=True)
class _Incoming:
    """One lesson of the file after the lint."""

    place: str
    agent_name: str
    offer: Offer
    names: tuple[str, ...]
    status: Status
    pinned: bool

    @property
    def hash(self) -> str:
        return content_hash(self.offer.text)

    def is_twin(self, rule_key: str) -> bool:
        """Return whether a lesson of the same words for `rule_key` is the same: for two rules of one tool it is not."""
        own = self.offer.rule_key
        return not own or not rule_key or own == rule_key or tool_of(own) != tool_of(rule_key)


async def import_lessons(
    work: Workspace,
    caller: Caller,
    lessons: Sequence[tuple[str, PortableLesson]],
    *,
    active: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Imported:
    """Store lessons written elsewhere, after the lint, with the status they had or a lower one.

    Lessons that were served begin on probation, or active where a person says so. Retired, suspended, expired, rejected
    and quarantined ones keep their status. Lessons that this database has already are left as they are.

    Args:
        work: the workspace.
        caller: who imports.
        lessons: each with its place in the file, for the answer.
        active: whether lessons that are active or have no status in the file are active at once, as a person's words.
        progress: called with the number of lessons done and that of all.

    Raises:
        Forbidden: `active` by a caller who is not a person.
    """
    if active and not caller.person:
        raise Forbidden("Only a person can trust imported lessons at once: leave --trust out")
    screen = _Screen(work, caller, active=active)
    incoming = await anyio.to_thread.run_sync(screen.all_of, lessons)  # the lint must not hold up other callers
    made: dict[str, Status] = {}
    notes: list[str] = []
    for start in range(0, len(lessons), CHUNK):
        is_compared = start < COMPARED_MAX
        part = [one for one in incoming[start : start + CHUNK] if one is not None]
        created, told = await work.store.write(
            lambda connection, part=part, made=frozenset(made), is_compared=is_compared: _import(
                work, caller, connection, part, made, is_compared=is_compared
            )
        )
        made |= created
        notes += told
        progress(min(start + CHUNK, len(lessons)), len(lessons))
    quarantined = sum(status == "quarantined" for status in made.values())
    return Imported(
        created=len(made) - quarantined,
        resting=sum(status not in {*SERVABLE, "quarantined"} for status in made.values()),
        known=len(lessons) - len(screen.refused) - len(made),
        quarantined=quarantined,
        refused=screen.refused,
        notes=notes[:NOTES_MAX],
    )


class _Screen:
    """Prepares the lessons of a file; `refused` has those that cannot be stored."""

    def __init__(self, work: Workspace, caller: Caller, *, active: bool) -> None:
        self._work = work
        self._caller = caller
        self._active = active
        self.refused: list[RefusedRecord] = []

    def all_of(self, lessons: Iterable[tuple[str, PortableLesson]]) -> list[_Incoming | None]:
        """Return the lessons in order; None for one that is refused, or is in the file before.

        Of several records of one lesson the first is kept, in the lowest status that any of them has.
        """
        found: list[_Incoming | None] = []
        places: dict[tuple[str, str], list[int]] = {}
        for place, lesson in lessons:
            one = self._one(place, lesson)
            if one is None:
                found.append(None)
                continue
            known = places.setdefault((one.agent_name, one.hash), [])
            for at in known:
                first = found[at]
                if first is not None and first.is_twin(one.offer.rule_key):
                    found[at] = min(first, replace(first, status=one.status), key=lambda same: RULES[same.status].rank)
                    found.append(None)
                    break
            else:
                known.append(len(found))
                found.append(one)
        return found

    def _one(self, place: str, lesson: PortableLesson) -> _Incoming | None:
        if lesson.status == "superseded":
            reason = "it was merged into another lesson: import that one"
            self.refused.append(RefusedRecord(place=place, reason=reason))
            return None
        offer, refusal = self._offer(lesson)
        if offer is None:
            self.refused.append(RefusedRecord(place=place, reason=refusal))
            return None
        status = self._status(lesson.status, offer)
        if status == "active":
            offer = replace(offer, trust="approved")
        if status not in SERVABLE and not offer.reasons:
            offer = replace(offer, reasons=(f"imported as {status}",))
        return _Incoming(
            place=place,
            agent_name=self._work.roster.resolve(lesson.agent_name),
            offer=offer,
            names=_names(lesson, offer, by_person=self._caller.person),
            status=status,
            pinned=lesson.pinned and self._caller.person and status in STANDING and status != "quarantined",
        )

    def _offer(self, lesson: PortableLesson) -> tuple[Offer | None, str]:
        """Return the lesson after the lint, or why it is refused. A catalogue rule's words make it the catalogue's."""
        rule = rule_worded(lesson.text, self._work.catalogue)
        if rule is not None and (curated := offer_of_rule(rule)) is not None:
            return curated, ""
        rule_key = canonical_key(redact_rule_id(lesson.rule_key)) if lesson.rule_key else ""
        offer, refusal = screened_offer(lesson.words, "imported", rule_key)
        if offer is not None:
            paths = tuple(dict.fromkeys(redact(path)[0] for path in lesson.paths))
            offer = replace(offer, holds=Holds(_languages(lesson.languages), paths))
        if offer is not None and self._work.review_for(self._caller) == "all" and not self._active:
            offer = reviewed(offer, "all")
        return offer, refusal

    def _status(self, claimed: Status | None, offer: Offer) -> Status:
        if claimed is None or claimed in SERVABLE:
            status: Status = "active" if self._active and claimed != "probation" else "probation"
        else:
            status = claimed
        return "quarantined" if offer.status == "quarantined" and status in COMES_BACK else status


def _languages(names: Iterable[str]) -> tuple[str, ...]:
    """Return languages as they are spelled here; one that is unknown stays as it was, without secrets."""
    technologies = load_technologies()
    known = ((name, technologies.find(name)) for name in names)
    return tuple(dict.fromkeys(found.name if found else redact(name.casefold())[0] for name, found in known))


def _names(lesson: PortableLesson, offer: Offer, *, by_person: bool) -> tuple[str, ...]:
    """Return a lesson's exact names: those in the file, else those of its rule and its words.

    Words that no person brings, and that are not the catalogue's, do not get the name of a rule.
    """
    named = rule_name if by_person or offer.catalogue_id else _offered_name
    own = catalogue_name(offer.catalogue_id) if offer.catalogue_id else text_name(offer.text)
    if lesson.names is None:
        names = [own, named(offer.rule_key) if offer.rule_key else ""]
    else:
        kept = ((kind_of(name), _name(name)) for name in lesson.names)
        names = [named(value_of(name)) if kind == "rule" and name else name for kind, name in kept]
        names.insert(0, own if offer.catalogue_id else "")
    return tuple(dict.fromkeys(filter(None, names))) or (own,)


def _offered_name(rule_key: str) -> str:
    """Return the name of a lesson that answers to a rule in words that do not own the rule's name."""
    return group_name(group_id_of(rule_name(rule_key)))


def _name(name: str) -> str:
    """Return an exact name from a file as it may be stored; empty where it is not well-formed."""
    if kind_of(name) == "rule":
        name = rule_name(canonical_key(redact_rule_id(value_of(name))))
    return name if is_well_formed(name) else ""


def _import(
    work: Workspace,
    caller: Caller,
    connection: Connection,
    lessons: Sequence[_Incoming],
    made: Collection[str],
    *,
    is_compared: bool,
) -> tuple[dict[str, Status], list[str]]:
    """Store the unknown ones of `lessons`, and return their statuses by id; `made` has the ids stored before.

    With `is_compared` it also returns a note on each that is like another lesson.
    """
    ledger = Ledger(work, caller, connection, work.now())
    agents = {one.agent_name for one in lessons}
    ledger.hold(agents)
    for agent_name in sorted(agents):
        give_name(work, connection, caller.project, agent_name, "an import")
    known = _Known(connection, caller.project, lessons, made)
    created: dict[str, Status] = {}
    alike_lessons = AlikeLessons(connection, caller, with_text=caller.person)
    notes: list[str] = []
    for one in lessons:
        free = known.free_names(one)
        if not free or known.has(one):
            continue
        catalogued = next((name for name in one.names if kind_of(name) == "catalogue"), "")
        provenance = {"imported_from": one.place}
        if catalogued:
            provenance["catalogue"] = value_of(catalogued)
        lesson_id = ledger.create(
            one.agent_name, one.offer, keys=free, provenance=provenance, status=one.status, pinned=one.pinned
        )
        created[lesson_id] = one.status
        if is_compared and one.offer.trust != "curated" and one.status in STANDING:
            if told := alike_lessons.sentence(one.agent_name, one.offer.text):
                notes.append(f"{one.place}: {told}")
            alike_lessons.add(one.agent_name, lesson_id, one.offer.text)
        known.taken.update({(one.agent_name, name): lesson_id for name in free})
    ledger.write()
    return created, notes


class _Known:
    """Which of some lessons a database has: by their words, their catalogue entry, or rejected words."""

    def __init__(
        self, connection: Connection, project: str, lessons: Sequence[_Incoming], made: Collection[str]
    ) -> None:
        agents = {one.agent_name for one in lessons}
        texts = {text_name(one.offer.text) for one in lessons}
        names = {name for one in lessons for name in one.names}
        self.taken = lesson_rows.find_by_keys(connection, project, agents, names | texts)
        self._buried = lesson_rows.rejected_texts(connection, project, texts)
        owners: dict[tuple[str, str], set[str]] = {}
        for (agent_name, key), lesson_id in self.taken.items():
            if key in texts:
                owners.setdefault((agent_name, value_of(key)), set()).add(lesson_id)
        for agent_name, text_hash, lesson_id in lesson_rows.worded(connection, project, {one.hash for one in lessons}):
            owners.setdefault((agent_name, text_hash), set()).add(lesson_id)
        found = lesson_rows.find(connection, project, {lesson_id for ids in owners.values() for lesson_id in ids})
        self._owners = {key: [found[lesson_id] for lesson_id in ids] for key, ids in owners.items()}
        self._made = made

    def has(self, one: _Incoming) -> bool:
        """Return whether a lesson exists in any status, or its words were rejected for any agent."""
        if one.offer.trust != "curated" and text_name(one.offer.text) in self._buried:
            return True
        if any(kind_of(name) == "catalogue" and (one.agent_name, name) in self.taken for name in one.names):
            return True
        return any(self._is_same(one, lesson) for lesson in self._owners.get((one.agent_name, one.hash), ()))

    def free_names(self, one: _Incoming) -> tuple[str, ...]:
        """Return the names that no lesson of the agent has."""
        return tuple(name for name in one.names if (one.agent_name, name) not in self.taken)

    def _is_same(self, one: _Incoming, lesson: Lesson) -> bool:
        """Return whether a lesson of the same words is this one; one that is not served is, whatever its rule."""
        return one.is_twin(lesson.rule_key) or (lesson.status not in SERVABLE and lesson.id not in self._made)


async def export_lessons(work: Workspace, caller: Caller, agent_name: str = "") -> list[ExportedLesson]:
    """Return all lessons but the rejected and superseded ones, most severe first."""
    filters = {"agent_name": work.roster.resolve(agent_name)} if agent_name else {}

    def read(connection: Connection) -> list[ExportedLesson]:
        found = lesson_rows.page(
            connection, caller.project, filters=filters, statuses=STANDING, after=None, limit=EXPORTED_MAX
        )
        names = lesson_rows.names_of(connection, caller.project)
        return [_exported(lesson, names.get(lesson.id, [])) for lesson in found]

    return await work.store.read(read)


def _exported(lesson: Lesson, names: list[str]) -> ExportedLesson:
    holds = where_it_holds(lesson.provenance)
    where = {"languages": list(holds.languages), "paths": list(holds.paths)}
    # A file does not say to whom a lesson is served: what nobody approved waits where it is imported.
    status = lesson.status if lesson.visible_to is None else "quarantined"
    return result_of(ExportedLesson, lesson, names=names, status=status, **where)
