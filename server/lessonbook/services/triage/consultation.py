"""Consultation: one question to the language model about groups of issues — reserve them and money, ask, settle.

The model is asked outside any transaction. Afterwards only issues that are still pending and still reserved for this
question are settled, so two processes may work at once, and one may die in between.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from lessonbook.domain.agent_tools import RefinedIssue
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_status import SERVABLE
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.providers.language_model import LanguageModel, ModelFailed, Spent
from lessonbook.providers.question import Question
from lessonbook.screening.offer import reviewed
from lessonbook.search.tokenizer import words_of
from lessonbook.services.group_examples import LOOKED_AT, differing
from lessonbook.services.triage.abstraction import (
    COMMON_FIT_MIN,
    DESCRIPTION_MAX,
    EXAMPLES_MAX,
    PROMPT_HASH,
    UNRELATED,
    IssueGroup,
    PromptLesson,
    chosen,
    has_common_words,
    offer_of,
    question,
)
from lessonbook.services.triage.triage_run import GROUP_MAX, GroupReader, TriageRun
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.issue_writer import ACTIONS, IssueEntry, entry_of
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import issue_groups
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows

if TYPE_CHECKING:
    from lessonbook.providers.question import Abstraction
    from lessonbook.store.issues import IssueRow
    from lessonbook.store.types import Row

CANDIDATES_MAX: Final = 20
"""Lessons shown to the model beside the issues of a batch."""
SEARCHED_MAX: Final = 200
WORDS_MAX: Final = 60
LEASE_MARGIN: Final = timedelta(seconds=60)
MARK_BYTES: Final = 12
_COUNTS: Final = frozenset({"issues", *ACTIONS})


@dataclass(frozen=True, slots=True)
class QuestionBatch:
    """Groups of issues, reserved for one question to the model. `began` is of `time.perf_counter`, in seconds."""

    run_id: str
    groups: tuple[IssueGroup, ...]
    candidates: tuple[PromptLesson, ...]
    asked: Question
    began: float

    @property
    def issues(self) -> int:
        """The number of issues in all groups."""
        return sum(group.count for group in self.groups)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a question: a line per issue, what it used, and the failure, if any."""

    lines: list[RefinedIssue]
    spent: Spent
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Consultation:
    """Questions to one model about one project's backlog.

    The model is asked once about a group, and not again about one that it has answered for since `answered_since`.
    `agent_name`: only groups with an issue of that agent; empty: all.
    """

    work: Workspace
    caller: Caller
    model: LanguageModel
    agent_name: str
    answered_since: datetime

    async def claim(self, most: int) -> QuestionBatch | str | None:
        """Reserve groups with some `most` issues (the last one may exceed it), and what asking about them may cost.

        Returns None where no group is left, and a sentence where the day's ceiling would be exceeded.
        """
        mark = "data-" + self.work.random_bytes(MARK_BYTES).hex()
        began = time.perf_counter()
        project = self.caller.project

        def act(connection: Connection) -> QuestionBatch | str | None:
            issue_rows.take_turns(connection, project)
            now = self.work.now()
            groups = self._groups(connection, now, self.work.settings.refiner.batch_size, most)
            if not groups:
                return None
            candidates = self._candidates(connection, groups)
            asked = question(groups, candidates, mark)
            bound = self.model.most(asked)
            if over := self._over(connection, now, bound):
                return over
            triage = self._triage_run(connection, now, self.work.new_id("R"))
            run_id = triage.writer.run_id
            count = sum(group.count for group in groups)
            reserved = {"issues": count, "pending": count, "tokens": bound.tokens, "cost_usd": bound.cost_usd}
            agents = issue_groups.agents(connection, project, [group.id for group in groups]).values()
            triage.ledger.hold({SHARED_AGENT}.union(*agents))
            issue_rows.add_refinement_run(connection, triage.writer.row({**reserved, "error": issue_rows.UNDER_WAY}))
            issue_groups.claim(connection, project, [group.id for group in groups], run_id)
            return QuestionBatch(run_id, tuple(groups), tuple(candidates), asked, began)

        return await self.work.store.write(act)

    async def ask(self, batch: QuestionBatch) -> Outcome:
        """Ask the model about a batch and settle its issues. If the model fails they stay pending."""
        store = self.work.store
        try:
            answer, spent = await self.model.abstract(batch.asked)
        except ModelFailed as failed:
            spent, reason = failed.spent, failed.reason
            values = _record(batch, spent, reason)
            project, run_id = self.caller.project, batch.run_id
            await store.write(lambda connection: issue_rows.end_refinement_run(connection, project, run_id, values))
            return Outcome([], spent, reason)
        return Outcome(await store.write(lambda connection: self._settle(connection, batch, answer, spent)), spent)

    def estimate(self, connection: Connection, most: int) -> tuple[int, int, Spent]:
        """Return how many groups and issues would be asked about, and the most that this may use."""
        groups = self._groups(connection, self.work.now(), most, most)
        size, tokens, cost_usd = self.work.settings.refiner.batch_size, 0, 0.0
        for start in range(0, len(groups), size):
            part = groups[start : start + size]
            bound = self.model.most(question(part, self._candidates(connection, part), "data"))
            tokens, cost_usd = tokens + bound.tokens, cost_usd + bound.cost_usd
        return len(groups), sum(group.count for group in groups), Spent(tokens, cost_usd)

    def _groups(self, connection: Connection, now: datetime, limit: int, most: int) -> list[IssueGroup]:
        """Return at most `limit` groups to ask about, until they have `most` issues."""
        found = issue_groups.unasked(
            connection,
            self.caller.project,
            self.agent_name,
            model=self.model.name,
            prompt_hash=PROMPT_HASH,
            answered_since=self.answered_since,
            leased_since=now - timedelta(seconds=self.model.longest_s) - LEASE_MARGIN,
            limit=limit,
        )
        groups: list[IssueGroup] = []
        for counted in found:
            if sum(group.count for group in groups) >= most:
                break
            latest = issue_groups.latest(connection, self.caller.project, counted.group_id, LOOKED_AT)
            examples = tuple(entry_of(row) for row in differing(latest, EXAMPLES_MAX))
            groups.append(IssueGroup(counted.group_id, counted.issues, examples))
        return groups

    def _candidates(self, connection: Connection, groups: Sequence[IssueGroup]) -> list[PromptLesson]:
        """Return servable lessons that may fit the issues: their runners-up first, then by full-text search."""
        project = self.caller.project
        rows = issue_rows.find(connection, project, (issue.id for group in groups for issue in group.examples)).values()
        words = Counter(word for row in rows for word in dict.fromkeys(words_of(row.description[:DESCRIPTION_MAX])))
        nearest = [word for word, _ in words.most_common(WORDS_MAX)]
        scores = lesson_rows.search(connection, project, nearest, SEARCHED_MAX)
        suggested = [row.runner_up for row in rows if row.runner_up]
        ranked = list(dict.fromkeys([*suggested, *scores]))
        found = lesson_rows.find(connection, project, ranked)
        of_agents = {row.agent_name for row in rows} | {SHARED_AGENT}
        fitting = [
            found[lesson_id]
            for lesson_id in ranked
            if lesson_id in found and found[lesson_id].agent_name in of_agents and found[lesson_id].status in SERVABLE
        ]
        return [PromptLesson(lesson.id, lesson.lesson_text) for lesson in fitting[:CANDIDATES_MAX]]

    def _over(self, connection: Connection, now: datetime, bound: Spent) -> str:
        """Return why a request that may use `bound` would exceed the day's ceiling (UTC); empty if it would not."""
        settings = self.work.settings.refiner
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        tokens, cost_usd = issue_rows.spent_since(connection, self.caller.project, midnight)
        if settings.daily_tokens and tokens + bound.tokens > settings.daily_tokens:
            return (
                f"The day's ceiling: {tokens} of refiner.daily_tokens = {settings.daily_tokens} are used (UTC), "
                f"and the next request may take {bound.tokens}."
            )
        if settings.daily_cost_usd and cost_usd + bound.cost_usd > settings.daily_cost_usd:
            return (
                f"The day's ceiling: {cost_usd:.4f} of refiner.daily_cost_usd = {settings.daily_cost_usd:g} are used "
                f"(UTC), and the next request may cost {bound.cost_usd:.4f}."
            )
        return ""

    def _triage_run(self, connection: Connection, now: datetime, run_id: str) -> TriageRun:
        ledger = Ledger(self.work, self.caller, connection, now)
        return TriageRun(ledger, run_id, "llm", model=self.model.name, prompt_hash=PROMPT_HASH)

    def _settle(
        self, connection: Connection, batch: QuestionBatch, answer: Abstraction, spent: Spent
    ) -> list[RefinedIssue]:
        """Apply the answer to those issues that nobody has settled or claimed meanwhile."""
        project = self.caller.project
        triage = self._triage_run(connection, self.work.now(), batch.run_id)
        triage.hold((), {group.id: self._reader(group.id, batch.run_id) for group in batch.groups})
        mine = {place: found for place, group in enumerate(batch.groups) if (found := triage.of_group(group.id))}
        _apply(triage, batch, answer, mine)
        counts = {name: value for name, value in triage.writer.row().items() if name in _COUNTS}
        issue_rows.end_refinement_run(connection, project, batch.run_id, {**counts, **_record(batch, spent, "")})
        return triage.finish().issues

    def _reader(self, group_id: str, run_id: str) -> GroupReader:
        project = self.caller.project

        def read(connection: Connection, *, lock: bool) -> list[IssueRow]:
            return issue_groups.members(connection, project, group_id, GROUP_MAX, run_id=run_id, lock=lock)

        return read


def _record(batch: QuestionBatch, spent: Spent, error: str) -> Row:
    elapsed_ms = (time.perf_counter() - batch.began) * 1000
    return {"tokens": spent.tokens, "cost_usd": spent.cost_usd, "duration_ms": elapsed_ms, "error": error}


def _apply(
    triage: TriageRun, batch: QuestionBatch, answer: Abstraction, mine: Mapping[int, Sequence[IssueEntry]]
) -> None:
    """Settle the groups of `mine`, by their place in the batch, as the model's answer says."""
    used = chosen(answer, len(batch.groups), {candidate.id for candidate in batch.candidates})
    waiting = dict.fromkeys(mine, "The model said nothing of it.")
    waiting.update(dict.fromkeys(used.declined & mine.keys(), "The model saw no general rule in it."))
    ledger = triage.ledger
    known = lesson_rows.documents(ledger.connection, ledger.caller.project, (lesson_id for lesson_id, _ in used.fits))
    for lesson_id, places in used.fits:
        held = [place for place in places if place in mine]
        about = [
            place
            for place in held
            if has_common_words(known.get(lesson_id, ""), batch.groups[place].examples, COMMON_FIT_MIN)
        ]
        waiting.update(dict.fromkeys(held, UNRELATED))
        if about and triage.stands(lesson_id):
            triage.join_everywhere([issue for place in about for issue in mine[place]], lesson_id)
            waiting = {place: reason for place, reason in waiting.items() if place not in about}
    batched = [issue for group in batch.groups for issue in group.examples]
    for worded, places in used.lessons:
        held = [place for place in places if place in mine]
        about = [place for place in held if has_common_words(worded.lesson, batch.groups[place].examples, 1)]
        waiting.update(dict.fromkeys(held, UNRELATED))
        if not about:
            continue
        offer, refusal = offer_of(worded, [issue for place in about for issue in batch.groups[place].examples], batched)
        if offer is None:
            waiting.update(dict.fromkeys(about, refusal))
            continue
        offer = reviewed(offer, ledger.work.review_for(ledger.caller))
        triage.word_each([issue for place in about for issue in mine[place]], offer, offer.status)
        waiting = {place: reason for place, reason in waiting.items() if place not in about}
    for place, reason in waiting.items():
        triage.leave(mine[place], reason)
