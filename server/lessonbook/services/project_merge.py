"""Merging a project into another: what people would miss is carried; what was measured stays where it was measured.

The rows are copied in parts, a transaction each, so that a large project holds no lock for long. Each part is carried
once, so a merge that was broken off goes on where it stopped. The source's names lead to the target last; its rows stay
as they are, and removing the alias leads back to them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Table

from lessonbook.classify.rule_keys import tool_of
from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import Conflict
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_names import kind_of
from lessonbook.domain.lesson_status import SERVABLE, TOMBSTONES
from lessonbook.experiment.effect import effect_before
from lessonbook.experiment.evidence import Evidence
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.issue_writer import reindex
from lessonbook.services.writing.ledger import Ledger
from lessonbook.services.writing.scoring import effect_columns
from lessonbook.store import audit, idempotency, merging, rollups
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.issues import UNDER_WAY
from lessonbook.store.tables import (
    agent_names,
    applications,
    idempotency_keys,
    issues,
    lesson_flags,
    lesson_keys,
    lesson_reporters,
    lesson_versions,
    refinement_runs,
)
from lessonbook.store.types import Row

CHUNK: Final = 200
"""Rows in one transaction."""
NAMED_MAX: Final = 10
"""Lessons that a plan names."""
ISSUES_MAX: Final = 200
"""Issues whose words are in a lesson's document."""
_NOTHING_MEASURED: Final = {
    **dict.fromkeys(("issue_count", "times_applied", "times_verified", "times_prevented", "events", "flags"), 0),
    "last_applied_at": None,
    "revision": 0,
}
"""The counters of a lesson before anything that counts is carried."""


@dataclass(frozen=True, slots=True)
class MergePlan:
    """What a merge carries and leaves: rows by kind, lessons that the target has, and sentences on what changes."""

    carried: Mapping[str, int]
    left: Mapping[str, int]
    known: int
    remarks: tuple[str, ...]


@dataclass(slots=True)
class Carried:
    """What a merge has carried: new rows by kind, and which lesson of the target stands for each of the source's."""

    counts: Counter[str] = field(default_factory=Counter[str])
    ids: dict[str, str] = field(default_factory=dict[str, str])
    known: set[str] = field(default_factory=set[str])


def plan(connection: Connection, source: str, target: str) -> MergePlan:
    """Return what a merge of `source` into `target` would do. The transaction has to reach both."""
    carried, left = merging.sizes(connection, source)
    remarks: list[str] = []
    known = demoted = 0
    for agent_name, ids in _by_agent(merging.agents_of(connection, source)).items():
        for part in _parts(ids):
            counterparts = _Counterparts(connection, source, target, agent_name, part)
            for row in counterparts.rows:
                there = counterparts.found.get(row["id"])
                known += there is not None
                demoted += there is None and _ends_on_probation(row)
                if (
                    there is not None
                    and there.status != row["status"]
                    and not {there.status, row["status"]} <= SERVABLE
                ):
                    remarks.append(
                        f"lesson {row['id']} is {row['status']} in {source!r}; {target!r} has it as {there.id}, which "
                        f"stays {there.status}"
                    )
    more = len(remarks) - NAMED_MAX
    remarks = [*remarks[:NAMED_MAX], *([f"{count_of(more, 'lesson')} more differ in status"] if more > 0 else [])]
    if demoted:
        remarks.insert(
            0,
            f"{count_of(demoted, 'lesson')} that evidence made active {'begins' if demoted == 1 else 'begin'} on "
            f"probation: the evidence stays",
        )
    if reason := evidence_rows.stop_reason(connection, source):
        remarks.append(f"serving is stopped in {source!r}, which does not stop it in {target!r}: {reason}")
    faults = audit.verify(connection, source)
    remarks += [f"the audit trail of {source!r} is at fault, and is carried as it is: {fault}" for fault in faults[:3]]
    return MergePlan(carried, left, known, tuple(remarks))


async def carry(
    work: Workspace, caller: Caller, source: str, progress: Callable[[str], None] = lambda _kind: None
) -> Carried:
    """Carry everything of project `source` that can be carried to the caller's project.

    Args:
        work: the workspace; its transactions have to reach both projects.
        caller: on whose behalf, in the project that gets the rows.
        source: the project whose rows are carried.
        progress: called with each kind of rows that is carried next.

    Raises:
        Conflict: a lesson of the other project has by chance the id of one here.
    """
    carrying = _Carrying(work, caller, source)
    for kind, step in carrying.steps():
        progress(kind)
        await step()
    return carrying.done


class _Counterparts:
    """Where lessons of one agent go: which of them the target has in other words or under another id, if any."""

    def __init__(
        self, connection: Connection, source: str, target: str, agent_name: str, lesson_ids: Collection[str]
    ) -> None:
        self._connection = connection
        self._target = target
        self.rows = merging.rows_of(connection, source, lesson_ids)
        self.names: dict[str, list[str]] = {row["id"]: [] for row in self.rows}
        for row in merging.of_lessons(connection, lesson_keys, source, lesson_ids):
            self.names[row["lesson_id"]].append(row["key"])
        names = {name for own in self.names.values() for name in own}
        self._taken = {
            name: lesson_id
            for (agent, name), lesson_id in lesson_rows.find_by_keys(connection, target, [agent_name], names).items()
            if agent == agent_name
        }
        hashes = {row["content_hash"] for row in self.rows}
        worded: dict[str, list[str]] = defaultdict(list)
        for agent, content_hash, lesson_id in lesson_rows.worded(connection, target, hashes):
            if agent == agent_name:
                worded[content_hash].append(lesson_id)
        wanted = {*lesson_ids, *self._taken.values(), *(one for ids in worded.values() for one in ids)}
        self._there = lesson_rows.find(connection, target, wanted)
        self.buried = lesson_rows.rejected_texts(connection, target, names)
        self.carried = {
            row["id"] for row in self.rows if self._is_from(self._there.get(row["id"]), source, target, row["id"])
        }
        self.found: dict[str, Lesson] = {}
        for row in self.rows:
            there = self._of(row, worded)
            if there is not None:
                self.found[row["id"]] = there

    @staticmethod
    def _is_from(lesson: Lesson | None, source: str, target: str, lesson_id: str) -> bool:
        """Return whether a lesson with the id of one of the source's is that one, carried before."""
        if lesson is None:
            return False
        if lesson.provenance.get("merged_from") != source:
            raise Conflict(
                f"{source!r} and {target!r} both have a lesson {lesson_id}, which differ: delete one of them"
            )
        return True

    def _of(self, row: Row, worded: Mapping[str, Sequence[str]]) -> Lesson | None:
        """Return the lesson of the target that a lesson is: the same row, entry of the catalogue, or words."""
        if row["id"] in self.carried and row["status"] == "superseded":
            return self._there[row["id"]]
        own = self.names[row["id"]]
        same = [row["id"]] if row["id"] in self.carried else []
        same += (self._taken[name] for name in own if kind_of(name) == "catalogue" and name in self._taken)
        same += (one for one in worded.get(row["content_hash"], ()) if self._is_twin(self._there[one], row))
        if own and all(name in self._taken for name in own):
            same.append(self._taken[own[0]])
        found = self._there.get(same[0]) if same else None
        while (
            found is not None and found.status == "superseded" and found.superseded_by
        ):  # what was merged into another goes on as that one
            successor = found.superseded_by
            found = lesson_rows.find(self._connection, self._target, [successor]).get(successor)
        return found

    @staticmethod
    def _is_twin(lesson: Lesson, row: Row) -> bool:
        """Return whether lessons of the same words are the same: for two rules of one tool they are not."""
        one, other = lesson.rule_key, row["rule_key"]
        return not one or not other or one == other or tool_of(one) != tool_of(other)

    def free_names(self, lesson_id: str) -> list[str]:
        """Return the exact names of a lesson that no lesson of the target's agent has."""
        return [name for name in self.names[lesson_id] if name not in self._taken]

    def rejected_as(self, row: Row) -> str:
        """Return the lesson as which the target has rejected these words for any agent; empty where it has not."""
        if row["trust"] == "curated" or row["status"] in TOMBSTONES:
            return ""
        return next((self.buried[name] for name in self.names[row["id"]] if name in self.buried), "")


@dataclass(slots=True)
class _Carrying:
    """One merge under way."""

    work: Workspace
    caller: Caller
    source: str
    done: Carried = field(default_factory=Carried)

    @property
    def target(self) -> str:
        return self.caller.project

    def steps(self) -> list[tuple[str, Callable[[], Any]]]:
        """Return what is carried, in order: what is referred to comes first."""
        return [
            ("lessons", self._all_lessons),
            ("refinement runs", self._refinement_runs),
            ("issues", lambda: self._in_pages(issues, self._issues)),
            ("applications", lambda: self._in_pages(applications, self._applications)),
            ("answers", self._answers),
            ("audit trail", self._audit),
        ]

    async def _all_lessons(self) -> None:
        await self._in_pages(
            agent_names, lambda connection, rows: merging.add(connection, agent_names, self._moved(rows))
        )
        agents = await self.work.store.read(lambda connection: merging.agents_of(connection, self.source))
        await self._lessons(agents)
        await self.work.store.write(self._relink)

    async def _lessons(self, agents: Mapping[str, str]) -> None:
        for agent_name, ids in _by_agent(agents).items():
            for part in _parts(ids):
                # The work may run again, so it returns what it did.
                found, known, flags = await self.work.store.write(
                    lambda connection, agent_name=agent_name, part=part: self._carry_lessons(
                        connection, agent_name, part
                    )
                )
                self.done.ids |= found
                self.done.known |= known
                self.done.counts["lessons"] += len(found) - len(known)
                self.done.counts["flags"] += flags

    def _carry_lessons(
        self, connection: Connection, agent_name: str, part: Sequence[str]
    ) -> tuple[dict[str, str], set[str], int]:
        """Carry lessons of one agent with names, history, document, flags and reporters.

        Returns:
            The target's lesson for each, those that it had, and the number of flags.
        """
        ledger = Ledger(self.work, self.caller, connection, self.work.now())
        ledger.hold([agent_name])
        counterparts = _Counterparts(connection, self.source, self.target, agent_name, part)
        fresh = [row for row in counterparts.rows if row["id"] not in counterparts.found]
        ids = {
            row["id"]: counterparts.found[row["id"]].id if row["id"] in counterparts.found else row["id"]
            for row in counterparts.rows
        }
        lesson_rows.add(connection, [self._as_new(row) for row in fresh])
        keys: list[Row] = [
            {"project": self.target, "agent_name": agent_name, "key": name, "lesson_id": ids[row["id"]]}
            for row in counterparts.rows
            for name in counterparts.free_names(row["id"])
        ]
        lesson_rows.add_keys(connection, keys)
        new_ids = [row["id"] for row in fresh]
        lesson_rows.add_versions(
            connection, self._moved(merging.of_lessons(connection, lesson_versions, self.source, new_ids))
        )
        ledger.documents |= lesson_rows.documents(connection, self.source, new_ids)
        made = lesson_rows.find(connection, self.target, new_ids)
        for row in fresh:
            self._enter(ledger, made[row["id"]], counterparts.rejected_as(row))
        reporters = self._moved(merging.of_lessons(connection, lesson_reporters, self.source, part))
        merging.add(connection, lesson_reporters, [{**row, "lesson_id": ids[row["lesson_id"]]} for row in reporters])
        flags = self._flags(ledger, part, ids)
        ledger.write()
        return ids, set(ids) - set(new_ids), flags

    def _as_new(self, row: Row) -> Row:
        """Return a lesson as it begins in the target: its words, trust and status, and nothing that was measured."""
        effect = effect_before()
        return {
            **row,
            **_NOTHING_MEASURED,
            "project": self.target,
            "evidence": {},
            "effectiveness_score": effect.mean,
            "effect_low": effect.low,
            "effect_high": effect.high,
            "provenance": {**row["provenance"], "merged_from": self.source},
        }

    def _enter(self, ledger: Ledger, lesson: Lesson, rejected_as: str) -> None:
        """Write the carrying into a lesson's history, with the status that it begins with."""
        reason = f"It came from project {self.source}"
        if rejected_as:
            ledger.move(lesson, "reject", f"{reason}; here its words were rejected", {"status": "rejected"})
        elif _ends_on_probation({"status": lesson.status, "approved_by": lesson.approved_by}):
            values: Row = {"status": "probation", "expires_at": ledger.expiry()}
            ledger.move(lesson, "demote", f"{reason}, and its evidence stayed there", values)
        else:
            ledger.move(lesson, "move", reason, {})

    def _flags(self, ledger: Ledger, part: Sequence[str], ids: Mapping[str, str]) -> int:
        connection = ledger.connection
        rows = self._moved(merging.of_lessons(connection, lesson_flags, self.source, part))
        new = merging.join_flags(
            connection,
            [{**row, "lesson_id": ids[row["lesson_id"]], "run_id": self._run_id(row["run_id"])} for row in rows],
        )
        flagged = {ids[row["lesson_id"]] for row in rows}
        counts = merging.flags_on(connection, self.target, flagged)
        for lesson_id, lesson in sorted(lesson_rows.find(connection, self.target, flagged).items()):
            if lesson.flags != counts.get(lesson_id, 0):
                ledger.set(lesson, {"flags": counts[lesson_id]})
        return new

    def _relink(self, connection: Connection) -> None:
        """Let successors and proposals point to the lessons that stand for those of the source."""
        for lesson_id, successor, proposed_for in merging.linked(connection, self.source):
            links = {"superseded_by": successor, "proposal_for": proposed_for}
            changed = {name: self.done.ids[to] for name, to in links.items() if to and self.done.ids.get(to, to) != to}
            if changed and self.done.ids.get(lesson_id) == lesson_id:
                lesson_rows.change(connection, self.target, lesson_id, changed)

    async def _refinement_runs(self) -> None:
        def carry(connection: Connection, rows: list[Row]) -> int:
            under_way = f"It was under way in project {self.source} when that was merged."
            ended = [{**row, "error": under_way if row["error"] == UNDER_WAY else row["error"]} for row in rows]
            return merging.add(connection, refinement_runs, self._moved(ended))

        await self._in_pages(refinement_runs, carry)

    def _issues(self, connection: Connection, rows: list[Row]) -> int:
        there = merging.there(connection, issues, self.target, rows)
        fresh = [row for row in rows if (row["id"],) not in there]
        ledger = Ledger(self.work, self.caller, connection, self.work.now())
        ids = self.done.ids
        lessons = ledger.lessons({ids[row["lesson_id"]] for row in fresh if row["lesson_id"]})
        merging.add_runs(connection, self.source, self.target, (row["run_id"] for row in fresh if row["run_id"]))
        new: list[Row] = [
            {
                **row,
                "lesson_id": ids[row["lesson_id"]] if row["lesson_id"] else None,
                "runner_up": ids.get(row["runner_up"], row["runner_up"]),
                "run_id": self._run_id(row["run_id"]),
                "is_event": False,
                "event_verified": False,
            }
            for row in self._moved(fresh)
        ]
        merging.add(connection, issues, new)
        counted: Counter[str] = Counter(row["lesson_id"] for row in new if row["action"] != "rejected")
        for lesson_id, lesson in sorted(lessons.items()):
            seen = [row["created_at"] for row in new if row["lesson_id"] == lesson_id]
            values: Row = {"issue_count": lesson.issue_count + counted[lesson_id]}
            ledger.set(lesson, {**values, "last_seen_at": _latest([lesson.last_seen_at, *seen])})
            if lesson_id in (ids[known] for known in self.done.known):
                reindex(ledger, lesson, ISSUES_MAX)
        rollups.count_past_issues(connection, self.target, ((row["agent_name"], row["created_at"]) for row in new))
        ledger.write()
        return len(new)

    def _applications(self, connection: Connection, rows: list[Row]) -> int:
        ids = self.done.ids
        new: dict[tuple[str, str], Row] = {}
        for row in self._moved(rows):
            run_id, lesson_id = merging.carried_run_id(self.source, row["run_id"]), ids[row["lesson_id"]]
            values = {"run_id": run_id, "lesson_id": lesson_id, "by_coin": False}
            new.setdefault((run_id, lesson_id), {**row, **values})  # of two lessons that are one here, the first counts
        for key in merging.there(connection, applications, self.target, [*new.values()]):
            new.pop((key[0], key[1]), None)
        ledger = Ledger(self.work, self.caller, connection, self.work.now())
        lessons = ledger.lessons({row["lesson_id"] for row in new.values()})
        merging.add_runs(connection, self.source, self.target, (row["run_id"] for row in rows))
        merging.add(connection, applications, [*new.values()])
        for lesson_id, lesson in sorted(lessons.items()):
            _count_applications(ledger, lesson, [row for row in new.values() if row["lesson_id"] == lesson_id])
        self._count_by_day(ledger, new.values())
        ledger.write()
        return len(new)

    def _count_by_day(self, ledger: Ledger, rows: Iterable[Row]) -> None:
        days: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in rows:
            days[row["agent_name"], row["applied_at"].date().isoformat()].append(row)
        for (agent_name, day), of_day in sorted(days.items()):
            verdicts = [row["verdict"] for row in of_day if row["verdict"] is not None]
            counts = rollups.AppliedCounts(len(of_day), len(verdicts), sum(verdicts))
            latest = max(row["applied_at"] for row in of_day)
            rollups.count_applications(ledger.connection, self.target, agent_name, day, counts, latest)

    async def _answers(self) -> None:
        """Carry the answers under idempotency keys, so that a call that is sent again is not done twice."""
        oldest = self.work.now() - idempotency.KEPT_FOR

        def carry(connection: Connection, rows: list[Row]) -> int:
            current = [row for row in rows if row["created_at"] > oldest]
            return merging.add(connection, idempotency_keys, self._moved(current))

        await self._in_pages(idempotency_keys, carry)

    async def _audit(self) -> None:
        store = self.work.store
        for writer in sorted(await store.read(lambda connection: audit.heads_of(connection, self.source))):
            while count := await store.write(
                lambda connection, writer=writer: audit.carry(connection, self.source, self.target, writer, CHUNK)
            ):
                self.done.counts["audit_entries"] += count

    async def _in_pages(self, table: Table, carry: Callable[[Connection, list[Row]], int]) -> None:
        """Carry the rows of a table, a page at a time, and count the new ones."""
        after: tuple[Any, ...] = ()
        while rows := await self.work.store.read(
            lambda connection, after=after: merging.page(connection, table, self.source, after, CHUNK)
        ):
            if "lesson_id" in table.c:  # lessons that were made since the lessons were carried
                missing = {row["lesson_id"] for row in rows if row["lesson_id"]} - self.done.ids.keys()
                if missing:
                    await self._lessons(
                        await self.work.store.read(
                            lambda connection, missing=missing: merging.agents_of(connection, self.source, missing)
                        )
                    )
            new = await self.work.store.write(lambda connection, rows=rows: carry(connection, rows))
            self.done.counts[table.name.removeprefix("agent_").removeprefix("lesson_")] += new
            after = tuple(rows[-1][column.name] for column in merging.keys_of(table))

    def _moved(self, rows: Iterable[Row]) -> list[Row]:
        return [{**row, "project": self.target} for row in rows]

    def _run_id(self, run_id: str | None) -> str | None:
        return merging.carried_run_id(self.source, run_id) if run_id else None


def _count_applications(ledger: Ledger, lesson: Lesson, rows: Sequence[Row]) -> None:
    """Add carried applications to a lesson's counters; verdicts of others move its prior, and nothing is measured."""
    verdicts = [row["verdict"] for row in rows if row["verdict"] is not None]
    by_others = [row["verdict"] for row in rows if row["verdict"] is not None and row["verdict_evidence"] == "verified"]
    known = Evidence.from_document(lesson.evidence)
    prevented, not_prevented = known.verdicts
    judged = (prevented + sum(by_others), not_prevented + len(by_others) - sum(by_others))
    counters: Row = {
        "times_applied": lesson.times_applied + len(rows),
        "times_verified": lesson.times_verified + len(verdicts),
        "times_prevented": lesson.times_prevented + sum(verdicts),
        "last_applied_at": _latest([lesson.last_applied_at, *(row["applied_at"] for row in rows)]),
    }
    if by_others:
        counters["evidence"] = replace(known, verdicts=judged).to_document()
    ledger.set(lesson, counters if lesson.events else {**counters, **effect_columns(replace(lesson, **counters))})


def _ends_on_probation(row: Mapping[str, Any]) -> bool:
    """Return whether a lesson is active by evidence alone, which stays with its project."""
    return row["status"] == "active" and row["approved_by"] is None


def _latest(moments: Iterable[datetime | None]) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)


def _by_agent(agents: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for lesson_id, agent_name in agents.items():
        found[agent_name].append(lesson_id)
    return dict(sorted(found.items()))


def _parts(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[at : at + CHUNK] for at in range(0, len(ids), CHUNK))
