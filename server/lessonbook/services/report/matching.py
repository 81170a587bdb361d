"""Matching: the lessons that an issue may be an instance of, looked up for `dedup/precedence_table` to decide.

Deliveries are never looked at: what was served must not decide what is counted as its failure.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection

from lessonbook.dedup.known_groups import MEMBERS_MAX, GroupMatch, Precedents
from lessonbook.dedup.precedence_table import Candidate, IssueFacts, Link, Verdict, decide, is_other_rule
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_names import group_name, kind_of, rule_name, text_name, value_of
from lessonbook.domain.lesson_status import Status
from lessonbook.domain.vocabulary import SHARED_AGENT, VOUCHED, Trust
from lessonbook.screening.offer import Offer
from lessonbook.services.report.preparation import DescribedWeakness, Prepared
from lessonbook.services.workspace import Workspace, is_lesson_id
from lessonbook.services.writing.issue_writer import stands_as
from lessonbook.store import lessons as lesson_rows

_UNKNOWN: Final = (None, None, False)
"""What is known of a lesson that is not there."""


class Matching:
    """The lessons and issues that those of one report are compared with, including those it adds itself.

    Everything is read without locks, by a transaction that may have ended when the report is written: `still_holds`
    tells whether all of it is as it was.
    """

    def __init__(self, work: Workspace, caller: Caller, connection: Connection) -> None:
        self._work = work
        self._principal = caller.principal
        self._project = caller.project
        self._connection = connection
        self._precedents: dict[str, Precedents] = {}
        self._learned: dict[str, list[tuple[str, str, str]]] = {}
        """Issues of this report that its later ones are compared with, by agent: id, group, description."""
        self._agents: set[str] = set()
        self._names: set[str] = set()
        self._named_before: dict[tuple[str, str], str] = {}
        self._missing: set[str] = set()
        """Lessons that the memory has, and the transaction does not see."""
        self.named: dict[tuple[str, str], str] = {}
        """Lesson ids by agent and exact name."""
        self.known: dict[str, Lesson] = {}
        """The lessons read so far, as they were when they were read, without those that the report makes."""
        self.buried: dict[str, str] = {}
        """Rejected lessons of any agent by the exact name of their text."""
        self.made: dict[str, Offer] = {}
        """The lessons that the report makes."""

    def look_up(self, prepared: Sequence[Prepared], agents: Collection[str]) -> None:
        """Read the lessons that have one of the issues' exact names."""
        names = {key for item in prepared for key in (*item.keys, *(item.described.names if item.described else ()))}
        names.update(group_name(item.group_id) for item in prepared if item.rule_key)
        names.update(text_name(item.beside.text) for item in prepared if item.beside)
        self._agents, self._names = set(agents), names
        self._named_before = lesson_rows.find_by_keys(self._connection, self._project, agents, names)
        self.named = dict(self._named_before)
        self.buried = lesson_rows.rejected_texts(self._connection, self._project, names)
        self.known = lesson_rows.find(self._connection, self._project, self.named.values())

    def still_holds(self, connection: Connection, again: Mapping[str, Lesson] = MappingProxyType({})) -> bool:
        """Return whether all that was read is as it was, seen by a transaction that has not written yet.

        `again` are lessons that it has read already.
        """
        project, work = self._project, self._work
        rest = (self.known.keys() | self._missing) - again.keys()
        found = {**again, **lesson_rows.find(connection, project, rest)}
        return (
            lesson_rows.find_by_keys(connection, project, self._agents, self._names) == self._named_before
            and lesson_rows.rejected_texts(connection, project, self._names) == self.buried
            and self._missing.isdisjoint(found)
            and all(stands_as(known, found.get(lesson_id)) for lesson_id, known in self.known.items())
            and all(
                work.precedent_caches.is_current(connection, project, agent_name, precedents)
                for agent_name, precedents in self._precedents.items()
            )
        )

    def match(self, item: Prepared, agent_name: str) -> Verdict:
        """Return which lesson an issue is an instance of, by the table of `dedup/precedence_table`."""
        owners = (agent_name,) if agent_name == SHARED_AGENT else (agent_name, SHARED_AGENT)
        offer = item.offer
        facts = IssueFacts(
            is_named=item.is_named,
            brings_lesson=offer is not None and offer.status != "quarantined",
            brings_owner=item.owns_rule and offer is not None and offer.status != "quarantined",
            can_be_curated=item.described is not None and (offer is None or offer.trust == "curated"),
        )
        return decide(facts, self._candidates(item, owners))

    def is_taken(self, item: Prepared, agent_name: str) -> bool:
        """Return whether the agent already has the catalogue lesson that would be made for the issue's CWE."""
        described, offer = item.described, item.offer
        if described is None or offer is None or offer.catalogue_id != described.rule.id:
            return False
        return (agent_name, described.key) in self.named

    def learn(self, item: Prepared, agent_name: str, issue_id: str, lesson_id: str | None) -> None:
        """Compare the issues that come later with this one, too."""
        self._learned.setdefault(agent_name, []).append((issue_id, lesson_id or issue_id, item.description))

    def rest_on_words(self, agent_name: str) -> None:
        """Note that a decision rests on what the lessons of the agent and of all agents say."""
        for owner in (agent_name, SHARED_AGENT):
            self._of(owner)

    def lesson(self, lesson_id: str) -> Lesson | None:
        """Return a lesson; None for one that this report makes."""
        if lesson_id not in self.known and lesson_id not in self.made and lesson_id not in self._missing:
            self.known |= lesson_rows.find(self._connection, self._project, [lesson_id])
            if lesson_id not in self.known:
                self._missing.add(lesson_id)
        return self.known.get(lesson_id)

    def _candidates(self, item: Prepared, owners: Sequence[str]) -> Iterator[Candidate]:
        yield from self._named(item, owners)
        if not item.is_named:  # else all others would be passed over, and finding them takes milliseconds
            yield from self._alike(item, owners)
            yield from self._for_weakness(item, owners)

    def _named(self, item: Prepared, owners: Sequence[str]) -> Iterator[Candidate]:
        groups = (group_name(item.group_id),) if item.rule_key else ()
        for key in (*item.keys, *groups):
            by = kind_of(key)
            for owner in owners:
                lesson_id = self.named.get((owner, key))
                if by is None or lesson_id is None:
                    continue
                status, trust, is_hidden = self._standing(lesson_id)
                yield Candidate(
                    by,
                    lesson_id,
                    _words_for(key),
                    key,
                    status=status,
                    trust=trust,
                    is_own=owner == owners[0],
                    is_other_rule=by == "text" and self._is_other_rule(item, lesson_id),
                    is_hidden=is_hidden,
                )

    def _alike(self, item: Prepared, owners: Sequence[str]) -> Iterator[Candidate]:
        found = [match for owner in owners for match in self._of(owner).matches(item.description)]
        for match in sorted(found, key=lambda match: match.rank):
            is_looked_up = match.is_sure and is_lesson_id(match.group)
            status, trust, is_hidden = self._standing(match.group) if is_looked_up else _UNKNOWN
            yield Candidate(
                "likeness",
                match.group,
                _like(match),
                probability=match.probability,
                is_sure=match.is_sure,
                status=status,
                trust=trust,
                is_other_rule=self._is_other_rule(item, match.group),
                is_hidden=is_hidden,
            )

    def _for_weakness(self, item: Prepared, owners: Sequence[str]) -> Iterator[Candidate]:
        if (described := item.described) is None:
            return
        found = (self.named.get((owner, described.key)) for owner in owners)
        if (lesson_id := next(filter(None, found), None)) is None:
            return
        status, trust, is_hidden = self._standing(lesson_id)
        yield Candidate(
            "weakness",
            lesson_id,
            f"what its words describe, {described.cwe}",
            probability=described.strength,
            link=self._link(lesson_id, described, owners),
            status=status,
            trust=trust,
            is_hidden=is_hidden,
        )

    def _standing(self, lesson_id: str) -> tuple[Status | None, Trust | None, bool]:
        """Return a lesson's status and trust, and whether it is served to another principal alone.

        There is none where the cache has one whose transaction was rolled back.
        """
        if (made := self.made.get(lesson_id)) is not None:
            return made.status, made.trust, False
        known = self.lesson(lesson_id)
        return (known.status, known.trust, not known.is_visible_to(self._principal)) if known else _UNKNOWN

    def is_vouched_for(self, lesson_id: str) -> bool:
        """Return whether the catalogue or a person vouches for a lesson."""
        if (made := self.made.get(lesson_id)) is not None:
            return made.trust in VOUCHED
        known = self.lesson(lesson_id)
        return known is not None and known.is_vouched_for

    def _link(self, lesson_id: str, described: DescribedWeakness, owners: Sequence[str]) -> Link:
        if any(self.named.get((owner, rule_name(described.cwe))) == lesson_id for owner in owners):
            return "named"
        if any(self._of(owner).tell(lesson_id, described.cwe) for owner in owners):
            return "seen"
        is_fresh = all(self._of(owner).members_of(lesson_id) in ([], [lesson_id]) for owner in owners)
        return "chief" if is_fresh and described.is_chief else ""

    def _of(self, agent_name: str) -> Precedents:
        if agent_name not in self._precedents:
            work = self._work
            self._precedents[agent_name] = work.precedent_caches.fresh(
                self._connection, self._project, agent_name, work.catalogue
            )
        precedents = self._precedents[agent_name]
        for issue_id, group, description in self._learned.pop(agent_name, ()):
            if len(precedents.members_of(group)) < MEMBERS_MAX:
                precedents.put(issue_id, group, description)
        return precedents

    def _is_other_rule(self, item: Prepared, lesson_id: str) -> bool:
        """Return whether a lesson is named by another rule of the tool that named the issue's rule."""
        if not item.rule_key:
            return False
        names = [name for (_, name), named in self.named.items() if named == lesson_id]
        if (made := self.made.get(lesson_id)) is not None and made.rule_key:
            names.append(rule_name(made.rule_key))
        lesson = self.lesson(lesson_id) if is_lesson_id(lesson_id) else None
        return is_other_rule(item.rule_key, lesson, self._work.catalogue, names)


def _words_for(key: str) -> str:
    match kind_of(key):
        case "rule":
            return f"rule {value_of(key)}"
        case "catalogue":
            return f"catalogue entry {value_of(key)}"
        case "group":
            return "what was decided for issues of its rule"
        case "text":
            return "the offered text"
        case _:
            return "the same description"


def _like(match: GroupMatch) -> str:
    return "likeness of the words" if is_lesson_id(match.member) else f"likeness to issue {match.member}"
