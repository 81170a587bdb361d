"""A triage run: pending issues get a lesson, join one, stay pending or are dismissed, in one audited refinement run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Protocol

from sqlalchemy import Connection

from lessonbook.classify.catalogue_offer import offer_of_rule
from lessonbook.dedup.precedence_table import is_other_rule
from lessonbook.domain.agent_tools import Refinement
from lessonbook.domain.errors import InvalidInput, NotFound
from lessonbook.domain.lesson import Lesson
from lessonbook.domain.lesson_names import catalogue_name, group_id_of, group_name, kind_of, text_name
from lessonbook.domain.lesson_status import JOINABLE, SERVABLE, Status
from lessonbook.domain.vocabulary import SHARED_AGENT, UNOWNED, Trust
from lessonbook.screening.offer import Offer, held_from_all, reviewed, screened_offer
from lessonbook.services.alike_lesson_lookup import AlikeLessons
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
from lessonbook.store.types import Row

GROUP_MAX: Final = 2_000
"""Issues of one group that one transaction settles, the oldest first."""

_ORIGIN: Final[Mapping[str, str]] = {
    "approved": "New lesson in the author's words",
    "offered": "New lesson in the author's words",
    "generated": "New lesson in the model's words, on probation",
    "curated": "New lesson from the catalogue",
    "imported": "New lesson from the catalogue that is configured, on probation",
}


class GroupReader(Protocol):
    """Reads the issues of one group, and locks them where asked to."""

    def __call__(self, connection: Connection, *, lock: bool) -> list[IssueRow]:
        """Return the issues."""
        ...


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
        self._groups: dict[str, list[str]] = {}

    def hold(self, issue_ids: Iterable[str], groups: Mapping[str, GroupReader] = MappingProxyType({})) -> None:
        """Hold the agents of issues and of groups, then the issues' rows. Once, before all else.

        The agent of lessons for all is held as well: issues may join those.

        Args:
            issue_ids: the issues.
            groups: how the issues of each group are read, by the group's id.

        Raises:
            Retry: an agent got its first issue of a group meanwhile.
        """
        wanted, connection, project = list(issue_ids), self.ledger.connection, self.ledger.caller.project
        looked = [*issue_rows.find(connection, project, wanted).values()]
        looked += [row for read in groups.values() for row in read(connection, lock=False)]
        agents = {row.agent_name for row in looked} | {SHARED_AGENT}
        self.ledger.hold(agents)
        self._held = issue_rows.find(connection, project, wanted, lock=True)
        for group_id, read in groups.items():
            rows = read(connection, lock=True)
            if not agents.issuperset(row.agent_name for row in rows):
                raise Retry
            self._held |= {row.id: row for row in rows}
            self._groups[group_id] = [row.id for row in rows]

    def held(self) -> dict[str, IssueRow]:
        """Return the issues that are held, by id, as the decisions so far left them."""
        return dict(self._held)

    def of_group(self, group_id: str) -> list[IssueEntry]:
        """Return the issues of a held group."""
        return [entry_of(self._held[issue_id]) for issue_id in self._groups[group_id]]

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

        Words that anybody offered never own the name of the issues' rule: they answer to the rule's group.

        Args:
            issues: pending issues of one agent.
            offer: the lesson, screened.
            status: the status it begins with.
            keys: further exact names for it.
        """
        text_key, agent_name = text_name(offer.text), issues[0].agent_name
        own_names = {issue.id: self._names(issue, offer.trust) for issue in issues}
        named = self._owners(agent_name, [*(name for names in own_names.values() for name in names), *keys, text_key])
        named = self._without_rejected_offers(agent_name, named)
        rest: list[IssueEntry] = []
        known: dict[str, list[IssueEntry]] = {}
        for issue in issues:
            name = next((name for name in (issue.name, *keys, *own_names[issue.id]) if name in named), None)
            (rest if name is None else known.setdefault(name, [])).append(issue)
        for name, found in known.items():
            exact = kind_of(name) != "group"
            reason = f"Same as lesson {named[name]} by its {'exact name' if exact else 'group'}."
            self.join(found, named[name], reason, named=exact)
        if not rest:
            return
        free = [names[-1] for issue in rest if (names := own_names[issue.id])]
        twin = named.get(text_key)
        if twin is not None and not self._names_other_rule(rest, twin):
            self._join(rest, self.writer.lesson(twin), f"Same as lesson {twin}.", dict.fromkeys(free))
            return
        ledger = self.ledger
        rejected_before = lesson_rows.rejected_texts(ledger.connection, ledger.caller.project, [text_key])
        if (refusal := buried(offer, rejected_before.values())) is not None:
            self._record(rest, refusal)
            return
        free += [*keys, *([] if twin else [text_key])]
        self._create(rest, offer, status, dict.fromkeys(key for key in free if key not in named))

    def word_each(self, issues: Sequence[IssueEntry], offer: Offer, status: Status, keys: Sequence[str] = ()) -> None:
        """Make a lesson in the same words for each agent of the issues; see `word`."""
        for part in by_agent(issues):
            self.word(part, offer, status, keys)

    def join(self, issues: Sequence[IssueEntry], lesson_id: str, reason: str, *, named: bool = True) -> None:
        """Count issues as instances of an existing lesson.

        The lesson gets their exact names where `named`; a likeness gives none, since it may be wrong. A lesson in words
        that anybody offered gets the name of their rule's group, not the rule's.
        """
        lesson = self.writer.lesson(lesson_id)
        names = dict.fromkeys(self._names(issue, lesson.trust)[-1] for issue in issues) if named else ()
        self._join(issues, lesson, reason, names)

    def _join(self, issues: Sequence[IssueEntry], lesson: Lesson, reason: str, names: Iterable[str]) -> None:
        if lesson.status == "rejected":
            self._record(issues, rejected(lesson.id))
            return
        self.writer.join(issues, lesson.id, lesson.agent_name, names)
        self._write()
        standing = "" if lesson.status in SERVABLE else f" It is {lesson.status}."
        self._record(issues, Decision("merged", reason + standing, lesson.id))

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
        self._check_joinable(lesson)
        reason = f"Joined to lesson {lesson.id}."
        if self.ledger.caller.person:
            self.join(issues, lesson.id, reason)
        else:
            self._join(issues, lesson, reason, dict.fromkeys(_group_name(issue) for issue in issues if issue.rule_key))

    def join_everywhere(self, issues: Sequence[IssueEntry], lesson_id: str) -> None:
        """Join issues of any agents to a lesson; an agent whose lesson it is not gets one in the same words.

        Raises:
            NotFound: the lesson does not exist.
            InvalidInput: it takes no issues any more, or another agent cannot have its words.
        """
        lesson = self.writer.lesson(lesson_id)
        for part in by_agent(issues):
            if lesson.agent_name in {part[0].agent_name, SHARED_AGENT}:
                self.join_chosen(part, lesson_id)
                continue
            self._check_joinable(lesson)
            offer, keys = self._copy(lesson, part)
            self.word(part, offer, offer.status, keys)

    def word_curated(self, issues: Sequence[IssueEntry], name: str) -> None:
        """Give issues of any agents the catalogue's lesson of this name.

        Raises:
            NotFound: the catalogue has no entry of this name.
        """
        rule = self.ledger.work.catalogue.find(name)
        offer = offer_of_rule(rule) if rule else None
        if rule is None or offer is None:
            raise NotFound(f"The catalogue has no entry {name}: name one that list_pending_issues suggests")
        self.word_each(issues, offer, offer.status, (catalogue_name(rule.id),))

    def _copy(self, lesson: Lesson, issues: Sequence[IssueEntry]) -> tuple[Offer, tuple[str, ...]]:
        """Return the words of a lesson as an offer for another agent, with the exact names that it gets."""
        work, person = self.ledger.work, self.ledger.caller.person
        entry = str(lesson.provenance.get("catalogue") or "")
        rule = work.catalogue.find(catalogue_name(entry)) if entry else None
        if lesson.trust == "curated" and rule is not None and (curated := offer_of_rule(rule)) is not None:
            return curated, (catalogue_name(rule.id),)
        trust: Trust = "approved" if person else "generated" if lesson.trust == "generated" else "offered"
        offer, refusal = screened_offer(lesson.words, trust, issues[0].rule_key)
        if offer is None:
            raise InvalidInput(refusal)
        if person:
            return replace(offer, status="active"), ()
        return reviewed(offer, work.review_for(self.ledger.caller)), ()

    def _check_joinable(self, lesson: Lesson) -> None:
        if lesson.status not in JOINABLE:
            after = f"its successor is {lesson.superseded_by}" if lesson.superseded_by else "write a lesson instead"
            raise InvalidInput(f"Lesson {lesson.id} is {lesson.status}, so nothing joins it: {after}")

    def leave(self, issues: Sequence[IssueEntry], reason: str) -> None:
        """Leave issues pending, and record why."""
        self._record(issues, Decision("pending", reason))

    def dismiss(self, issues: Sequence[IssueEntry], reason: str, *, group: bool = False) -> None:
        """Reject issues: they are no longer pending, and get no lesson.

        Where they are a whole `group`, it is remembered as dismissed, with the reason: later issues of it are rejected.
        """
        self._record(issues, Decision("rejected", reason), keeps_group=group)

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

    def _without_rejected_offers(self, agent_name: str, named: Mapping[str, str]) -> dict[str, str]:
        """Free the groups of rejected offers of an agent: those must not keep other words from answering to them."""
        ledger, kept = self.ledger, dict(named)
        for name, lesson_id in named.items():
            lesson = self.writer.lesson(lesson_id) if kind_of(name) == "group" else None
            if lesson is not None and lesson.status == "rejected" and lesson.trust in UNOWNED:
                del kept[name]
                if lesson.agent_name == agent_name:
                    lesson_rows.free_name(ledger.connection, ledger.caller.project, agent_name, name)
        return kept

    def _names(self, issue: IssueEntry, trust: Trust) -> tuple[str, ...]:
        """Return by which exact names an issue finds a lesson of this trust; the last is the one that it gives it."""
        owns_rule = self.ledger.caller.person or trust not in UNOWNED
        return (issue.name,) if owns_rule or not issue.rule_key else (issue.name, _group_name(issue))

    def _names_other_rule(self, issues: Sequence[IssueEntry], lesson_id: str) -> bool:
        lesson, catalogue = self.writer.lesson(lesson_id), self.ledger.work.catalogue
        return any(is_other_rule(rule_key, lesson, catalogue) for rule_key in {issue.rule_key for issue in issues})

    def _create(self, issues: Sequence[IssueEntry], offer: Offer, status: Status, names: Iterable[str]) -> None:
        held = held_from_all(offer, issues[0].agent_name, self.ledger.work.review_for(self.ledger.caller))
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

    def _record(self, issues: Sequence[IssueEntry], decision: Decision, *, keeps_group: bool = False) -> None:
        ledger = self.ledger
        values: Row = {
            "lesson_id": decision.lesson_id,
            "action": decision.action,
            "reason": decision.reason,
            "refinement_run_id": self.writer.run_id,
        }
        if decision.action != "pending" and not keeps_group:
            values["group_id"] = None
        if not issues:
            return
        issue_rows.change_all(ledger.connection, ledger.caller.project, [issue.id for issue in issues], values)
        for issue in issues:
            self._held[issue.id] = self._held[issue.id]._replace(action=decision.action)
            self.writer.record(issue, decision)


def by_agent(issues: Sequence[IssueEntry]) -> list[list[IssueEntry]]:
    """Return issues in lists of one agent each."""
    found: dict[str, list[IssueEntry]] = {}
    for issue in issues:
        found.setdefault(issue.agent_name, []).append(issue)
    return list(found.values())


def _group_name(issue: IssueEntry) -> str:
    """Return the exact name of a lesson that answers to the group of an issue's rule or words."""
    return group_name(group_id_of(issue.name))
