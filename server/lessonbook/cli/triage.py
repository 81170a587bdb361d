"""A triage session: a person decides in the terminal on pending issues, one group at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from rich.panel import Panel
from rich.text import Text

from lessonbook.cli.output import brief, visible
from lessonbook.domain.errors import LessonbookError
from lessonbook.domain.lesson_reviews import LessonListing
from lessonbook.domain.lesson_status import SUGGESTED
from lessonbook.domain.pending_issues import Authored, Authoring, PendingGroup, PendingListing
from lessonbook.domain.validation import parse
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.services.queries import listings
from lessonbook.services.triage import authoring

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from rich.console import Console

    from lessonbook.domain.lesson import Caller
    from lessonbook.edges.access.gateway import Gateway
    from lessonbook.services.workspace import Workspace

P = ParamSpec("P")
T = TypeVar("T")

MATCHES_MAX: Final = 4
AGENTS_MAX: Final = 3
"""Agents of a group on whose shelves matches are looked for: those with most of its issues."""
SHOWN_CHARACTERS: Final = 1_500
_MERGE: Final = "[bold]m[/bold] N merge with N · "
_KEYS: Final = "[bold]w[/bold] write · [bold]s[/bold] skip · [bold]d[/bold] dismiss · [bold]q[/bold] quit: "
"""Markup, as `ask` takes it; nothing that somebody else wrote is put into a question."""


@dataclass(slots=True)
class TriageSession:
    """One person's pass over the backlog in a terminal. `ask` prints a question and returns the answer, one line."""

    portal: BlockingPortal
    gateway: Gateway
    terminal: Console
    ask: Callable[[str], str]
    decided: Counter[str] = field(default_factory=Counter[str])
    """Issues decided so far, by action."""

    def go_through(self, agent: str = "", limit: int = 0) -> None:
        """Show each group and carry out the person's decision, until they quit or none is left."""
        groups = self._groups(agent, limit)
        if not groups:
            self.terminal.print(Text("No issue is pending."))
            return
        try:
            for number, group in enumerate(groups, 1):
                matches = self._matches(group)
                self._show(group, matches, f"{number} of {len(groups)}")
                if not self._decide(group, matches):
                    break
        except EOFError:
            self.terminal.print()
        summary = ", ".join(f"{count} {action}" for action, count in self.decided.items()) or "nothing decided"
        self.terminal.print(Text(f"Done: {summary}."))

    def _call(
        self, service: Callable[Concatenate[Workspace, Caller, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return self.portal.call(lambda: self.gateway.call(service, *args, **kwargs))

    def _groups(self, agent: str, limit: int) -> list[PendingGroup]:
        """Return the groups of pending issues, those with most issues first; `limit` of them, 0: all."""
        groups: list[PendingGroup] = []
        cursor = ""
        while True:
            listing = {"agent_name": agent, "cursor": cursor, "limit": min(200, limit or 200)}
            page = self._call(listings.list_pending_issues, parse(PendingListing, listing))
            groups += page.groups
            cursor = page.next_group_cursor
            if not cursor or (limit and len(groups) >= limit):
                return groups[: limit or None]

    def _matches(self, group: PendingGroup) -> list[tuple[str, str]]:
        """Return ids and lines of what may answer the group: what is suggested for it, then the nearest by words."""
        found = {near.lesson_id: f" ({near.score:.2f}) {near.text}" for near in group.suggestions}
        shelves = [*(share.agent_name for share in group.agents[:AGENTS_MAX]), SHARED_AGENT]
        for agent_name in dict.fromkeys(shelves):
            words = group.examples[0].description
            query = {"agent_name": agent_name, "query": words, "limit": 3, "status": SUGGESTED}
            for lesson in self._call(listings.list_lessons, parse(LessonListing, query)).lessons:
                found.setdefault(lesson.id, f" {lesson.text}")
        return list(found.items())[:MATCHES_MAX]

    def _show(self, group: PendingGroup, matches: list[tuple[str, str]], title: str) -> None:
        first, *others = group.examples
        agents = ", ".join(share.agent_name for share in group.agents)
        about = [f"{agents} · {group.severity} · {group.category} · reported by {first.source}"]
        if group.issues > 1:
            about.append(f"{group.issues} alike, since {group.first_seen[:10]}")
        if group.rule_id:
            about.append(f"rule {group.rule_id}")
        places = sorted({f"{issue.file}:{issue.line}" if issue.line else issue.file for issue in group.examples})
        if any(places):
            about.append(brief(", ".join(filter(None, places))))
        described = visible(first.description)[:SHOWN_CHARACTERS]  # a report's text must not control the terminal
        body = Text(described)
        for issue in others:
            body.append("\n\nalso: ", style="dim").append(brief(visible(issue.description)))
        body.append(f"\n\n{visible(' · '.join(about))}", style="dim")
        self.terminal.print(Panel(body, title=Text(f"{title} · {group.group_id}"), title_align="left"))
        for number, (lesson_id, line) in enumerate(matches, 1):
            self.terminal.print(Text.assemble("  ", (str(number), "bold"), f" {lesson_id}{visible(line)}"))

    def _decide(self, group: PendingGroup, matches: list[tuple[str, str]]) -> bool:
        """Carry out what the person decides on a group; returns whether to go on."""
        while True:
            key, _, rest = self.ask(f"{_MERGE if matches else ''}{_KEYS}").strip().lower().partition(" ")
            if key[:1] == "m" and key[1:].isdigit():
                key, rest = "m", key[1:]
            if key in {"q", "quit"}:
                return False
            if key in {"s", "skip"}:
                return True
            if key in {"m", "merge"}:
                done = self._merge(group, matches, rest.strip())
            elif key in {"w", "write"}:
                done = self._write(group)
            elif key in {"d", "dismiss"}:
                done = self._dismiss(group)
            else:
                self.terminal.print(Text("Answer with one of these letters."))
                continue
            if done:
                return True

    def _merge(self, group: PendingGroup, matches: list[tuple[str, str]], number: str) -> bool:
        number = number or ("1" if len(matches) == 1 else self.ask("Merge with which number? ").strip())
        if not number.isdigit() or not 1 <= int(number) <= len(matches):
            self.terminal.print(Text("There is no lesson with that number."))
            return False
        return self._author(group, {"lesson_id": matches[int(number) - 1][0]})

    def _write(self, group: PendingGroup) -> bool:
        lesson = self.ask("The rule, in your own words: ").strip()
        if not lesson:
            return False
        return self._author(group, {"lesson": lesson, "why": self.ask("Why (may stay empty): ").strip()})

    def _dismiss(self, group: PendingGroup) -> bool:
        reason = self.ask("Why is it no lesson? ").strip()
        if not reason:
            self.terminal.print(Text("Dismissing needs a reason."))
            return False
        return self._author(group, {"dismiss": reason})

    def _author(self, group: PendingGroup, words: dict[str, str]) -> bool:
        authored = {"lessons": [{"group_ids": [group.group_id], **words}]}
        return self._done(lambda: self._call(authoring.refine_issues, parse(Authoring, authored)))

    def _done(self, act: Callable[[], Authored]) -> bool:
        """Carry out a decision and print what became of the issues; returns whether none is pending."""
        try:
            refined = act()
        except LessonbookError as error:
            self.terminal.print(Text(visible(str(error)), style="red"))
            return False
        for reason in dict.fromkeys(f"{line.action}: {line.reason}" for line in refined.issues):
            self.terminal.print(Text(visible(reason)))
        actions = sum((Counter[str](group.actions) for group in refined.groups), Counter[str]())
        waiting = actions.pop("pending", 0)
        self.decided.update(actions)
        return not waiting
