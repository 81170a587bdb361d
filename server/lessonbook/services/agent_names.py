"""Which names are agents in a project, and which are only what a caller calls itself."""

from dataclasses import dataclass, field

from sqlalchemy import Connection

from lessonbook.classify.roster import Roster, folded
from lessonbook.domain.lesson import Caller
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.services.workspace import Workspace
from lessonbook.store import agents as agent_rows


@dataclass(frozen=True, slots=True)
class Named:
    """What a name means: an agent, or a label and the known names that are most like it."""

    agent_name: str = ""
    label: str = ""
    nearest: list[str] = field(default_factory=list[str])


def meaning_of(work: Workspace, connection: Connection, caller: Caller, name: str) -> Named:
    """Return the agent that a name stands for in the caller's project, or that it is a label.

    An agent is in the roster or an alias of one, is the server's own (`serve --agent`) or the configured default, was
    given by a person or an import, or has lessons.
    """
    roster = work.roster
    resolved = roster.resolve(name)
    if roster.known(name) or resolved in {roster.resolve(caller.agent_name), work.settings.refiner.default_agent}:
        return Named(resolved)
    known = _names(connection, caller.project)
    if resolved in known:
        return Named(resolved)
    if alike := next((other for other in sorted(known) if folded(other) == folded(resolved)), ""):
        return Named(alike)
    shown = [other for other in known if other.isidentifier()]  # names are shown to agents: no sentences
    return Named(label=resolved, nearest=roster.nearest(resolved, also=shown))


async def named(work: Workspace, caller: Caller, name: str) -> Named:
    """Return what a name means; the database is asked only where the roster and the connection do not say."""
    if not needs_look(work, caller, name):
        return Named(work.roster.resolve(name))
    return await work.store.read(lambda connection: meaning_of(work, connection, caller, name))


def needs_look(work: Workspace, caller: Caller, name: str) -> bool:
    """Return whether the database has to be asked what a name means."""
    return not work.roster.known(name) and work.roster.resolve(name) != work.roster.resolve(caller.agent_name)


def _names(connection: Connection, project: str) -> set[str]:
    """Return the names that were given or have lessons; an agent that ever had one has a revision."""
    given = set(agent_rows.given_names(connection, project))
    return given | agent_rows.with_lessons(connection, project) - {SHARED_AGENT}


def give_name(work: Workspace, connection: Connection, project: str, name: str, given_by: str) -> None:
    """Note that a name is an agent's, unless the roster says so already."""
    if name and not work.roster.known(name):
        agent_rows.give_name(connection, project, name, given_by, work.now())


def label_shelves(roster: Roster, connection: Connection, project: str) -> set[str]:
    """Return the agents with lessons whose name nobody gave: the first reports under it made them."""
    counts = agent_rows.counted_lessons(connection, project)
    unknown = {name for name in counts if not roster.known(name)}
    if not unknown:
        return set()
    return unknown - set(agent_rows.given_names(connection, project)) - agent_rows.written_for(connection, project)
