"""Which names are agents in a project, and which are only labels."""

from dataclasses import dataclass, field

from sqlalchemy import Connection

from lessonbook.classify.agent_roster import Roster, folded
from lessonbook.domain.lesson import Caller
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.services.workspace import Workspace
from lessonbook.store import agents as agent_rows


@dataclass(frozen=True, slots=True)
class Named:
    """What a name means: an agent, or a label with the nearest known names."""

    agent_name: str = ""
    label: str = ""
    nearest: list[str] = field(default_factory=list[str])


def meaning_of(work: Workspace, connection: Connection, caller: Caller, name: str) -> Named:
    """Return the agent of a name in the caller's project, or the label where it is not an agent's.

    An agent is in the roster, also by an alias, is the server's own (`serve --agent`) or the configured default, was
    added by a person or an import, or has lessons.
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
    """Return what a name means; the database is read only where roster and connection do not know the name."""
    if not needs_look(work, caller, name):
        return Named(work.roster.resolve(name))
    return await work.store.read(lambda connection: meaning_of(work, connection, caller, name))


def needs_look(work: Workspace, caller: Caller, name: str) -> bool:
    """Return whether the database has to be read for the meaning of a name."""
    return not work.roster.known(name) and work.roster.resolve(name) != work.roster.resolve(caller.agent_name)


def _names(connection: Connection, project: str) -> set[str]:
    """Return the names that were added or ever had lessons, which have a revision."""
    added = set(agent_rows.given_names(connection, project))
    return added | agent_rows.with_lessons(connection, project) - {SHARED_AGENT}


def give_name(work: Workspace, connection: Connection, project: str, name: str, given_by: str) -> None:
    """Store that a name is an agent's, unless it is in the roster."""
    if name and not work.roster.known(name):
        agent_rows.give_name(connection, project, name, given_by, work.now())


def label_shelves(roster: Roster, connection: Connection, project: str) -> set[str]:
    """Return the agents with lessons whose name nobody added: reports under that name made them."""
    counts = agent_rows.counted_lessons(connection, project)
    unknown = {name for name in counts if not roster.known(name)}
    if not unknown:
        return set()
    return unknown - set(agent_rows.given_names(connection, project)) - agent_rows.written_for(connection, project)
