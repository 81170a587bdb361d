"""Decisions: what each issue of a report comes to. Everything is looked up and planned; nothing is written."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from lessonbook.dedup.precedence_table import EXACT, Verdict
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_names import kind_of, text_name
from lessonbook.domain.lesson_status import SERVABLE
from lessonbook.domain.vocabulary import SHARED_AGENT, UNOWNED, ReviewMode, Source
from lessonbook.screening.offer import Offer, beside, held_from_all
from lessonbook.services.alike_lesson_lookup import AlikeLessons
from lessonbook.services.report.grouping import Grouping
from lessonbook.services.report.matching import Matching
from lessonbook.services.report.preparation import Prepared, names_of_lesson
from lessonbook.services.workspace import Workspace, is_lesson_id
from lessonbook.services.writing.issue_writer import Decision, IssueEntry, IssueWriter, buried, rejected, waiting
from lessonbook.services.writing.ledger import Ledger

_UNKNOWN: Final = "No rule is known for it yet"


@dataclass(frozen=True, slots=True)
class Decided:
    """One issue with its outcome."""

    issue: IssueEntry
    item: Prepared
    verdict: Verdict
    decision: Decision


class Decisions:
    """What the issues of one report come to, as a transaction without locks sees it.

    Another transaction writes it: with `writer`, if the decisions `still_hold` there. `agents` has the agent of each
    issue, `made` what was decided, both in the order of the issues.
    """

    def __init__(
        self,
        work: Workspace,
        caller: Caller,
        source: Source,
        connection: Connection,
        issues: Iterable[Prepared],
        agents: Sequence[str],
        *,
        began: float,
    ) -> None:
        """Decide on each issue in order.

        Args:
            work: the workspace.
            caller: who reports.
            source: as which kind of reporter.
            connection: a transaction that may end before the report is written.
            issues: the issues.
            agents: the agent of each issue.
            began: when the refinement run began, by the performance counter.
        """
        self._work = work
        self._caller = caller
        self._source: Source = source
        self._review: ReviewMode = work.review_for(caller)
        self._matching = Matching(work, caller, connection)
        self._grouping = Grouping(work, caller.project, connection)
        self._alike_lessons = AlikeLessons(connection, caller)
        ledger = Ledger(work, caller, connection, work.now())
        self.writer = IssueWriter(ledger, work.new_id("R"), "rules", source, began=began)
        self.agents = agents
        prepared = list(issues)
        self._matching.look_up(prepared, agents)
        self._grouping.look_up(prepared)
        self.made = [self._decide(item, agent_name) for item, agent_name in zip(prepared, agents, strict=True)]

    def enter(self, connection: Connection, now: datetime, held: Iterable[str]) -> None:
        """Go on in a transaction that writes, and holds these agents."""
        self.writer.ledger.enter(connection, now, held)
        self.writer.read_planned()

    def still_hold(self, connection: Connection) -> bool:
        """Return whether the transaction that was entered, and has not written yet, would decide the same."""
        again = self.writer.lessons
        return self._matching.still_holds(connection, again) and self._grouping.still_holds(connection)

    def lesson(self, lesson_id: str) -> Lesson | None:
        """Return a lesson that a decision names; None for one that the report makes."""
        return self._matching.known.get(lesson_id)

    def _decide(self, item: Prepared, agent_name: str) -> Decided:
        issue = IssueEntry(
            id=self._work.new_id("I"),
            agent_name=agent_name,
            description=item.description,
            severity=item.severity,
            category=item.category,
            file=item.finding.file,
            rule_key=item.rule_key,
            subjects=item.subjects,
        )
        verdict = self._matching.match(item, agent_name)
        if verdict.lesson_id is not None:
            one = self._join(issue, item, verdict, verdict.lesson_id)
        elif item.offer is None or self._matching.is_taken(item, agent_name):
            unknown = f"A lesson for it was rejected ({verdict.rejected})" if verdict.rejected else _UNKNOWN
            reason = item.refusal or f"{unknown}: it waits for an author."
            one = self._wait(issue, item, verdict, reason + _alike(verdict))
        else:
            one = self._create(issue, item, item.offer, verdict)
        one = replace(one, decision=self._with_own_words(issue, item, one.decision))
        self.writer.record(issue, one.decision)
        self._matching.learn(item, agent_name, issue.id, one.decision.lesson_id)
        if one.decision.lesson_id:
            self._matching.lesson(one.decision.lesson_id)  # so that it is known when the issue is counted
        return one

    def _wait(self, issue: IssueEntry, item: Prepared, verdict: Verdict, reason: str) -> Decided:
        """Put an issue into its group, and reject it where a person dismissed that."""
        group_id = self._grouping.group_of(item, issue.id)
        dismissed = self._grouping.dismissal(group_id)
        decision = Decision("rejected", dismissed) if dismissed else Decision("pending", reason)
        return Decided(replace(issue, group_id=group_id), item, verdict, decision)

    def _join(self, issue: IssueEntry, item: Prepared, verdict: Verdict, lesson_id: str) -> Decided:
        lesson = self._matching.lesson(lesson_id)
        if lesson is not None and lesson.status == "rejected":
            return Decided(issue, item, verdict, rejected(lesson_id))
        owner = lesson.agent_name if lesson else self.writer.agent_of(lesson_id)
        names = self._learned_names(item, verdict, owner) if verdict.score == EXACT else ()
        self.writer.join([issue], lesson_id, owner, names)
        self._name(lesson_id, owner, names)
        standing = "" if lesson is None or lesson.status in SERVABLE else f", which is {lesson.status}"
        surely = "" if verdict.score == EXACT else f" ({verdict.score:.2f})"
        reason = f"Same as lesson {lesson_id} by {verdict.how}{surely}{standing}."
        return Decided(issue, item, verdict, Decision("merged", reason, lesson_id))

    def _learned_names(self, item: Prepared, verdict: Verdict, owner: str) -> tuple[str, ...]:
        """Return the new exact names of a lesson that an issue joins by one of them.

        Where the texts are equal, only a person adds the issue's rule: scanners give many rules the same words. What
        answers to the rule's group does not own the rule's name.
        """
        bound = self._caller.person or kind_of(verdict.name) in {"rule", "catalogue"}
        names = (name for name in item.keys if bound or kind_of(name) != "rule")
        return tuple(name for name in names if (owner, name) not in self._matching.named)

    def _name(self, lesson_id: str, owner: str, names: Iterable[str]) -> None:
        self._matching.named.update({(owner, name): lesson_id for name in names})

    def _create(self, issue: IssueEntry, item: Prepared, offer: Offer, verdict: Verdict) -> Decided:
        matching, agent_name = self._matching, issue.agent_name
        found = (matching.buried[key] for key in item.keys if key in matching.buried)
        if (refusal := buried(offer, found)) is not None:
            return Decided(issue, item, verdict, refusal)
        if verdict.rejected and offer.trust != "curated":
            doubt = f"a lesson for the same was rejected ({verdict.rejected})"
            offer = replace(offer, status="quarantined", reasons=(*offer.reasons, doubt))
        if not self._caller.person:
            offer = held_from_all(offer, agent_name, self._review)
        names = names_of_lesson(item)
        free = [name for name in names if (agent_name, name) not in matching.named]
        if not free:  # another lesson has every name that this one would get
            owner = matching.named[agent_name, names[0]]
            same = replace(verdict, lesson_id=owner, how="all its names", score=EXACT)
            return self._join(issue, item, same, owner)
        provenance = {"source": self._source, "catalogue": offer.catalogue_id}
        lesson_id = self.writer.create([issue], offer, free, provenance=provenance)
        self._name(lesson_id, agent_name, free)
        matching.made[lesson_id] = offer
        alike = "" if offer.trust == "curated" else self._sentence_on_alike(lesson_id, agent_name, offer)
        if offer.status == "quarantined":
            decision = Decision("quarantined", waiting(offer) + _alike(verdict) + alike, lesson_id)
        else:
            weakness = item.described if offer.trust == "curated" else None
            how = f" Its words describe {weakness.cwe}." if weakness else ""
            decision = Decision("created", _ORIGINS[offer.trust] + how + _alike(verdict) + alike, lesson_id)
        return Decided(issue, item, verdict, decision)

    def _with_own_words(self, issue: IssueEntry, item: Prepared, decision: Decision) -> Decision:
        """Keep what was offered beside a lesson of the catalogue or of a person as a lesson of its own.

        It never takes the reviewed lesson's place: the issue stays with that one. Returns the decision, which names it.
        """
        lesson_id, words = decision.lesson_id, item.beside
        if decision.action not in {"created", "merged"} or lesson_id is None:
            return decision
        if words is None and item.finding.lesson.strip():
            if item.refusal:
                return replace(decision, reason=f"{decision.reason} {item.refusal}")
            if item.offer is not None and item.offer.trust in UNOWNED and lesson_id not in self._matching.made:
                words = item.offer if self._matching.is_vouched_for(lesson_id) else None
        if words is None:
            return decision
        said = self._keep_beside(issue, words, lesson_id)
        return replace(decision, reason=f"{decision.reason} {said}".strip())

    def _keep_beside(self, issue: IssueEntry, words: Offer, lesson_id: str) -> str:
        """Plan a lesson in words that were offered beside another one, and return a sentence about it."""
        matching, agent_name, name = self._matching, issue.agent_name, text_name(words.text)
        if buried(words, (matching.buried[key] for key in (name,) if key in matching.buried)):
            return "The offered words were rejected before."
        taken = matching.named.get((agent_name, name)) or matching.named.get((SHARED_AGENT, name))
        matching.rest_on_words(agent_name)
        same = taken or self._alike_lessons.same(agent_name, words.text)
        if same:
            return "" if same == lesson_id else f"The offered words say what lesson {same} says."
        offer = beside(words, self._review, by_person=self._caller.person)
        if not self._caller.person:
            offer = held_from_all(offer, agent_name, self._review)
        waits = offer.status == "quarantined"
        provenance = {"source": self._source, "issue": issue.id, "beside": lesson_id}
        own_id = self.writer.propose(agent_name, offer, name, provenance, beside=lesson_id if waits else None)
        self._name(own_id, agent_name, (name,))
        matching.made[own_id] = offer
        self._alike_lessons.add(agent_name, own_id, offer.text)
        if waits:
            return f"The offered words wait for a person as proposal {own_id}: {'; '.join(offer.reasons)}."
        return f"The offered words are lesson {own_id}, served after it."

    def _sentence_on_alike(self, lesson_id: str, agent_name: str, offer: Offer) -> str:
        """Return a sentence about the lesson whose words are nearly those offered, or say the opposite."""
        self._matching.rest_on_words(agent_name)
        sentence = self._alike_lessons.sentence(agent_name, offer.text)
        self._alike_lessons.add(agent_name, lesson_id, offer.text)
        return f" {sentence}" if sentence else ""


_ORIGINS: Final[dict[str, str]] = {
    "curated": "New lesson from the catalogue.",
    "imported": "New lesson from the catalogue that is configured, on probation.",
    "offered": "New lesson in the reporter's words, on probation.",
    "scanner": "New lesson from the scanner's own rule description, on probation.",
}


def _alike(verdict: Verdict) -> str:
    """Return a sentence about the runner-up, for the reviewer; empty where there is none."""
    if verdict.runner_up is None:
        return ""
    kind = "lesson" if is_lesson_id(verdict.runner_up) else "pending issue"
    return f" It is a little like {kind} {verdict.runner_up} ({verdict.runner_up_score:.2f})."
