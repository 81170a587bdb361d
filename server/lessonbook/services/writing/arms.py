"""The arms of the experiment: whether they are alike, and whether serving does harm as a whole."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from typing import Final

from sqlalchemy import Connection

from lessonbook.experiment import arm_health
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.lift import RunTotals, service_harms, service_lift
from lessonbook.experiment.serving_policy import HOLDOUT_SHARE
from lessonbook.services.cache.evidence import counted_since
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import run_checks

RUN_ISSUES_MAX: Final = 10
"""The most issues of one run that count: one broken build must not outweigh a hundred runs."""
REPORTERS_MIN: Final = 2
"""The reporters without whom serving is not stopped, unless an administrator named one as the project's CI."""
_CROSSED_MIN: Final = 10


def issues_of(count: int, before: int, *, holdout: bool) -> Counter[str]:
    """Return what the issues of one checked run add to its arm, from `before` to `count`."""
    side = "held_out" if holdout else "served"
    after, before = min(count, RUN_ISSUES_MAX), min(before, RUN_ISSUES_MAX)
    return Counter({f"{side}_issues": after - before, f"{side}_squares": after**2 - before**2})


def unhealthy_agents(rows: Iterable[evidence_rows.AgentSums]) -> frozenset[str]:
    """Return the agents whose arms are unlike; all of them, where those of the project as a whole are."""
    rows = list(rows)
    known = {row.agent_name: Evidence.from_document(row.effect) for row in rows}
    whole = sum(known.values(), Evidence())
    if arm_health.is_unhealthy(whole.coins) or arm_health.is_unhealthy(holdout_coins(rows)):
        return frozenset(known)
    disagree = {row.agent_name for row in rows if crosses_over(row, known[row.agent_name])}
    return frozenset(name for name, evidence in known.items() if evidence.alarm) | disagree


def alarm_sentence(since: str) -> str:
    """Return that the arms of an experiment are unlike, since when, and what to do about it."""
    when = f" since {since}" if since else ""
    return (
        f"Runs that were shown a lesson come back for checks more or less often than others{when}, or runs of one "
        "change disagree, so nothing is concluded. See that every run is reported, whatever was found and served, and "
        "begin anew: `lessonbook experiment restart`"
    )


def crosses_over(row: evidence_rows.AgentSums, evidence: Evidence) -> bool:
    """Return whether too many changes of an agent had runs that disagree."""
    return (
        row.crossovers > arm_health.CROSSOVERS_MAX * (evidence.rows + row.crossovers) and row.crossovers >= _CROSSED_MIN
    )


def holdout_coins(rows: Iterable[evidence_rows.AgentSums]) -> dict[float, tuple[int, int]]:
    """Return the checked runs of the holdout by its coin: (held out, served)."""
    rows = list(rows)
    return {HOLDOUT_SHARE: (sum(row.held_out_runs for row in rows), sum(row.served_runs for row in rows))}


def sides(
    connection: Connection, project: str, agent_name: str = "", since: Mapping[str, int] | None = None
) -> list[RunTotals]:
    """Return the checked runs of a project or an agent, by arm of the holdout: (served, held out).

    `since` has the sums to subtract: those before serving was resumed.
    """
    return sides_of(evidence_rows.of_agents(connection, project, agent_name), since)


def sides_of(rows: Iterable[evidence_rows.AgentSums], since: Mapping[str, int] | None = None) -> list[RunTotals]:
    """Return the same from the sums of each agent. See `sides`."""
    rows = list(rows)
    left = {name: sum(getattr(row, name) for row in rows) - (since or {}).get(name, 0) for name in evidence_rows.ARMS}
    return [
        RunTotals(left[f"{side}_runs"], left[f"{side}_issues"], left[f"{side}_squares"])
        for side in ("served", "held_out")
    ]


def as_sums(served: RunTotals, held_out: RunTotals) -> dict[str, int]:
    """Return both arms as one row of sums."""
    return {
        f"{arm}_{name}": count
        for arm, totals in (("served", served), ("held_out", held_out))
        for name, count in zip(("runs", "issues", "squares"), astuple(totals), strict=True)
    }


def stop_if_harmful(ledger: Ledger) -> bool:
    """Stop serving if the whole service causes more issues than it prevents, and return whether it was stopped now."""
    connection, project = ledger.connection, ledger.caller.project
    stop = evidence_rows.stop_of(connection, project)
    if stop is not None and stop.stopped:
        return False
    rows = evidence_rows.of_agents(connection, project)
    served, held_out = sides_of(rows, stop.numbers if stop else None)
    if not service_harms(served, held_out, HOLDOUT_SHARE) or arm_health.is_unhealthy(holdout_coins(rows)):
        return False
    if not _several_report(ledger):
        return False
    lift = service_lift(served, held_out, HOLDOUT_SHARE)
    reason = (
        f"over {lift.observations} runs, those with lessons had {-100 * lift.mean:.1f} more issues per 100 runs than "
        f"those without (95 % interval {-100 * lift.high:.1f} to {-100 * lift.low:.1f}). "
        "A person can resume it: lessonbook resume"
    )
    evidence_rows.put_stop(
        connection,
        evidence_rows.ServiceStop(
            project,
            stopped=True,
            reason=reason,
            numbers=stop.numbers if stop else {},
            principal=ledger.caller.principal,
            changed_at=ledger.now,
        ),
    )
    ledger.note("service.stop", project, {"reason": reason, **as_sums(served, held_out)})
    return True


def _several_report(ledger: Ledger) -> bool:
    """Return whether more than one reporter, or one that an administrator named, has checked runs lately."""
    found = run_checks.reporters(ledger.connection, ledger.caller.project, counted_since(ledger.now))
    principals = {reporter.principal for reporter, *_ in found}
    return len(principals) >= REPORTERS_MIN or bool(principals & set(ledger.work.settings.learning.reporters))
