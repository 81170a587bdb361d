"""Matching: which lesson an issue is an instance of, by exact names, by likeness, by what weakness its words tell.

Deliveries are never looked at: what was served must not decide what is counted as its failure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from lessonbook.models.lesson import Lesson
from lessonbook.models.vocabulary import SHARED_AGENT
from lessonbook.refinery.precedents import AMBIGUOUS, MEMBERS_MAX, Match, Precedents
from lessonbook.refinery.prepare import Prepared, Told
from lessonbook.refinery.rule_keys import tool_of
from lessonbook.services.workspace import Workspace, is_lesson_id
from lessonbook.store import lessons as lesson_rows

EXACT: Final = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What matching says of one issue.

    `lesson_id` is None where no lesson answers to it surely enough; `score` tells how sure (exact names: 1), `how` by
    what. `runner_up` is the next best: a lesson, or an issue that waits as this one does.
    """

    lesson_id: str | None = None
    how: str = ""
    score: float | None = None
    runner_up: str | None = None
    runner_up_score: float | None = None


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
        """The lessons met so far, their rows locked. Those that the transaction makes are not among them."""
        self.buried: dict[str, str] = {}
        """Rejected lessons by the exact name of their text, of whatever agent."""

    def look_up(self, prepared: Sequence[Prepared], agents: Iterable[str]) -> None:
        """Read the lessons that answer to exact names."""
        names = {key for item in prepared for key in (*item.keys, item.told.key if item.told else "") if key}
        self.named = lesson_rows.find_by_keys(self._connection, self._project, agents, names)
        self.buried = lesson_rows.rejected_texts(self._connection, self._project, names)
        self.known = lesson_rows.find(self._connection, self._project, self.named.values(), lock=True)

    def match(self, item: Prepared, agent_name: str) -> Verdict:
        """Return the lesson that an issue is an instance of, exact names first, and what else it is like."""
        owners = (agent_name,) if agent_name == SHARED_AGENT else (agent_name, SHARED_AGENT)
        if (exact := self._by_name(item, owners)) is not None:
            return exact
        if item.is_named:  # the catalogue knows its rule: a lesson of its own is surer than any likeness
            return Verdict()
        alike = [match for match in self._alike(item, owners) if match.is_sure or match.probability >= AMBIGUOUS]
        best = next((match for match in alike if match.is_sure and is_lesson_id(match.group)), None)
        second = next((match for match in alike if match is not best), None)
        runner_up = (second.group, round(second.probability, 4)) if second else (None, None)
        if best is not None:
            return Verdict(best.group, _like(best), round(best.probability, 4), *runner_up)
        if item.told is not None and (lesson_id := self._owner(item.told.key, owners)) is not None:
            if self._answers(lesson_id, item.told, owners):
                return Verdict(lesson_id, f"what its words tell, {item.told.cwe}", item.told.strength, *runner_up)
            return Verdict(None, "", None, lesson_id, item.told.strength)
        return Verdict(None, "", None, *runner_up)

    def learn(self, item: Prepared, agent_name: str, issue_id: str, lesson_id: str | None) -> None:
        """Let later issues of this transaction be compared with this one."""
        precedents, group = self._of(agent_name), lesson_id or issue_id
        if len(precedents.members_of(group)) < MEMBERS_MAX:
            precedents.put(issue_id, group, item.description)

    def lesson(self, lesson_id: str) -> Lesson | None:
        """Return a lesson with its row locked; None for one that this transaction makes."""
        if lesson_id not in self.known:
            self.known |= lesson_rows.find(self._connection, self._project, [lesson_id], lock=True)
        return self.known.get(lesson_id)

    def _by_name(self, item: Prepared, owners: Sequence[str]) -> Verdict | None:
        for key in item.keys:
            for owner in owners:
                lesson_id = self.named.get((owner, key))
                if lesson_id is None or (key.startswith("text:") and self._is_other_rule(item, lesson_id)):
                    continue
                return Verdict(lesson_id, _told(key), EXACT)
        return None

    def _answers(self, lesson_id: str, told: Told, owners: Sequence[str]) -> bool:
        """Tell whether a curated lesson is surely the one for a weakness.

        It was seen for it before; or never for anything, and the weakness is what it is about first of all.
        """
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
        rules = {name.removeprefix("rule:") for name in names if name.startswith("rule:")}
        if is_lesson_id(lesson_id) and (lesson := self.lesson(lesson_id)) is not None:
            if lesson.status == "rejected":
                return False
            curated = self._work.catalogue.find(f"catalogue:{lesson.provenance.get('catalogue')}")
            rules.update(filter(None, (lesson.rule_key, *(curated.keys if curated else ()))))
        return any(tool_of(rule) == tool_of(item.rule_key) for rule in rules)


def _told(key: str) -> str:
    kind, _, name = key.partition(":")
    match kind:
        case "rule":
            return f"rule {name}"
        case "catalogue":
            return f"catalogue entry {name}"
        case "text":
            return "the offered text"
        case _:
            return "the same description"


def _like(match: Match) -> str:
    return "likeness of the words" if is_lesson_id(match.member) else f"likeness to issue {match.member}"
