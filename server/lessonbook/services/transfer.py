"""Transfer: lessons in from old memories and other databases, and out again."""

from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from lessonbook.errors import Forbidden
from lessonbook.models.lesson import Caller, Lesson
from lessonbook.models.operator import Imported, PortableLesson, RefusedRecord
from lessonbook.models.vocabulary import Status
from lessonbook.refinery.catalogue import canonical_key
from lessonbook.refinery.prepare import Offer, content_hash, reviewed, screened_offer
from lessonbook.refinery.redact import redact
from lessonbook.services.agents import give_name
from lessonbook.services.lifecycle import Ledger
from lessonbook.services.workspace import Workspace
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.engine import Retry

CHUNK: Final = 200
EXPORTED_MAX: Final = 100_000


async def import_lessons(
    work: Workspace,
    caller: Caller,
    lessons: Sequence[tuple[str, PortableLesson]],
    *,
    active: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Imported:
    """Store lessons written elsewhere, after the lint: on probation, or active where a person says so.

    Args:
        work: the workspace.
        caller: on whose behalf.
        lessons: each with the place it came from, for the answer.
        active: trust them as if a person had written them.
        progress: told how many are done, of how many.

    Raises:
        Forbidden: `active` by a caller who is no person.
    """
    if active and not caller.person:
        raise Forbidden("Only a person can trust imported lessons at once: leave --trust out")
    total = Imported(created=0, known=0, quarantined=0, refused=[])
    for start in range(0, len(lessons), CHUNK):
        part = lessons[start : start + CHUNK]
        done = await work.store.write(
            lambda connection, part=part: _import(work, caller, connection, part, active=active)
        )
        total = Imported(
            created=total.created + done.created,
            known=total.known + done.known,
            quarantined=total.quarantined + done.quarantined,
            refused=total.refused + done.refused,
        )
        progress(start + len(part), len(lessons))
    return total


def _import(
    work: Workspace,
    caller: Caller,
    connection: Connection,
    lessons: Sequence[tuple[str, PortableLesson]],
    *,
    active: bool,
) -> Imported:
    ledger = Ledger(work, caller, connection, work.now())
    refused: list[RefusedRecord] = []
    offers: dict[tuple[str, str], tuple[Offer, tuple[str, ...], str]] = {}
    for place, lesson in lessons:
        rule_key = canonical_key(redact(lesson.rule_key)[0]) if lesson.rule_key else ""
        trust = "approved" if active else "imported"
        offer, refusal = screened_offer(lesson.text, lesson.why, lesson.severity, lesson.category, trust, rule_key)
        if offer is None:
            refused.append(RefusedRecord(place=place, reason=refusal))
            continue
        if not active:
            offer = reviewed(offer, work.settings.trust.review)
        name = f"text:{content_hash(offer.text)}"
        keys = tuple(filter(None, (rule_key and f"rule:{rule_key}", name)))
        offers.setdefault((work.roster.resolve(lesson.agent_name), name), (offer, keys, place))
    taken = _taken(connection, caller, offers)
    created = quarantined = 0
    for agent_name in sorted({agent_name for agent_name, _ in offers}):
        give_name(work, connection, caller.project, agent_name, "an import")
    for (agent_name, name), (offer, keys, place) in offers.items():
        if (agent_name, name) in taken:
            continue
        status: Status = "active" if active else offer.status
        free = tuple(key for key in keys if (agent_name, key) not in taken)
        taken.update((agent_name, key) for key in free)
        ledger.create(agent_name, offer, keys=free, provenance={"imported_from": place}, status=status)
        quarantined += status == "quarantined"
        created += status != "quarantined"
    if not ledger.write():
        raise Retry
    known = len(lessons) - len(refused) - created - quarantined
    return Imported(created=created, known=known, quarantined=quarantined, refused=refused)


def _taken(
    connection: Connection, caller: Caller, offers: dict[tuple[str, str], tuple[Offer, tuple[str, ...], str]]
) -> set[tuple[str, str]]:
    agents = {agent_name for agent_name, _ in offers}
    keys = {key for _, keys, _ in offers.values() for key in keys}
    return set(lesson_rows.find_by_keys(connection, caller.project, agents, keys))


async def export_lessons(work: Workspace, caller: Caller, agent_name: str = "") -> list[Lesson]:
    """Return the lessons that stand (all but rejected and superseded), most severe first."""
    filters = {"agent_name": work.roster.resolve(agent_name)} if agent_name else {}
    statuses = ["quarantined", "probation", "active", "suspended", "retired", "expired"]
    return await work.store.read(
        lambda connection: lesson_rows.page(
            connection, caller.project, filters=filters, statuses=statuses, after=None, limit=EXPORTED_MAX
        )
    )
