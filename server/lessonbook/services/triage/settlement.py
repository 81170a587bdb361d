"""Settling: pending issues get a lesson, join one, stay pending or are dismissed, in one audited refinement run."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from lessonbook.classify.rule_keys import tool_of
from lessonbook.domain.errors import InvalidInput, NotFound
from lessonbook.domain.lesson import Lesson
from lessonbook.domain.lesson_names import catalogue_name, name_of_issue, text_name
from lessonbook.domain.lesson_status import JOINABLE, SERVABLE, Status
from lessonbook.domain.loop import RefinedIssue, Refinement
from lessonbook.domain.vocabulary import SEVERITY_OF_RANK, SHARED_AGENT, IssueAction
from lessonbook.search.subjects import with_issue
from lessonbook.services.preparation import Offer, held_from_all
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.engine import Retry
from lessonbook.store.types import Row

Refiner = Literal["author", "llm", "rules"]

_ORIGIN: Final[Mapping[str, str]] = {
    "approved": "New lesson in the author's words",
    "offered": "New lesson in the author's words",
    "generated": "New lesson in the model's words, on probation",
    "curated": "New lesson from the catalogue",
    "imported": "New lesson from the catalogue that is configured, on probation",
}


@dataclass(slots=True)
class Settling:
    """One refinement run over issues that waited, inside one transaction.

    `lines` tells what became of each issue, in the order in which they were settled.
    """

    ledger: Ledger
    run_id: str
    refiner: Refiner
    model: str = ""
    prompt_hash: str = ""
    lines: list[RefinedIssue] = field(default_factory=list[RefinedIssue])
    began: float = field(default_factory=time.perf_counter)
    _held: dict[str, Row] = field(default_factory=dict[str, Row])

    def hold(self, issue_ids: Iterable[str]) -> dict[str, Row]:
        """Return the issues that exist, by id, with their agents and then their rows held. Once, and before all else.

        Lessons for all agents are held, too: issues may join them.
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
            raise NotFound(f"There is no issue {missing[0]!r} in project {project!r}: check the id")
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
        if twin is not None and not self._is_other_rule(rest, twin):
            self.join(rest, twin, f"Same as lesson {twin}.")
            return
        if (buried := self._buried(text_key, offer)) is not None:
            self._record(rest, buried, "rejected", f"These words were rejected ({buried}): nothing is learned again.")
            return
        free = [*map(_name, rest), *keys, *([] if twin else [text_key])]
        self._create(rest, offer, status, tuple(dict.fromkeys(key for key in free if key not in named)))

    def join(self, issues: Sequence[Row], lesson_id: str, reason: str, *, named: bool = True) -> None:
        """Count issues as sightings of a lesson that exists.

        It answers to their exact names from now on, unless it is not `named` so: a likeness may be wrong.
        """
        lesson = self._existing(lesson_id)
        if lesson.status == "rejected":
            told = f"A lesson for it was rejected ({lesson_id}): nothing is learned again."
            self._record(issues, lesson_id, "rejected", told)
            return
        ledger = self.ledger
        values: Row = {"issue_count": lesson.issue_count + len(issues), "last_seen_at": ledger.now}
        if lesson.status == "probation":
            values["expires_at"] = ledger.expiry()
        ledger.set(lesson, values)
        if lesson.status == "expired":
            back: Row = {"status": "probation", "expires_at": ledger.expiry()}
            ledger.move(lesson, "recur", "Its issue came back.", back)
        if named:
            ledger.name(lesson.id, lesson.agent_name, tuple(dict.fromkeys(map(_name, issues))))
        body = lesson_rows.documents(ledger.connection, ledger.caller.project, [lesson.id]).get(lesson.id, "")
        for issue in issues:
            body = with_issue(body, lesson.lesson_text, issue["description"], issue["file"])
        ledger.document(lesson.id, body)
        ledger.flush()
        standing = "" if lesson.status in SERVABLE else f" It is {lesson.status}."
        self._record(issues, lesson_id, "merged", reason + standing)

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
        lesson = self._existing(lesson_id)
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
        self._record(issues, None, "pending", reason)

    def dismiss(self, issues: Sequence[Row], reason: str) -> None:
        """Settle issues without a lesson: they wait no longer."""
        self._record(issues, None, "rejected", reason)

    def row(self, values: Mapping[str, Any] | None = None) -> Row:
        """Return the refinement run as it is stored, `values` on top."""
        counts = Counter(line.action for line in self.lines)
        caller = self.ledger.caller
        return {
            "project": caller.project,
            "id": self.run_id,
            "principal": caller.principal,
            "source": "user" if caller.person else "agent",
            "refiner": self.refiner,
            "model": self.model,
            "prompt_hash": self.prompt_hash,
            "issues": len(self.lines),
            **{action: counts[action] for action in ("created", "merged", "pending", "quarantined", "rejected")},
            "duration_ms": (time.perf_counter() - self.began) * 1000,
            "started_at": self.ledger.now,
            **(values or {}),
        }

    def close(self) -> Refinement:
        """Write the run and all that was planned.

        Raises:
            Retry: another transaction was faster; run this one again.
        """
        issue_rows.add_refinement_run(self.ledger.connection, self.row())
        return self.finish()

    def finish(self) -> Refinement:
        """Write all that was planned, for a run whose row is there already. See `close`."""
        counts = Counter(line.action for line in self.lines)
        self.ledger.note("refine", self.run_id, {"issues": len(self.lines), "refiner": self.refiner, **counts})
        if not self.ledger.write():
            raise Retry
        return Refinement(refinement_run_id=self.run_id, issues=self.lines)

    def _owners(self, agent_name: str, names: Sequence[str]) -> dict[str, str]:
        """Return the lesson that each name leads to, the agent's own before one for all."""
        ledger = self.ledger
        found = lesson_rows.find_by_keys(ledger.connection, ledger.caller.project, [agent_name], names)
        shared = {key: lesson_id for (owner, key), lesson_id in found.items() if owner == SHARED_AGENT}
        return shared | {key: lesson_id for (owner, key), lesson_id in found.items() if owner == agent_name}

    def _existing(self, lesson_id: str) -> Lesson:
        found = self.ledger.lessons([lesson_id])
        if lesson_id not in found:
            raise NotFound(f"There is no lesson {lesson_id!r} in project {self.ledger.caller.project!r}: check the id")
        return found[lesson_id]

    def _is_other_rule(self, issues: Sequence[Row], lesson_id: str) -> bool:
        """Tell whether a lesson answers to another rule of the tool that named one of the issues.

        Two rules of one tool are two lessons, even where they are worded alike.
        """
        lesson = self._existing(lesson_id)
        if lesson.status == "rejected":
            return False
        curated = self.ledger.work.catalogue.find(catalogue_name(lesson.provenance.get("catalogue", "")))
        tools = {tool_of(rule) for rule in (lesson.rule_key, *(curated.keys if curated else ())) if rule}
        return any(issue["rule_id"] and tool_of(issue["rule_id"]) in tools for issue in issues)

    def _buried(self, text_key: str, offer: Offer) -> str | None:
        """Return the rejected lesson, of whatever agent, whose words these are; a person may use them again."""
        if offer.trust in {"curated", "approved"}:
            return None
        ledger = self.ledger
        return lesson_rows.rejected_texts(ledger.connection, ledger.caller.project, [text_key]).get(text_key)

    def _create(self, issues: Sequence[Row], offer: Offer, status: Status, keys: tuple[str, ...]) -> None:
        ledger = self.ledger
        held = held_from_all(offer, issues[0]["agent_name"], ledger.work.settings.trust.review)
        if held is not offer:
            offer, status = held, held.status
        provenance = {"refinement_run": self.run_id, "reporter": ledger.caller.principal, "refiner": self.refiner}
        told = {"model": self.model, "prompt_hash": self.prompt_hash, "catalogue": offer.catalogue_id}
        lesson_id = ledger.create(
            issues[0]["agent_name"],
            offer,
            keys=keys,
            provenance=provenance | {key: value for key, value in told.items() if value},
            status=status,
            issue_count=len(issues),
        )
        body = ledger.document_of(offer.text, offer.why, offer.rule_key, offer.category, offer.catalogue_id)
        for issue in issues:
            body = with_issue(body, offer.text, issue["description"], issue["file"])
        ledger.document(lesson_id, body)
        if not ledger.flush():
            raise Retry
        if status == "quarantined":
            reason = "The lesson waits for a person: " + "; ".join(offer.reasons) + "."
            self._record(issues, lesson_id, "quarantined", reason)
            return
        doubts = f", though {'; '.join(offer.reasons)}" if offer.reasons else ""
        self._record(issues, lesson_id, "created", f"{_ORIGIN.get(offer.trust, 'New lesson')}{doubts}.")

    def _record(self, issues: Sequence[Row], lesson_id: str | None, action: IssueAction, reason: str) -> None:
        ledger = self.ledger
        values: Row = {
            "lesson_id": lesson_id,
            "action": action,
            "reason": reason,
            "refinement_run_id": self.run_id,
        }
        for issue in issues:
            issue_rows.change(ledger.connection, ledger.caller.project, issue["id"], values)
            self._held[issue["id"]] = {**issue, **values}
            self.lines.append(
                RefinedIssue(
                    issue_id=issue["id"],
                    action=action,
                    lesson_id=lesson_id,
                    agent_name=issue["agent_name"],
                    severity=SEVERITY_OF_RANK[issue["severity"]],
                    category=issue["category"],
                    reason=reason,
                )
            )


def _name(issue: Row) -> str:
    return name_of_issue(issue["rule_id"], issue["description"])
