"""Matching: which lesson an issue is an instance of, by exact names, by likeness, by what weakness its words tell.

Deliveries are never looked at: what was served must not decide what is counted as its failure.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from lessonbook.classify.rule_keys import tool_of
from lessonbook.dedup.precedents import AMBIGUOUS, MEMBERS_MAX, MERGE, Match, Precedents
from lessonbook.domain.lesson import Lesson
from lessonbook.domain.lesson_names import catalogue_name, kind_of, names_rule, rule_name, value_of
from lessonbook.domain.lesson_status import TOMBSTONES
from lessonbook.domain.vocabulary import SHARED_AGENT, VOUCHED, Trust
from lessonbook.services.preparation import Offer, Prepared, Told
from lessonbook.services.workspace import Workspace, is_lesson_id
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.engine import Retry

EXACT: Final = 1.0
_OF_RULES: Final[frozenset[Trust]] = frozenset({"curated", "approved", "scanner"})
"""Whose rejected lessons bury their rule: what an author merely offered does not."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What matching says of one issue.

    `lesson_id` is None where no lesson answers to it surely enough; `score` tells how sure (exact names: 1), `how` by
    what, `name` by which exact name. `runner_up` is the next best: a lesson, or an issue that waits as this one does.
    `rejected` is a lesson for the same that was rejected, though not for these very words.
    """

    lesson_id: str | None = None
    how: str = ""
    score: float | None = None
    runner_up: str | None = None
    runner_up_score: float | None = None
    name: str = ""
    rejected: str = ""


class Matching:
    """What one transaction knows of a project's lessons and issues, including what it adds itself."""

    def __init__(self, work: Workspace, project: str, connection: Connection) -> None:
        self._work = work
        self._project = project
        self._connection = connection
        self._precedents: dict[str, Precedents] = {}
        self.named: dict[tuple[str, str], str] = {}
        """Lesson ids by agent and exact name."""
        self.known: dict[str, Lesson] = {}
        """The lessons met so far, as they were when they were met. Those that the transaction makes are not among them.

        Nothing is locked by looking: what is written is read again once its agents are held.
        """
        self.buried: dict[str, str] = {}
        """Rejected lessons by the exact name of their text, of whatever agent."""
        self.made: dict[str, Offer] = {}
        """The lessons that the transaction makes."""

    def look_up(self, prepared: Sequence[Prepared], agents: Collection[str]) -> None:
        """Read the lessons that answer to exact names, and what there is to compare with before anything is written."""
        names = {key for item in prepared for key in (*item.keys, *(item.told.names if item.told else ()))}
        for agent_name in {*agents, SHARED_AGENT}:
            self._of(agent_name)
        self.named = lesson_rows.find_by_keys(self._connection, self._project, agents, names)
        self.buried = lesson_rows.rejected_texts(self._connection, self._project, names)
        self.known = lesson_rows.find(self._connection, self._project, self.named.values())

    def match(self, item: Prepared, agent_name: str) -> Verdict:
        """Return the lesson that an issue is an instance of, exact names first, and what else it is like."""
        owners = (agent_name,) if agent_name == SHARED_AGENT else (agent_name, SHARED_AGENT)
        exact = self._by_name(item, owners)
        if exact.lesson_id is not None or item.is_named:
            return exact  # where the catalogue knows the rule, a lesson of its own is surer than any likeness
        alike = [match for match in self._alike(item, owners) if match.is_sure or match.probability >= AMBIGUOUS]
        best = next((match for match in alike if self._joins(item, match)), None)
        second = next((match for match in alike if match is not best), None)
        runner_up = (second.group, round(second.probability, 4)) if second else (None, None)
        if best is not None:
            return Verdict(best.group, _like(best), round(best.probability, 4), *runner_up)
        rejected = next((match.group for match in alike if match.is_sure and self._is_rejected(match.group)), "")
        if item.told is not None and (lesson_id := self._owner(item.told.key, owners)) is not None:
            if self._answers(lesson_id, item.told, owners):
                return Verdict(lesson_id, f"what its words tell, {item.told.cwe}", item.told.strength, *runner_up)
            return Verdict(runner_up=lesson_id, runner_up_score=item.told.strength)
        return Verdict(None, "", None, *runner_up, rejected=exact.rejected or rejected)

    def learn(self, item: Prepared, agent_name: str, issue_id: str, lesson_id: str | None) -> None:
        """Let later issues of this transaction be compared with this one."""
        precedents, group = self._of(agent_name), lesson_id or issue_id
        if len(precedents.members_of(group)) < MEMBERS_MAX:
            precedents.put(issue_id, group, item.description)

    def lesson(self, lesson_id: str) -> Lesson | None:
        """Return a lesson; None for one that this transaction makes."""
        if lesson_id not in self.known:
            self.known |= lesson_rows.find(self._connection, self._project, [lesson_id])
        return self.known.get(lesson_id)

    def look_again(self, lesson_ids: Collection[str]) -> None:
        """Read lessons again that are to be written, now that their agents are held.

        Raises:
            Retry: somebody changed one after it was looked at, so that what was decided may not hold; counters may.
        """
        found = lesson_rows.find(self._connection, self._project, lesson_ids, lock=True)
        for lesson in found.values():
            before = self.known[lesson.id]
            if (before.status, before.version, before.trust) != (lesson.status, lesson.version, lesson.trust):
                raise Retry
        self.known |= found

    def _by_name(self, item: Prepared, owners: Sequence[str]) -> Verdict:
        """Return the lesson that answers to an exact name, the most telling name first.

        Where the catalogue knows the rule, only the rule's names count: words are anybody's. A lesson that waits for a
        person takes no issue that brings a better one, and what somebody offered and a person rejected buries no rule.
        """
        rejected = ""
        for key in item.keys:
            kind = kind_of(key)
            if item.is_named and not names_rule(key):
                continue
            for owner in owners:
                lesson_id = self.named.get((owner, key))
                if lesson_id is None or (kind == "text" and self._is_other_rule(item, lesson_id)):
                    continue
                if (kind != "text" or owner != owners[0]) and self._is_outdone(item, lesson_id):
                    continue  # the same words wait for the same agent again, though not where all agents' do
                if kind == "rule" and self._is_rejected(lesson_id) and self._trust(lesson_id) not in _OF_RULES:
                    rejected = lesson_id
                    continue
                return Verdict(lesson_id, _told(key), EXACT, name=key)
        return Verdict(rejected=rejected)

    def _joins(self, item: Prepared, match: Match) -> bool:
        """Tell whether likeness is enough for an issue to join a lesson, given who vouches for the lesson."""
        if not match.is_sure or not is_lesson_id(match.group) or not self._stands(match.group):
            return False
        if self._is_outdone(item, match.group):
            return False
        if self._trust(match.group) in VOUCHED:  # before a curated one is made
            return True
        can_be_curated = item.told is not None and (item.offer is None or item.offer.trust == "curated")
        return match.probability >= MERGE and not can_be_curated

    def _is_outdone(self, item: Prepared, lesson_id: str) -> bool:
        """Tell whether a lesson waits for a person while the issue brings one that does not."""
        if item.offer is None or item.offer.status == "quarantined":
            return False
        lesson = self.lesson(lesson_id)
        return (lesson.status if lesson else self.made[lesson_id].status) == "quarantined"

    def _stands(self, lesson_id: str) -> bool:
        """Tell whether a remembered lesson is there and its own: memory may be ahead of what was rolled back."""
        lesson = self.lesson(lesson_id)
        return lesson_id in self.made if lesson is None else lesson.status not in TOMBSTONES

    def _is_rejected(self, lesson_id: str) -> bool:
        lesson = self.lesson(lesson_id) if is_lesson_id(lesson_id) else None
        return lesson is not None and lesson.status == "rejected"

    def _trust(self, lesson_id: str) -> Trust:
        lesson = self.lesson(lesson_id)
        return lesson.trust if lesson else self.made[lesson_id].trust

    def _answers(self, lesson_id: str, told: Told, owners: Sequence[str]) -> bool:
        """Tell whether a curated lesson is surely the one for a weakness.

        It answers to it by name, was seen for it before, or never for anything and is about it first of all.
        """
        if any(self.named.get((owner, rule_name(told.cwe))) == lesson_id for owner in owners):
            return True
        if any(self._of(owner).tell(lesson_id, told.cwe) for owner in owners):
            return True
        is_fresh = all(self._of(owner).members_of(lesson_id) in ([], [lesson_id]) for owner in owners)
        return is_fresh and told.is_chief

    def _owner(self, key: str, owners: Sequence[str]) -> str | None:
        return next((self.named[owner, key] for owner in owners if (owner, key) in self.named), None)

    def _alike(self, item: Prepared, owners: Sequence[str]) -> list[Match]:
        """Return what the issue is like, the most probable first; two rules of one tool are never alike."""
        found = [match for owner in owners for match in self._of(owner).matches(item.description)]
        allowed = [match for match in found if not self._is_other_rule(item, match.group)]
        return sorted(allowed, key=lambda match: (not match.is_sure, not match.same_weakness, -match.probability))

    def _of(self, agent_name: str) -> Precedents:
        if agent_name not in self._precedents:
            work = self._work
            self._precedents[agent_name] = work.recalls.fresh(
                self._connection, self._project, agent_name, work.catalogue
            )
        return self._precedents[agent_name]

    def _is_other_rule(self, item: Prepared, lesson_id: str) -> bool:
        """Tell whether a lesson answers to another rule of the tool that named this issue's.

        Scanners give many rules the same words, and two rules of one tool are two lessons.
        """
        if not item.rule_key:
            return False
        names = {name for (_, name), owner in self.named.items() if owner == lesson_id}
        rules = {value_of(name) for name in names if kind_of(name) == "rule"}
        if is_lesson_id(lesson_id) and (lesson := self.lesson(lesson_id)) is not None:
            if lesson.status == "rejected":
                return False
            curated = self._work.catalogue.find(catalogue_name(lesson.provenance.get("catalogue", "")))
            rules.update(filter(None, (lesson.rule_key, *(curated.keys if curated else ()))))
        return any(tool_of(rule) == tool_of(item.rule_key) for rule in rules)


def _told(key: str) -> str:
    match kind_of(key):
        case "rule":
            return f"rule {value_of(key)}"
        case "catalogue":
            return f"catalogue entry {value_of(key)}"
        case "text":
            return "the offered text"
        case _:
            return "the same description"


def _like(match: Match) -> str:
    return "likeness of the words" if is_lesson_id(match.member) else f"likeness to issue {match.member}"
