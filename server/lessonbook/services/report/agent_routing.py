"""Routing: which agent made the code that each issue of a report is about."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from lessonbook.classify.agent_roster import Roster
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_names import group_name, names_rule
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.services.agent_names import meaning_of
from lessonbook.services.report.preparation import Prepared
from lessonbook.services.workspace import Workspace
from lessonbook.store import agents as agent_rows
from lessonbook.store.runs import RunRow


def suggested_agents(roster: Roster, prepared: Sequence[Prepared]) -> list[str | None]:
    """Return the agent that each issue's words and file suggest, or None; those of one file are looked at together.

    Vulnerable packages are a matter of all agents: one lesson for them is enough, whichever file lists the package.
    """
    of_file: defaultdict[str, list[int]] = defaultdict(list)
    for at, item in enumerate(prepared):
        of_file[item.finding.file].append(at)
    found: list[str | None] = [None] * len(prepared)
    for file, places in of_file.items():
        texts = [prepared[at].description for at in places]
        agents = roster.responsible_for_each(texts, file) if file else map(roster.responsible, texts)
        for at, agent_name in zip(places, agents, strict=True):
            found[at] = SHARED_AGENT if prepared[at].is_about_dependency else agent_name
    return found


def agents_of(
    work: Workspace,
    connection: Connection,
    caller: Caller,
    agent_name: str,
    run: RunRow | None,
    issues: Sequence[tuple[Prepared, str | None]],
) -> list[str]:
    """Return the agent of each issue: the one named, else the run's, the connection's, or the one found by routing.

    Where neither report nor run names an agent, lessons of all agents are served. So an issue goes to the agent that
    has a lesson for its rule, unless the agent found by routing has one.

    Args:
        work: the workspace.
        connection: the transaction.
        caller: who reports.
        agent_name: the name that was given; empty: none.
        run: the run that the report names.
        issues: each with the agent that its words and file suggest, or None.
    """
    if known := _known_agent(work, connection, caller, agent_name, run):
        return [known] * len(issues)
    names = {key for item, _ in issues for key in _rule_names(item)}
    owners = agent_rows.owners_of(connection, caller.project, names)
    return [_found_agent(work, run, item, responsible, owners) for item, responsible in issues]


def _known_agent(work: Workspace, connection: Connection, caller: Caller, agent_name: str, run: RunRow | None) -> str:
    """Return the agent that was named; empty where none was, or where the name is not an agent's."""
    if agent_name:
        named = meaning_of(work, connection, caller, agent_name)
        if named.agent_name:
            return named.agent_name
    if run is not None and not run.routed:
        return run.agent_name
    return work.roster.resolve(caller.agent_name) if caller.agent_name else ""


def _found_agent(
    work: Workspace,
    run: RunRow | None,
    item: Prepared,
    responsible: str | None,
    owners: Mapping[str, Sequence[tuple[str, str]]],
) -> str:
    found = run.agent_name if run is not None else SHARED_AGENT
    if found == SHARED_AGENT:
        found = responsible or work.settings.refiner.default_agent
    for key in _rule_names(item):
        agents = [agent_name for agent_name, _ in owners.get(key, ())]
        if agents:
            return found if {found, SHARED_AGENT} & set(agents) else agents[0]
    return found


def _rule_names(item: Prepared) -> list[str]:
    """Return those exact names of an issue that are of a rule, not of its words, the most specific first."""
    described = item.described.names if item.described else ()
    groups = (group_name(item.group_id),) if item.rule_key else ()
    return [*(key for key in (*item.keys, *described) if names_rule(key)), *groups]
