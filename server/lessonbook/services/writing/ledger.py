"""Making and changing lessons: every change is a row in the history and an entry in the audit trail."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from lessonbook.domain.errors import NotFound
from lessonbook.domain.lesson import Caller, Lesson, LessonWords
from lessonbook.domain.lesson_names import content_hash, text_name
from lessonbook.domain.lesson_status import SERVABLE, Action, Status, allowed_targets
from lessonbook.domain.token_estimate import estimate_lesson_tokens
from lessonbook.domain.vocabulary import UNOWNED
from lessonbook.experiment.effect import effect_before
from lessonbook.screening.offer import Offer
from lessonbook.search.subjects import document_of
from lessonbook.services.workspace import Workspace
from lessonbook.store import audit
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.engine import Retry
from lessonbook.store.types import Row


@dataclass(slots=True)
class Ledger:
    """Everything one transaction changes about lessons, written together at its end.

    A transaction reads first, without locks. Then it holds the agents whose lessons it will write, once and before it
    writes anything, and reads again what it writes. So writers of one agent take turns, and there is no deadlock. The
    revision counters come last: they are locked until the commit. `documents` has what full-text search is to read of
    lessons, by lesson id. What is planned may be planned in an earlier transaction than that which writes: see `enter`.
    """

    work: Workspace
    caller: Caller
    connection: Connection
    now: datetime
    _lessons: list[Row] = field(default_factory=list[Row])
    _keys: list[Row] = field(default_factory=list[Row])
    _aliases: list[Row] = field(default_factory=list[Row])
    _versions: list[Row] = field(default_factory=list[Row])
    documents: dict[str, str] = field(default_factory=dict[str, str])
    _audit: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list[tuple[str, str, dict[str, Any]]])
    _changed: dict[str, str] = field(default_factory=dict[str, str])
    _made: dict[str, str] = field(default_factory=dict[str, str])
    _held: frozenset[str] | None = None

    def hold(self, agent_names: Iterable[str]) -> None:
        """Keep other transactions from changing lessons of these agents until the commit.

        Raises:
            RuntimeError: other agents are held already. Two transactions that hold one after the other may deadlock.
        """
        wanted = frozenset(agent_names)
        if self._held is not None:
            if wanted <= self._held:
                return
            raise RuntimeError("all agents whose lessons a transaction writes are held at once")
        self._held = wanted
        if wanted:
            lesson_rows.hold_agents(self.connection, self.caller.project, wanted)

    def enter(self, connection: Connection, now: datetime, held: Iterable[str]) -> None:
        """Go on in a transaction that writes, and holds these agents already."""
        self.connection, self.now, self._held = connection, now, frozenset(held)

    def lessons(self, lesson_ids: Iterable[str]) -> dict[str, Lesson]:
        """Return those of the lessons that exist, by id, and hold their agents if none are held yet.

        A lesson of an agent that is not held is returned without a lock: it must not be written.
        """
        looked = lesson_rows.find(self.connection, self.caller.project, lesson_ids)
        if self._held is None:
            self.hold(lesson.agent_name for lesson in looked.values())
        held = self._held or frozenset()
        mine = [lesson.id for lesson in looked.values() if lesson.agent_name in held]
        return looked | lesson_rows.find(self.connection, self.caller.project, mine, lock=True)

    def lesson(self, lesson_id: str) -> Lesson:
        """Return one lesson. See `lessons`.

        Raises:
            NotFound: it does not exist.
        """
        if (found := self.lessons([lesson_id]).get(lesson_id)) is None:
            raise NotFound.lesson(lesson_id, self.caller.project)
        return found

    def _change(self, lesson_id: str, agent_name: str) -> None:
        if self._held is None or agent_name not in self._held:
            raise RuntimeError(f"lessons of {agent_name} are written without holding the agent")
        self._changed[lesson_id] = agent_name

    def create(
        self,
        agent_name: str,
        offer: Offer,
        *,
        keys: tuple[str, ...] = (),
        provenance: Mapping[str, Any],
        status: Status | None = None,
        pinned: bool = False,
        issue_count: int = 0,
        proposal_for: str | None = None,
    ) -> str:
        """Plan a new lesson, and return its id. `status` replaces the offer's; without `keys` its text names it."""
        lesson_id = self.work.new_id("L")
        status = status or offer.status
        visible_to = self._audience(offer)
        reasons = "; ".join(offer.reasons)
        effect = effect_before()
        self._lessons.append(
            {
                "project": self.caller.project,
                "id": lesson_id,
                "agent_name": agent_name,
                **offer.as_row(),
                "rule_key": offer.rule_key,
                "status": status,
                "is_active": status in SERVABLE and visible_to is None,
                "visible_to": visible_to,
                "proposal_for": proposal_for,
                "pinned": pinned,
                "trust": offer.trust,
                "author": self.caller.principal,
                "approved_by": self.caller.principal if offer.trust == "approved" else None,
                "provenance": {**provenance, **offer.holds.as_provenance()},
                "issue_count": issue_count,
                "effectiveness_score": effect.mean,
                "effect_low": effect.low,
                "effect_high": effect.high,
                "status_reason": reasons,
                "last_seen_at": self.now if issue_count else None,
                "expires_at": self.expiry() if status == "probation" else None,
                "content_hash": content_hash(offer.text),
                "token_count": estimate_lesson_tokens(offer.text, offer.why),
                "created_at": self.now,
                "updated_at": self.now,
            }
        )
        self._keys += self._rows(lesson_id, agent_name, keys or (text_name(offer.text),))
        self.documents[lesson_id] = document_of(offer.text, offer.why, offer.rule_key, offer.category)
        self._version(lesson_id, 1, 1, "create", reasons or offer.trust, status, offer, {})
        self._audit.append(("lesson.create", lesson_id, {"status": status, "trust": offer.trust, "agent": agent_name}))
        self._made[lesson_id] = agent_name
        return lesson_id

    def _audience(self, offer: Offer) -> str | None:
        """Return the one principal to whom a new lesson is served; None: to all."""
        if offer.trust not in UNOWNED or self.caller.person or self.work.review_for(self.caller) != "others":
            return None
        return self.caller.principal

    def expiry(self) -> datetime:
        """Return when a lesson on probation expires if its issue is not reported and nobody gives a verdict."""
        return self.now + timedelta(days=self.work.settings.learning.ttl_days)

    def name(self, lesson_id: str, agent_name: str, keys: tuple[str, ...]) -> None:
        """Plan further exact names for a lesson. A name that is taken stays with its lesson."""
        self._aliases += self._rows(lesson_id, agent_name, keys)

    def _rows(self, lesson_id: str, agent_name: str, keys: tuple[str, ...]) -> list[Row]:
        return [
            {"project": self.caller.project, "agent_name": agent_name, "key": key, "lesson_id": lesson_id}
            for key in keys
        ]

    def start_counts(self, sightings: Mapping[str, int]) -> None:
        """Set the issue counts of planned lessons, by id."""
        for row in self._lessons:
            row["issue_count"] = sightings.get(row["id"], row["issue_count"])

    def set(self, lesson: Lesson, values: Row) -> None:
        """Set counters of a lesson at once. They are evidence, so its history gets no entry."""
        self.set_each([(lesson, values)])

    def set_each(self, changes: Sequence[tuple[Lesson, Row]]) -> None:
        """Set counters of lessons at once; see `set`."""
        for lesson, _ in changes:
            self._change(lesson.id, lesson.agent_name)
        rows = {lesson.id: {**values, "updated_at": self.now} for lesson, values in changes}
        lesson_rows.change_each(self.connection, self.caller.project, rows)

    def move(
        self, lesson: Lesson, action: Action, reason: str, values: Row, numbers: Mapping[str, Any] | None = None
    ) -> None:
        """Change a lesson's words or status at once, and plan the entries of its history and the audit trail.

        Raises:
            InvalidInput: the lesson's status does not allow the action.
            RuntimeError: the action does not lead to the status in `values`.
        """
        self._change(lesson.id, lesson.agent_name)
        status: Status = values.get("status", lesson.status)
        if status not in allowed_targets(lesson.id, action, lesson.status):
            raise RuntimeError(f"{action!r} does not make a lesson that is {lesson.status} {status}")
        words = LessonWords.of_row(lesson.words.as_row() | values)
        version = lesson.version + (words != lesson.words or "rationale" in values)
        written: Row = {
            **values,
            "version": version,
            "is_active": status in SERVABLE and values.get("visible_to", lesson.visible_to) is None,
            "status_reason": reason,
            "updated_at": self.now,
        }
        lesson_rows.change(self.connection, self.caller.project, lesson.id, written)
        change = lesson_rows.last_change(self.connection, self.caller.project, lesson.id) + 1
        self._version(lesson.id, change, version, action, reason, status, words, numbers or {})
        self.note(
            f"lesson.{action}",
            lesson.id,
            {"from": lesson.status, "to": status, "reason": reason, **(numbers or {})},
        )

    def note(self, action: str, subject: str, details: Mapping[str, Any]) -> None:
        """Plan an audit entry. Of a `reason` it has the hash alone: words can be erased, a chain of hashes cannot."""
        entry = dict(details)
        if reason := str(entry.pop("reason", "")):
            entry["reason_sha256"] = hashlib.sha256(reason.encode()).hexdigest()
        self._audit.append((action, subject, entry))

    def flush(self) -> bool:
        """Write the lessons planned so far; returns False if a name of a new lesson was taken meanwhile."""
        for lesson_id, agent_name in self._made.items():
            self._change(lesson_id, agent_name)
        self._made.clear()
        lesson_rows.add(self.connection, self._lessons)
        if lesson_rows.add_keys(self.connection, self._keys) != len(self._keys):
            return False
        lesson_rows.add_keys(self.connection, self._aliases)
        lesson_rows.add_versions(self.connection, self._versions)
        lesson_rows.put_documents(self.connection, self.caller.project, self.documents)
        for planned in (self._lessons, self._keys, self._aliases, self._versions, self.documents):
            planned.clear()
        return True

    def write(self) -> None:
        """Write all that was planned, the audit entries and last the revisions.

        Raises:
            Retry: a name of a new lesson was taken meanwhile.
        """
        if not self.flush():
            raise Retry
        audit.append(
            self.connection,
            project=self.caller.project,
            writer=self.work.writer,
            principal=self.caller.principal,
            entries=self._audit,
            now=self.now,
        )
        lesson_rows.mark_changed(self.connection, self.caller.project, self._changed)

    def _version(
        self,
        lesson_id: str,
        change: int,
        version: int,
        action: str,
        reason: str,
        status: Status,
        words: LessonWords,
        numbers: Mapping[str, Any],
    ) -> None:
        self._versions.append(
            {
                "project": self.caller.project,
                "lesson_id": lesson_id,
                "change": change,
                "version": version,
                "action": action,
                "principal": self.caller.principal,
                "reason": reason,
                "status": status,
                **words.as_row(),
                "numbers": dict(numbers),
                "changed_at": self.now,
            }
        )
