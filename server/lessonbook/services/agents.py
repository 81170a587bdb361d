"""The agents of a project: listed, added and merged."""

from collections.abc import Mapping
from dataclasses import replace

from pydantic import BaseModel
from sqlalchemy import Connection

from lessonbook.domain.errors import Conflict, InvalidInput, NotFound
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_status import TOMBSTONES
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.services.agent_names import label_shelves, meaning_of
from lessonbook.services.lessons.merge import join
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import agents as agent_rows
from lessonbook.store import lessons as lesson_rows


class KnownAgent(BaseModel):
    """One agent of a project: its area, where its name comes from, and its number of lessons in any status."""

    agent_name: str
    area: str
    origin: str
    lessons: int
    answers_for: str = ""


class MergedAgents(BaseModel):
    """What became of the lessons of one agent that went to another."""

    source: str
    target: str
    moved: int
    joined: int
    issues: int


async def list_agents(work: Workspace, caller: Caller) -> list[KnownAgent]:
    """Return the agents of the roster, those that were added, and all other names that have lessons."""

    def read(connection: Connection) -> tuple[dict[str, str], dict[str, int], set[str]]:
        added = agent_rows.given_names(connection, caller.project)
        counts = agent_rows.counted_lessons(connection, caller.project)
        return added, counts, label_shelves(work.roster, connection, caller.project)

    added, counts, labels = await work.store.read(read)
    roster = {agent.name: agent for agent in work.roster.agents}
    others = sorted((added.keys() | counts.keys()) - roster.keys())
    origins = {**dict.fromkeys(roster, "roster"), **{name: _origin(name, added, labels) for name in others}}
    return [
        KnownAgent(
            agent_name=name,
            area=roster[name].area if name in roster else "",
            answers_for=roster[name].answers_for if name in roster else "",
            origin=origin,
            lessons=counts.get(name, 0),
        )
        for name, origin in origins.items()
    ]


def _origin(name: str, added: Mapping[str, str], labels: set[str]) -> str:
    if name == SHARED_AGENT:
        return "shared by all"
    return added.get(name) or ("made for a label" if name in labels else "has lessons")


async def add_agent(work: Workspace, caller: Caller, name: str) -> KnownAgent:
    """Add an agent to the project.

    Raises:
        Forbidden: the caller is not a person.
        InvalidInput: the name is empty.
        Conflict: the agent exists already.
    """
    caller.require_person("add an agent", "agents add")
    if not name.strip():
        raise InvalidInput("An agent needs a name: write at least a word")
    if work.roster.known(name):
        raise Conflict(f"{name.strip()!r} is in the roster already, as {work.roster.resolve(name)}")
    resolved = work.roster.resolve(name)

    def transaction(connection: Connection) -> KnownAgent:
        if not agent_rows.give_name(connection, caller.project, resolved, "a person", work.now()):
            raise Conflict(f"{resolved!r} is an agent of project {caller.project!r} already")
        ledger = Ledger(work, caller, connection, work.now())
        ledger.note("agent.add", resolved, {})
        ledger.write()
        lessons = agent_rows.counted_lessons(connection, caller.project).get(resolved, 0)
        return KnownAgent(agent_name=resolved, area="", origin="a person", lessons=lessons)

    return await work.store.write(transaction)


async def merge_agents(work: Workspace, caller: Caller, source: str, target: str) -> MergedAgents:
    """Move the lessons of `source` to `target`; afterwards the source's name is a label.

    Where the target has a lesson of the same exact name, the source's is merged into it; the others keep id, status and
    evidence. Past runs, deliveries and figures keep the source's name.

    Raises:
        Forbidden: the caller is not a person.
        NotFound: the source has no lessons, or the target is not an agent.
        InvalidInput: both are the same agent, or the source is in the roster or shared by all.
    """
    caller.require_person("merge agents", "agents merge")
    if work.roster.known(source):
        raise InvalidInput(f"{source.strip()!r} is in the roster: only other names can be merged into an agent")

    def transaction(connection: Connection) -> MergedAgents:
        from_name = meaning_of(work, connection, caller, source).agent_name
        to_name = meaning_of(work, connection, caller, target).agent_name
        if not from_name:
            raise NotFound(f"There are no lessons of {source.strip()!r} in project {caller.project!r}")
        if not to_name:
            raise NotFound(f"There is no agent {target.strip()!r}: see `lessonbook agents list`, or add it first")
        if from_name == to_name:
            raise InvalidInput("An agent cannot be merged into itself: name two")
        ledger = Ledger(work, caller, connection, work.now())
        ledger.hold([from_name, to_name])
        lessons = lesson_rows.of_agent(connection, caller.project, from_name)
        joined = sum([_move(ledger, lesson, to_name) for lesson in lessons])
        issues = agent_rows.move_waiting_issues(connection, caller.project, from_name, to_name)
        agent_rows.take_name(connection, caller.project, from_name)
        counts = {"moved": len(lessons) - joined, "joined": joined, "issues": issues}
        ledger.note("agent.merge", from_name, {"into": to_name, **counts})
        ledger.write()
        return MergedAgents(source=from_name, target=to_name, **counts)

    return await work.store.write(transaction)


def _like_of(connection: Connection, caller: Caller, lesson: Lesson, target: str) -> Lesson | None:
    """Return the lesson of `target` that has one of a lesson's exact names and is not a tombstone, or None."""
    keys = lesson_rows.keys_of(connection, caller.project, lesson.id)
    found = lesson_rows.find_by_keys(connection, caller.project, [target], keys)
    ids = [lesson_id for (agent_name, _), lesson_id in sorted(found.items()) if agent_name == target]
    like = lesson_rows.find(connection, caller.project, ids[:1], lock=True).get(ids[0]) if ids else None
    return like if like is not None and like.status not in TOMBSTONES else None


def _move(ledger: Ledger, lesson: Lesson, target: str) -> bool:
    """Move a lesson to another agent, and return whether it was merged into a lesson of that agent."""
    connection, project = ledger.connection, ledger.caller.project
    like = _like_of(connection, ledger.caller, lesson, target) if lesson.status != "superseded" else None
    lesson_rows.drop_keys_of_others(connection, project, lesson.id, target)
    agent_rows.move_lesson(connection, project, lesson.id, target)
    moved = replace(lesson, agent_name=target)
    reason = f"It was kept for {lesson.agent_name}"
    ledger.move(moved, "move", reason, {})
    if like is not None:
        ledger.flush()  # the merge is the next version of both
        now = lesson_rows.find(connection, project, [like.id])[like.id]
        join(ledger, moved, now, reason)
        ledger.flush()
    return like is not None
