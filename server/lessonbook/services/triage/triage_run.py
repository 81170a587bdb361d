"""A triage run: pending issues get a lesson, join one, stay pending or are dismissed, in one audited refinement run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from lessonbook.dedup.precedence import is_other_rule
from lessonbook.domain.errors import InvalidInput, NotFound
from lessonbook.domain.lesson_names import name_of_issue, text_name
from lessonbook.domain.lesson_status import JOINABLE, SERVABLE, Status
from lessonbook.domain.loop import Refinement
from lessonbook.domain.vocabulary import SEVERITY_OF_RANK, SHARED_AGENT
from lessonbook.screening.offer import Offer, held_from_all
from lessonbook.services.alike_lessons import AlikeLessons
from lessonbook.services.writing.issue_writer import (
    Decision,
    IssueEntry,
    IssueWriter,
    Refiner,
    buried,
    rejected,
    waiting,
)
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.engine import Retry
from lessonbook.store.types import Row

_ORIGIN: Final[Mapping[str, str]] = {
    "approved": "New lesson in the author's words",
    "offered": "New lesson in the author's words",
    "generated": "New lesson in the model's words, on probation",
    "curated": "New lesson from the catalogue",
    "imported": "New lesson from the catalogue that is configured, on probation",
}


class TriageRun:
    """One refinement run over issues that waited, inside one transaction.

    Each decision is written at once, so that the next one finds its names. `writer.lines` has what became of each
    issue, in the order in which they were settled.
    """

    def __init__(
        self, ledger: Ledger, run_id: str, refiner: Refiner, *, model: str = "", prompt_hash: str = ""
    ) -> None:
        source = "user" if ledger.caller.person else "agent"
        self.ledger = ledger
        self.writer = IssueWriter(ledger, run_id, refiner, source, model=model, prompt_hash=prompt_hash)
        self._audited = {"refiner": refiner}
        self._alike_lessons = AlikeLessons(ledger.connection, ledger.caller)
        self._held: dict[str, Row] = {}

    def hold(self, issue_ids: Iterable[str]) -> dict[str, Row]:
        """Return the issues that exist, by id, with their agents and then their rows held. Once, and before all else.

        The agent of lessons for all is held as well: issues may join those.
        """
        wanted, connection, project = list(issue_ids), self.ledger.connection, self.ledger.caller.project
        agents = {issue["agent_name"] for issue in issue_rows.find(connection, project, wanted).values()}
        self.ledger.hold(agents | {SHARED_AGENT})
        self._held = issue_rows.hold(connection, project, wanted)
        return self._held

    def pending(self, issue_ids: Iterable[str]) -> list[Row]:
        """Return issues of those that are held, which must all be pending and of one agent.

        Raises:
            NotFound: an issue does not exist.
            InvalidInput: an issue is not pending, or they are of different agents.
        """
        wanted = list(dict.fromkeys(issue_ids))
        project = self.ledger.caller.project
        found = {issue_id: self._held[issue_id] for issue_id in wanted if issue_id in self._held}
        if missing := [issue_id for issue_id in wanted if issue_id not in found]:
            raise NotFound.issue(missing[0], project)
        for issue in found.values():
            if issue["action"] != "pending":
                raise InvalidInput(f"Issue {issue['id']} is {issue['action']} already: name pending issues only")
        if len({issue["agent_name"] for issue in found.values()}) > 1:
            raise InvalidInput("The issues of one lesson belong to different agents: send a lesson for each agent")
        return [found[issue_id] for issue_id in wanted]

    def word(self, issues: Sequence[Row], offer: Offer, status: Status, keys: Sequence[str] = ()) -> None:
        """Give issues of one agent a lesson, unless one answers to their exact names or says the same already.

        Args:
            issues: pending issues of one agent.
            offer: the lesson, screened.
            status: the status it begins with.
            keys: further exact names for it.
        """
        agent_name = issues[0]["agent_name"]
        text_key = text_name(offer.text)
        named = self._owners(agent_name, [*map(_name, issues), *keys, text_key])
        rest: list[Row] = []
        for issue in issues:
            own = next((named[key] for key in (_name(issue), *keys) if key in named), None)
            if own is None:
                rest.append(issue)
            else:
                self.join([issue], own, f"Same as lesson {own} by its exact name.")
        if not rest:
            return
        twin = named.get(text_key)
        if twin is not None and not self._names_other_rule(rest, twin):
            self.join(rest, twin, f"Same as lesson {twin}.")
            return
        if (refusal := self._buried(text_key, offer)) is not None:
            self._record(rest, refusal)
            return
        free = [*map(_name, rest), *keys, *([] if twin else [text_key])]
        self._create(rest, offer, status, dict.fromkeys(key for key in free if key not in named))

    def join(self, issues: Sequence[Row], lesson_id: str, reason: str, *, named: bool = True) -> None:
        """Count issues as sightings of a lesson that exists.

        It answers to their exact names from now on, unless it is not `named` so: a likeness may be wrong.
        """
        lesson = self.writer.lesson(lesson_id)
        if lesson.status == "rejected":
            self._record(issues, rejected(lesson_id))
            return
        names = dict.fromkeys(map(_name, issues)) if named else ()
        self.writer.join(map(_entry, issues), lesson.id, lesson.agent_name, names)
        self._write()
        standing = "" if lesson.status in SERVABLE else f" It is {lesson.status}."
        self._record(issues, Decision("merged", reason + standing, lesson_id))

    def stands(self, lesson_id: str) -> bool:
        """Return whether issues may be joined to a lesson."""
        lesson = self.ledger.lessons([lesson_id]).get(lesson_id)
        return lesson is not None and lesson.status in JOINABLE

    def join_chosen(self, issues: Sequence[Row], lesson_id: str) -> None:
        """Join issues to the lesson that somebody says they are instances of.

        Raises:
            NotFound: the lesson does not exist.
            InvalidInput: it is another agent's, or stands no longer.
        """
        lesson = self.writer.lesson(lesson_id)
        agent_name = issues[0]["agent_name"]
        if lesson.agent_name not in {agent_name, SHARED_AGENT}:
            raise InvalidInput(
                f"Lesson {lesson.id} is of {lesson.agent_name} and the issues are of {agent_name}: "
                "name one of theirs, or write a lesson"
            )
        if lesson.status not in JOINABLE:
            after = f"its successor is {lesson.superseded_by}" if lesson.superseded_by else "write a lesson instead"
            raise InvalidInput(f"Lesson {lesson.id} is {lesson.status}, so nothing joins it: {after}")
        self.join(issues, lesson.id, f"Joined to lesson {lesson.id}.", named=self.ledger.caller.person)

    def leave(self, issues: Sequence[Row], reason: str) -> None:
        """Let issues wait on, with the reason why."""
        self._record(issues, Decision("pending", reason))

    def dismiss(self, issues: Sequence[Row], reason: str) -> None:
        """Settle issues without a lesson: they wait no longer."""
        self._record(issues, Decision("rejected", reason))

    def close(self) -> Refinement:
        """Write the run and all that was planned.

        Raises:
            Retry: another transaction was faster; run this one again.
        """
        return self.writer.close(self._audited)

    def finish(self) -> Refinement:
        """Write all that was planned, for a run whose row is there already. See `close`."""
        return self.writer.finish(self._audited)

    def _owners(self, agent_name: str, names: Sequence[str]) -> dict[str, str]:
        """Return the lesson that each name leads to, the agent's own before one for all."""
        ledger = self.ledger
        found = lesson_rows.find_by_keys(ledger.connection, ledger.caller.project, [agent_name], names)
        shared = {key: lesson_id for (owner, key), lesson_id in found.items() if owner == SHARED_AGENT}
        return shared | {key: lesson_id for (owner, key), lesson_id in found.items() if owner == agent_name}

    def _names_other_rule(self, issues: Sequence[Row], lesson_id: str) -> bool:
        lesson, catalogue = self.writer.lesson(lesson_id), self.ledger.work.catalogue
        return any(is_other_rule(issue["rule_id"], lesson, catalogue) for issue in issues)

    def _buried(self, text_key: str, offer: Offer) -> Decision | None:
        ledger = self.ledger
        return buried(offer, lesson_rows.rejected_texts(ledger.connection, ledger.caller.project, [text_key]).values())

    def _create(self, issues: Sequence[Row], offer: Offer, status: Status, names: Iterable[str]) -> None:
        held = held_from_all(offer, issues[0]["agent_name"], self.ledger.work.settings.trust.review)
        if held is not offer:
            offer, status = held, held.status
        agent_name = issues[0]["agent_name"]
        told = "" if offer.trust == "curated" else self._alike_lessons.sentence(agent_name, offer.text)
        alike = f" {told}" if told else ""
        lesson_id = self.writer.create([*map(_entry, issues)], offer, names, status=status)
        self._write()
        self._alike_lessons.add(agent_name, lesson_id, offer.text)
        if status == "quarantined":
            self._record(issues, Decision("quarantined", waiting(offer) + alike, lesson_id))
            return
        doubts = f", though {'; '.join(offer.reasons)}" if offer.reasons else ""
        reason = f"{_ORIGIN.get(offer.trust, 'New lesson')}{doubts}.{alike}"
        self._record(issues, Decision("created", reason, lesson_id))

    def _write(self) -> None:
        self.writer.settle()
        if not self.ledger.flush():
            raise Retry

    def _record(self, issues: Sequence[Row], decision: Decision) -> None:
        values: Row = {
            "lesson_id": decision.lesson_id,
            "action": decision.action,
            "reason": decision.reason,
            "refinement_run_id": self.writer.run_id,
        }
        for issue in issues:
            issue_rows.change(self.ledger.connection, self.ledger.caller.project, issue["id"], values)
            self._held[issue["id"]] = {**issue, **values}
            self.writer.record(_entry(issue), decision)


def _name(issue: Row) -> str:
    return name_of_issue(issue["rule_id"], issue["description"])


def _entry(issue: Row) -> IssueEntry:
    return IssueEntry(
        id=issue["id"],
        agent_name=issue["agent_name"],
        description=issue["description"],
        severity=SEVERITY_OF_RANK[issue["severity"]],
        category=issue["category"],
        file=issue["file"],
    )
