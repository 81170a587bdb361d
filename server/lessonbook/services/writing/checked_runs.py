"""What a report that checks runs adds to the experiment, in the transaction that records it."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from lessonbook.domain.lesson import Lesson
from lessonbook.experiment import arm_health, change_unit
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.serving_policy import Priors
from lessonbook.services.writing.arms import issues_of, unhealthy_agents
from lessonbook.services.writing.ledger import Ledger
from lessonbook.services.writing.scoring import move_by_evidence, scored
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import run_checks, runs
from lessonbook.store import stats as figures
from lessonbook.store.engine import Retry
from lessonbook.store.rollups import week_of
from lessonbook.store.run_checks import CheckedLesson, Reporter
from lessonbook.store.types import Row

COUNTED_FOR: Final = timedelta(days=14)
"""How long after a run's start findings of its checks count."""
ROUTINE_CHECKS: Final = 30
"""A reporter without an empty check among so many reports only what it finds, so its checks tell nothing."""


@dataclass(frozen=True, slots=True)
class Check:
    """A report as a check of runs, one change: who looks, and whether it says that it reports every run."""

    reporter: Reporter
    run_ids: tuple[str, ...]
    findings: int
    declared_routine: bool


@dataclass(frozen=True, slots=True)
class LookedCheck:
    """What is known of a check before any agent is held: `agents` are those whose lessons it may write.

    `is_told_off`: the reporter said that it reports every run, and has had none without findings for long. `assigned`
    is what was decided in its runs.
    """

    check: Check
    is_routine: bool = False
    is_told_off: bool = False
    assigned: Sequence[run_checks.Assignment] = ()
    agents: frozenset[str] = frozenset()


def look(connection: Connection, project: str, check: Check, *, is_verified: bool) -> LookedCheck:
    """Read what a check may tell about, without locks. A check of no run tells nothing."""
    if not check.run_ids:
        return LookedCheck(check)
    last = run_checks.last_findings(connection, project, check.reporter, ROUTINE_CHECKS)
    reports_everything = len(last) < ROUTINE_CHECKS or 0 in last or not check.findings
    says_so = check.declared_routine or 0 in last
    assigned = run_checks.assignments(connection, project, check.run_ids) if is_verified else []
    # A lesson shared by all agents counts for the one that it was delivered to, and is held as its own agent's.
    lessons = lesson_rows.find(connection, project, {one.lesson_id for one in assigned})
    return LookedCheck(
        check,
        is_routine=is_verified and says_so and reports_everything,
        is_told_off=check.declared_routine and not reports_everything,
        assigned=assigned,
        agents=frozenset(lesson.agent_name for lesson in lessons.values()),
    )


@dataclass(slots=True)
class _Open:
    """A row of the experiment in this transaction."""

    row: CheckedLesson
    is_new: bool
    changed: Row = field(default_factory=dict[str, object])


class Scores:
    """What one report adds to the experiment: rows at a first routine check, events, and other trouble.

    The order is: `look` before the agents are held, `begin` after it, `add_event` and `note_issue` for each issue,
    `finish`, and then `values_of` and `move` for each lesson, and `write`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._open: dict[str, _Open] = {}
        self._lessons: dict[str, Lesson] = {}
        self._added: dict[str, Evidence] = defaultdict(Evidence)
        self._crossovers: Counter[str] = Counter()
        self._verified: list[str] = []
        self._trouble: list[str | None] = []
        self._first_checked: list[str] = []
        self._unhealthy: frozenset[str] | None = None

    def begin(self, looked: LookedCheck) -> None:
        """Note the check, and open the rows of lessons that it is the first to tell about.

        Raises:
            Retry: a lesson has gone to another agent since `look`.
        """
        check, ledger = looked.check, self._ledger
        connection, project, now = ledger.connection, ledger.caller.project, ledger.now
        for run_id in check.run_ids:
            seen = run_checks.RunCheck(
                project,
                run_id,
                check.reporter.source,
                check.reporter.tool,
                check.reporter.principal,
                check.findings,
                looked.is_routine,
                now,
            )
            run_checks.add_check(connection, seen)
        if looked.is_routine:
            self._first_checked = run_checks.note_checked(connection, project, check.run_ids, now)
        if not looked.assigned:
            return
        changes = {assigned.change for assigned in looked.assigned}
        known = run_checks.rows_of_changes(connection, project, changes)
        on = run_checks.experiment(connection, project)
        self._lessons = ledger.lessons({one.lesson_id for one in looked.assigned})
        if any(lesson.agent_name not in looked.agents for lesson in self._lessons.values()):
            raise Retry
        self._open = {row.lesson_id: _Open(row, is_new=False) for row in known if row.epoch == on.epoch}
        if looked.is_routine:
            fresh = [
                one
                for one in looked.assigned
                if now <= one.delivered_at + COUNTED_FOR and one.delivered_at >= on.started_at
            ]
            self._open_rows(check, fresh, {(row.change, row.lesson_id) for row in known}, on.epoch)

    def _open_rows(
        self, check: Check, assigned: Iterable[run_checks.Assignment], known: Collection[tuple[str, str]], epoch: int
    ) -> None:
        """Open a row for each lesson whose issue this kind of reporter has found before."""
        connection, project, now = self._ledger.connection, self._ledger.caller.project, self._ledger.now
        by_lesson: dict[str, dict[str, run_checks.Assignment]] = defaultdict(dict)
        for one in assigned:
            lesson = self._lessons.get(one.lesson_id)
            if lesson is not None and lesson.version == one.lesson_version:
                by_lesson[one.lesson_id].setdefault(one.change, one)
        told_of = run_checks.told_of_by(connection, project, [*by_lesson], check.reporter)
        earlier = evidence_rows.new_issues_of(connection, project, check.run_ids) if told_of else []
        events = {
            lesson_id: event
            for run_id in check.run_ids
            for lesson_id, event in evidence_rows.events_of_run(connection, project, run_id).items()
            if event.verified
        }
        rows: list[CheckedLesson] = []
        for lesson_id in sorted(told_of):
            of_changes = by_lesson[lesson_id]
            if any((name, lesson_id) in known for name in of_changes):
                continue
            agreed = change_unit.agreed([change_unit.Assigned(one.shown, one.p_show) for one in of_changes.values()])
            first = next(iter(of_changes.values()))
            p_show = round(agreed.p_show, 4) if agreed else 0.0
            week = week_of(first.delivered_at.date())
            share = self._evidence(lesson_id).share(p_show, week) if agreed else 0.0
            applied = runs.applications_of(connection, project, first.run_id, [lesson_id])
            for one in of_changes.values():
                is_first = one is first
                rows.append(
                    CheckedLesson(
                        project,
                        one.change,
                        lesson_id,
                        one.run_id,
                        one.agent_name,
                        one.shown,
                        p_show,
                        share,
                        one.lesson_version,
                        epoch,
                        week,
                        left_out=agreed is None or not is_first,
                        applied=is_first and any(row.by_coin or p_show >= 1 for row in applied.values()),
                        wrong=is_first and any(other != lesson_id for other in earlier),
                        unexplained=is_first and any(other not in self._lessons for other in earlier),
                        event_by=None,
                        until=first.delivered_at + COUNTED_FOR,
                        checked_at=now,
                    )
                )
            row = rows[-len(of_changes)]
            self._open[lesson_id] = _Open(row, is_new=True)
            if agreed is None:
                self._crossovers[first.agent_name] += 1
                continue
            self._added[lesson_id] += Evidence().add_row(shown=row.shown, p_show=p_show, period=week)
            if row.applied and row.shown:
                self._added[lesson_id] += Evidence().add_application(period=week)
        run_checks.add_rows(connection, rows)
        for lesson_id in told_of & events.keys():
            self.add_event(lesson_id, events[lesson_id].principal)

    def add_event(self, lesson_id: str, reporter: str) -> None:
        """Count a verified event of a lesson, if it is the first of a row that is open."""
        found = self._open.get(lesson_id)
        if found is None or found.row.left_out or found.row.event_by is not None:
            return
        row, lesson = found.row, self._lessons.get(lesson_id)
        if lesson is None or self._ledger.now > row.until or row.lesson_version != lesson.version:
            return
        found.row = row._replace(event_by=reporter)
        found.changed["event_by"] = reporter
        self._added[lesson_id] += Evidence().add_event(
            shown=row.shown, share=row.share, reporter=reporter, applied=row.applied, period=row.week
        )

    def verify_event(self, lesson_id: str, event: evidence_rows.Event, reporter: str) -> None:
        """Count an event that was only declared before, and that another principal has reported now."""
        self._verified.append(event.issue_id)
        self.add_event(lesson_id, reporter)

    def note_issue(self, lesson_id: str | None) -> None:
        """Note a new verified issue of the runs: for all lessons but its own, something else went wrong.

        If none of the change's lessons is about it, it is unexplained.
        """
        self._trouble.append(lesson_id)

    def finish(self) -> None:
        """Settle for each open row whether something else went wrong."""
        for lesson_id, found in self._open.items():
            row = found.row
            lesson = self._lessons.get(lesson_id)
            if row.left_out or lesson is None or row.lesson_version != lesson.version:
                continue
            trouble = self._trouble if self._ledger.now <= row.until else []
            is_wrong = any(other != lesson_id for other in trouble)
            if is_wrong and not row.wrong:
                found.changed["wrong"] = True
            rows = int(found.is_new)
            if rows or (is_wrong and not row.wrong):
                self._added[lesson_id] += Evidence().add_side(
                    shown=row.shown, p_show=row.p_show, wrong=is_wrong or row.wrong, rows=rows
                )
            if row.unexplained is None:
                continue
            is_unexplained = any(other not in self._lessons for other in trouble)
            if is_unexplained and not row.unexplained:
                found.changed["unexplained"] = True
            if rows or (is_unexplained and not row.unexplained):
                self._added[lesson_id] += Evidence().add_unexplained(
                    shown=row.shown,
                    p_show=row.p_show,
                    wrong=is_unexplained or row.unexplained,
                    period=row.week,
                    rows=rows,
                )

    def values_of(self, lesson: Lesson) -> Row:
        """Return the columns that this report sets; empty if it tells nothing about the lesson."""
        if lesson.id not in self._added:
            return {}
        return scored(self._with_alarm(self._evidence(lesson.id)), self._priors(lesson).independent)

    def move(self, lesson: Lesson) -> None:
        """Change the lesson's status if its new evidence asks for it; the numbers go into its history."""
        if lesson.id in self._added and lesson.agent_name not in self._unhealthy_agents():
            exposures = figures.exposures_of(self._ledger.connection, self._ledger.caller.project, lesson.id)
            move_by_evidence(self._ledger, lesson, exposures, self._priors(lesson))

    def settle(self, settled: Collection[str]) -> None:
        """Write the lessons that a check alone tells about, which no issue of the report joined."""
        for lesson_id in sorted(self._added.keys() - set(settled)):
            lesson = self._lessons[lesson_id]
            values = self.values_of(lesson)
            self._ledger.set(lesson, values)
            self.move(replace(lesson, **values))

    def write(self, run: runs.RunRow | None, new_issues: int) -> None:
        """Write verified events, changed rows, the agents' sums, and the run's count of issues."""
        ledger = self._ledger
        connection, project = ledger.connection, ledger.caller.project
        evidence_rows.verify_events(connection, project, self._verified)
        for found in self._open.values():
            if found.changed:
                run_checks.change_row(connection, found.row, found.changed)
        grown = self._arms(run, new_issues)
        of_agents: dict[str, Evidence] = defaultdict(Evidence)
        for lesson_id, added in self._added.items():
            of_agents[self._open[lesson_id].row.agent_name] += added
        for agent_name in sorted({*of_agents, *grown, *self._crossovers}):
            sums = evidence_rows.hold(connection, project, agent_name)
            total = self._with_alarm(Evidence.from_document(sums.effect) + of_agents[agent_name])
            more: dict[str, int] = {**grown.get(agent_name, Counter()), "crossovers": self._crossovers[agent_name]}
            values = {name: getattr(sums, name) + count for name, count in more.items()}
            evidence_rows.put(connection, sums._replace(effect=total.to_document(), **values))

    def _arms(self, run: runs.RunRow | None, new_issues: int) -> dict[str, Counter[str]]:
        """Count checked runs, and return what they add to the sums of the holdout's arms, by agent."""
        connection, project = self._ledger.connection, self._ledger.caller.project
        grown: dict[str, Counter[str]] = defaultdict(Counter)
        if run is not None and new_issues and run.p_holdout:
            count = runs.add_issues(connection, project, run.run_id, new_issues)
            if run.checked_at is not None:
                grown[run.agent_name] += issues_of(count, count - new_issues, holdout=run.holdout)
        for run_id in self._first_checked:
            first = runs.find(connection, project, run_id)
            if first is None or not first.principal:
                continue
            run_checks.count_checked(connection, project, first.agent_name, 1, self._ledger.now)
            if first.p_holdout:
                side = "held_out" if first.holdout else "served"
                grown[first.agent_name] += issues_of(first.issues, 0, holdout=first.holdout)
                grown[first.agent_name][f"{side}_runs"] += 1
        return grown

    def _evidence(self, lesson_id: str) -> Evidence:
        return Evidence.from_document(self._lessons[lesson_id].evidence) + self._added.get(lesson_id, Evidence())

    def _with_alarm(self, evidence: Evidence) -> Evidence:
        if evidence.alarm or not arm_health.is_unhealthy(evidence.coins):
            return evidence
        return replace(evidence, alarm=self._ledger.now.date().isoformat())

    def _unhealthy_agents(self) -> frozenset[str]:
        """Return the agents about whose lessons nothing may be concluded."""
        if self._unhealthy is None:
            rows = evidence_rows.of_agents(self._ledger.connection, self._ledger.caller.project)
            self._unhealthy = unhealthy_agents(rows)
        return self._unhealthy

    def _priors(self, lesson: Lesson) -> Priors:
        """Return the agent's priors, as this process knows them."""
        return self._ledger.work.shelves.priors_of(self._ledger.caller.project, lesson.agent_name)
