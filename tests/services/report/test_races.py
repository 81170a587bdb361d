"""What others write between a report's decisions and its writing: it comes out as if it had been decided after them."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lessonbook.domain.lesson import Caller
from lessonbook.domain.pending_issues import Authoring, PendingListing
from lessonbook.domain.validation import parse
from lessonbook.services.lessons import merge
from lessonbook.services.queries import listings
from lessonbook.services.report.decisions import Decisions
from lessonbook.services.triage import authoring, rematch
from lessonbook.services.workspace import Workspace
from lessonbook.store import tables
from tests.services.conftest import AGENT, Loop

pytestmark = pytest.mark.anyio

ROUNDING = "The invoice total is rounded to whole euros before tax is added\nbilling/totals.py: total = round(net)"
ROUNDING_AGAIN = "The order total is rounded to whole euros before tax is added\nshop/cart.py: amount = round(x)"
ADVICE = "Round money once, at the end, and never before tax is added."
ADVICE_AGAIN = "Round money once, at the very end, and never before the tax is added."
OTHER_ADVICE = "Put everything an answer depends on into its cache key."
INJECTION = {"description": "SQL text from an f-string", "rule_id": "bandit:B608", "file": "src/orders/export.py"}
WHEEL = {"description": "Wheel 4 of the tractor wobbles", "rule_id": "wheels:W1"}

ISSUES: dict[str, dict[str, Any]] = {
    "words": {"description": ROUNDING},
    "like words": {"description": ROUNDING_AGAIN},
    "words and advice": {"description": ROUNDING, "lesson": ADVICE},
    "like words and advice": {"description": ROUNDING_AGAIN, "lesson": ADVICE_AGAIN},
    "advice for something else": {"description": "The cache key leaves out the tenant", "lesson": OTHER_ADVICE},
    "a known rule": INJECTION,
    "a known rule and advice": {**INJECTION, "lesson": "Bind each value of a query as a parameter of it."},
    "an unknown rule": WHEEL,
    "an unknown rule and advice": {**WHEEL, "lesson": "Check the torque of each wheel nut with a wrench."},
}


class Book:
    """The lessons of one project, which several hands write."""

    def __init__(self, work: Workspace, project: str) -> None:
        self.loop = Loop(work)
        self.project = project
        self.agent, self.qa = Caller(project, "local"), Caller(project, "qa-bot")
        self.person = Caller(project, "cli", person=True)

    async def report(self, name: str) -> None:
        await self.loop.report(self.agent if name.startswith("a ") else self.qa, ISSUES[name])

    async def report_unrouted(self, name: str) -> None:
        await self.loop.report(self.qa, ISSUES[name], agent_name="")

    async def review(self, action: str) -> None:
        for lesson_id in (await self._on_probation())[:1]:
            await self.loop.review(self.person, lesson_id, action, reason="because")

    async def merge(self) -> None:
        if len(found := await self._on_probation()) > 1:
            await merge.merge_lessons(self.loop.work, self.person, found[0], found[1], "One thing.")

    async def _on_probation(self) -> list[str]:
        found = [row for row in await self._rows(tables.lessons) if row["status"] == "probation"]
        return [row["id"] for row in sorted(found, key=lambda row: row["lesson_text"]) if row["agent_name"] == AGENT]

    async def author(self, **decision: object) -> None:
        listed = await listings.list_pending_issues(self.loop.work, self.person, parse(PendingListing, {}))
        for group in listed.groups[:1]:
            asked = {"lessons": [{"group_ids": [group.group_id], **decision}]}
            await authoring.refine_issues(self.loop.work, self.person, parse(Authoring, asked))

    async def rematch(self) -> None:
        waiting = [row["id"] for row in await self._rows(tables.issues) if row["action"] == "pending"]
        await rematch.rematch(self.loop.work, self.person, waiting)

    async def _rows(self, table: Any) -> list[dict[str, Any]]:
        return [row for row in await self.loop.rows(table) if row["project"] == self.project]

    async def state(self) -> list[object]:
        """Return what is stored, with what ids stand for in place of ids."""
        lessons = {row["id"]: row for row in await self._rows(tables.lessons)}
        said = {name: (row["agent_name"], row["lesson_text"]) for name, row in lessons.items()}
        names = await self._rows(tables.lesson_keys)
        issues = await self._rows(tables.issues)
        documents = await self._rows(tables.lesson_documents)
        return [
            sorted((*said[row["id"]], row["status"], row["issue_count"]) for row in lessons.values()),
            sorted((row["agent_name"], row["key"], said[row["lesson_id"]]) for row in names),
            sorted(
                (
                    row["description"],
                    row["action"],
                    said.get(row["lesson_id"], ()),
                    row["group_id"] or "",
                    row["is_new"],
                )
                for row in issues
            ),
            sorted((said[row["lesson_id"]], sorted(row["body"].split("\x1e"))) for row in documents),
        ]


WAYS: dict[str, Callable[[Book], Awaitable[None]]] = {
    **{f"report {name}": lambda book, name=name: book.report(name) for name in ISSUES},
    "report to whom it concerns": lambda book: book.report_unrouted("a known rule"),
    **{action: lambda book, action=action: book.review(action) for action in ("reject", "approve", "delete")},
    "merge": Book.merge,
    "word": lambda book: book.author(lesson=ADVICE),
    "dismiss": lambda book: book.author(dismiss="It is meant so."),
    "rematch": Book.rematch,
}
"""Everything that can happen to what a decision rests on."""


@contextmanager
def meanwhile(work: Workspace, act: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """Let `act` happen before the first transaction that writes, and after all that comes before it."""
    store: Any = work.store
    write = store.write

    async def late(transaction: Any) -> Any:
        store.write = write
        await act()
        return await write(transaction)

    store.write = late
    try:
        yield
    finally:
        store.write = write


STEPS = st.sampled_from(list(WAYS))


@given(st.lists(STEPS, max_size=3), st.sampled_from(list(ISSUES)), st.lists(STEPS, min_size=1, max_size=2))
@examples(max_examples=5)
@example([], "words and advice", ["report words and advice"])
@example([], "like words and advice", ["report words and advice"])
@example(["report words and advice"], "like words", ["reject"])
@example(["report words and advice"], "words", ["reject"])
@example(["report words"], "words", ["dismiss"])
@example([], "like words", ["report words"])
@example(["report words"], "an unknown rule", ["word"])
async def test_a_report_comes_out_as_if_it_had_been_decided_after_all_others(
    work: Workspace, before: list[str], name: str, between: list[str]
) -> None:
    async def happen(book: Book, names: list[str]) -> None:
        for one in names:
            await WAYS[one](book)

    raced, serial = (Book(work, f"{kind}-{work.new_id('P')}") for kind in ("raced", "serial"))
    await happen(raced, before)
    with meanwhile(work, lambda: happen(raced, between)):
        await raced.report(name)
    await happen(serial, [*before, *between])
    await serial.report(name)
    assert await raced.state() == await serial.state()


async def test_nobody_waits_while_an_undisturbed_report_is_decided_on(
    loop: Loop, qa: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = loop.work.store
    write, decide = store.write, Decisions._decide
    is_writing, decided = [False], list[bool]()

    async def watched(transaction: Any) -> Any:
        is_writing[0] = True
        try:
            return await write(transaction)
        finally:
            is_writing[0] = False

    def deciding(decisions: Decisions, *about: Any) -> Any:
        decided.append(is_writing[0])
        return decide(decisions, *about)

    monkeypatch.setattr(store, "write", watched)
    monkeypatch.setattr(Decisions, "_decide", deciding)
    for _ in range(2):
        await loop.report(qa, *ISSUES.values())
    assert decided == [False] * 2 * len(ISSUES)
    await loop.assert_healthy()
