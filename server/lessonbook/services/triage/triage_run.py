"""A triage run: pending issues get a lesson, join one, stay pending or are dismissed, in one audited refinement run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from lessonbook.dedup.precedence import is_other_rule
from lessonbook.domain.errors import InvalidInput, NotFound
from lessonbook.domain.lesson_names import text_name
from lessonbook.domain.lesson_status import JOINABLE, SERVABLE, Status
from lessonbook.domain.loop import Refinement
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.screening.offer import Offer, held_from_all
from lessonbook.services.alike_lessons import AlikeLessons
from lessonbook.services.writing.issue_writer import (
    Decision,
    IssueEntry,
    IssueWriter,
    Refiner,
    buried,
    entry_of,
    rejected,
    waiting,
)
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.engine import Retry
from lessonbook.store.issues import IssueRow

_ORIGIN: Final[Mapping[str, str]] = {
    "approved": "New lesson in the author's words",
    "offered": "New lesson in the author's words",
    "generated": "New lesson in the model's words, on probation",
    "curated": "New lesson from the catalogue",
    "imported": "New lesson from the catalogue that is configured, on probation",
}


class TriageRun:
    """One refinement run over pending issues, inside one transaction.

    Each decision is written at once, so that the next one finds its names. `writer.lines` has the outcome of each
    issue, in the order of the decisions.
    """

    def __init__(
        self, ledger: Ledger, run_id: str, refiner: Refiner, *, model: str = "", prompt_hash: str = ""
    ) -> None:
        source = "user" if ledger.caller.person else "agent"
        self.ledger = ledger
        self.writer = IssueWriter(ledger, run_id, refiner, source, model=model, prompt_hash=prompt_hash)
        self._audited = {"refiner": refiner}
        self._alike_lessons = AlikeLessons(ledger.connection, ledger.caller)
        self._held: dict[str, IssueRow] = {}

    def hold(self, issue_ids: Iterable[str]) -> dict[str, IssueRow]:
        """Hold the agents of the issues, then the issues' rows, and return those that exist. Once, before all else.

        The agent of lessons for all is held as well: issues may join those.
        """
        wanted, connection, project = list(issue_ids), self.ledger.connection, self.ledger.caller.project
        agents = {issue.agent_name for issue in issue_rows.find(connection, project, wanted).values()}
        self.ledger.hold(agents | {SHARED_AGENT})
        self._held = issue_rows.find(connection, project, wanted, lock=True)
        return dict(self._held)

    def pending(self, issue_ids: Iterable[str]) -> list[IssueEntry]:
        """Return held issues, which must all be pending and of one agent.

        Raises:
            NotFound: an issue does not exist.
            InvalidInput: an issue is not pending, or they are of different agents.
        """
        found: list[IssueEntry] = []
        for issue_id in dict.fromkeys(issue_ids):
            if (issue := self._held.get(issue_id)) is None:
                raise NotFound.issue(issue_id, self.ledger.caller.project)
            if issue.action != "pending":
                raise InvalidInput(f"Issue {issue_id} is {issue.action} already: name pending issues only")
            found.append(entry_of(issue))
        if len({issue.agent_name for issue in found}) > 1:
            raise InvalidInput("The issues of one lesson belong to different agents: send a lesson for each agent")
        return found

    def word(self, issues: Sequence[IssueEntry], offer: Offer, status: Status, keys: Sequence[str] = ()) -> None:
        """Make a lesson for issues of one agent, unless one has their exact names or the same text already.

        Args:
            issues: pending issues of one agent.
            offer: the lesson, screened.
            status: the status it begins with.
            keys: further exact names for it.
        """
        text_key = text_name(offer.text)
        named = self._owners(issues[0].agent_name, [*(issue.name for issue in issues), *keys, text_key])
        rest: list[IssueEntry] = []
        for issue in issues:
            own = next((named[key] for key in (issue.name, *keys) if key in named), None)
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
        ledger = self.ledger
        found = lesson_rows.rejected_texts(ledger.connection, ledger.caller.project, [text_key])
        if (refusal := buried(offer, found.values())) is not None:
            self._record(rest, refusal)
            return
        free = [*(issue.name for issue in rest), *keys, *([] if twin else [text_key])]
        self._create(rest, offer, status, dict.fromkeys(key for key in free if key not in named))

    def join(self, issues: Sequence[IssueEntry], lesson_id: str, reason: str, *, named: bool = True) -> None:
        """Count issues as instances of an existing lesson.

        The lesson gets their exact names where `named`; a likeness gives none, since it may be wrong.
        """
        lesson = self.writer.lesson(lesson_id)
        if lesson.status == "rejected":
            self._record(issues, rejected(lesson_id))
            return
        names = dict.fromkeys(issue.name for issue in issues) if named else ()
        self.writer.join(issues, lesson.id, lesson.agent_name, names)
        self._write()
        standing = "" if lesson.status in SERVABLE else f" It is {lesson.status}."
        self._record(issues, Decision("merged", reason + standing, lesson_id))

    def stands(self, lesson_id: str) -> bool:
        """Return whether issues may be joined to a lesson."""
        lesson = self.ledger.lessons([lesson_id]).get(lesson_id)
        return lesson is not None and lesson.status in JOINABLE

    def join_chosen(self, issues: Sequence[IssueEntry], lesson_id: str) -> None:
        """Join issues to the lesson that an author or a model chose for them.

        Raises:
            NotFound: the lesson does not exist.
            InvalidInput: it is another agent's, or takes no issues any more.
        """
        lesson = self.writer.lesson(lesson_id)
        agent_name = issues[0].agent_name
        if lesson.agent_name not in {agent_name, SHARED_AGENT}:
            raise InvalidInput(
                f"Lesson {lesson.id} is of {lesson.agent_name} and the issues are of {agent_name}: "
                "name one of theirs, or write a lesson"
            )
        if lesson.status not in JOINABLE:
            after = f"its successor is {lesson.superseded_by}" if lesson.superseded_by else "write a lesson instead"
            raise InvalidInput(f"Lesson {lesson.id} is {lesson.status}, so nothing joins it: {after}")
        self.join(issues, lesson.id, f"Joined to lesson {lesson.id}.", named=self.ledger.caller.person)

    def leave(self, issues: Sequence[IssueEntry], reason: str) -> None:
        """Leave issues pending, and record why."""
        self._record(issues, Decision("pending", reason))

    def dismiss(self, issues: Sequence[IssueEntry], reason: str) -> None:
        """Reject issues: they are no longer pending, and get no lesson."""
        self._record(issues, Decision("rejected", reason))

    def close(self) -> Refinement:
        """Write the run and all that was planned.

        Raises:
            Retry: another transaction was faster; run this one again.
        """
        return self.writer.close(self._audited)

    def finish(self) -> Refinement:
        """Write all that was planned, for a run whose row exists already. See `close`."""
        return self.writer.finish(self._audited)

    def _owners(self, agent_name: str, names: Sequence[str]) -> dict[str, str]:
        """Return the lesson that has each name; the agent's own comes before one for all agents."""
        ledger = self.ledger
        found = lesson_rows.find_by_keys(ledger.connection, ledger.caller.project, [agent_name], names)
        shared = {key: lesson_id for (owner, key), lesson_id in found.items() if owner == SHARED_AGENT}
        return shared | {key: lesson_id for (owner, key), lesson_id in found.items() if owner == agent_name}

    def _names_other_rule(self, issues: Sequence[IssueEntry], lesson_id: str) -> bool:
        lesson, catalogue = self.writer.lesson(lesson_id), self.ledger.work.catalogue
        return any(is_other_rule(issue.rule_key, lesson, catalogue) for issue in issues)

    def _create(self, issues: Sequence[IssueEntry], offer: Offer, status: Status, names: Iterable[str]) -> None:
        held = held_from_all(offer, issues[0].agent_name, self.ledger.work.settings.trust.review)
        if held is not offer:
            offer, status = held, held.status
        agent_name = issues[0].agent_name
        sentence = "" if offer.trust == "curated" else self._alike_lessons.sentence(agent_name, offer.text)
        alike = f" {sentence}" if sentence else ""
        lesson_id = self.writer.create(issues, offer, names, status=status)
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

    def _record(self, issues: Sequence[IssueEntry], decision: Decision) -> None:
        ledger = self.ledger
        values = {
            "lesson_id": decision.lesson_id,
            "action": decision.action,
            "reason": decision.reason,
            "refinement_run_id": self.writer.run_id,
        }
        for issue in issues:
            issue_rows.change(ledger.connection, ledger.caller.project, issue.id, values)
            self._held[issue.id] = self._held[issue.id]._replace(action=decision.action)
            self.writer.record(issue, decision)
