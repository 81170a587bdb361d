"""A triage session: a person decides in the terminal on pending issues, one group of like issues at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from rich.markup import escape
from rich.panel import Panel

from lessonbook.cli.console import brief
from lessonbook.domain.errors import LessonbookError
from lessonbook.domain.lesson_names import name_of_issue
from lessonbook.domain.lesson_status import SUGGESTED
from lessonbook.domain.operator import Authoring, LessonListing, PendingIssue, PendingListing
from lessonbook.domain.validation import parse
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.screening.lint.screen import visible
from lessonbook.services.triage import authoring
from lessonbook.services.views import listings

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from rich.console import Console

    from lessonbook.domain.lesson import Caller
    from lessonbook.domain.loop import Refinement
    from lessonbook.edges.access.gateway import Gateway
    from lessonbook.services.workspace import Workspace

P = ParamSpec("P")
T = TypeVar("T")

GROUP_MAX: Final = 100
MATCHES_MAX: Final = 4
SHOWN_CHARACTERS: Final = 1_500
_MERGE: Final = "[bold]m[/bold] N merge with N · "
_KEYS: Final = "[bold]w[/bold] write · [bold]s[/bold] skip · [bold]d[/bold] dismiss · [bold]q[/bold] quit: "


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
        """Show each group of like issues and carry out the person's decision, until they quit or none is left."""
        groups = self._groups(agent, limit)
        if not groups:
            self.terminal.print("No issue is pending.")
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
        self.terminal.print(f"Done: {summary}.")

    def _call(
        self, service: Callable[Concatenate[Workspace, Caller, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return self.portal.call(lambda: self.gateway.call(service, *args, **kwargs))

    def _groups(self, agent: str, limit: int) -> list[list[PendingIssue]]:
        """Return pending issues, grouped by agent and exact name, oldest first."""
        groups: dict[tuple[str, str], list[PendingIssue]] = {}
        cursor, left = "", limit or None
        while True:
            size = min(200, left) if left else 200
            page = self._call(
                listings.list_pending_issues,
                parse(PendingListing, {"agent_name": agent, "cursor": cursor, "limit": size}),
            )
            for issue in page.issues:
                key = issue.agent_name, name_of_issue(issue.rule_id, issue.description)
                groups.setdefault(key, []).append(issue)
            cursor, left = page.next_cursor, left - len(page.issues) if left else None
            if not cursor or left == 0:
                break
        return [
            group[start : start + GROUP_MAX] for group in groups.values() for start in range(0, len(group), GROUP_MAX)
        ]

    def _matches(self, group: list[PendingIssue]) -> list[tuple[str, str]]:
        """Return ids and lines of lessons the issues may belong to: possible matches, then the nearest by words."""
        first = group[0]
        found = {near.lesson_id: f" ({near.score:.2f}) {near.text}" for issue in group if (near := issue.suggestion)}
        for agent_name in dict.fromkeys((first.agent_name, SHARED_AGENT)):
            query = {"agent_name": agent_name, "query": first.description[:2_000], "limit": 3, "status": SUGGESTED}
            for lesson in self._call(listings.list_lessons, parse(LessonListing, query)).lessons:
                found.setdefault(lesson.id, f" {lesson.text}")
        return list(found.items())[:MATCHES_MAX]

    def _show(self, group: list[PendingIssue], matches: list[tuple[str, str]], title: str) -> None:
        first = group[0]
        about = [f"{first.agent_name} · {first.severity} · {first.category} · reported by {first.source}"]
        if len(group) > 1:
            about.append(f"{len(group)} alike")
        if first.rule_id:
            about.append(f"rule {first.rule_id}")
        places = sorted({f"{issue.file}:{issue.line}" if issue.line else issue.file for issue in group if issue.file})
        if places:
            about.append(brief(", ".join(places)))
        described = visible(first.description)[:SHOWN_CHARACTERS]  # a report's text must not control the terminal
        body = f"{escape(described)}\n\n[dim]{escape(visible(' · '.join(about)))}[/dim]"
        self.terminal.print(Panel(body, title=f"{title} · {first.issue_id}", title_align="left"))
        for number, (lesson_id, line) in enumerate(matches, 1):
            self.terminal.print(f"  [bold]{number}[/bold] {lesson_id}{escape(line)}")

    def _decide(self, group: list[PendingIssue], matches: list[tuple[str, str]]) -> bool:
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
                self.terminal.print("Answer with one of these letters.")
                continue
            if done:
                return True

    def _merge(self, group: list[PendingIssue], matches: list[tuple[str, str]], number: str) -> bool:
        number = number or ("1" if len(matches) == 1 else self.ask("Merge with which number? ").strip())
        if not number.isdigit() or not 1 <= int(number) <= len(matches):
            self.terminal.print("There is no lesson with that number.")
            return False
        return self._author(group, {"lesson_id": matches[int(number) - 1][0]})

    def _write(self, group: list[PendingIssue]) -> bool:
        lesson = self.ask("The rule, in your own words: ").strip()
        if not lesson:
            return False
        return self._author(group, {"lesson": lesson, "why": self.ask("Why (may stay empty): ").strip()})

    def _dismiss(self, group: list[PendingIssue]) -> bool:
        reason = self.ask("Why is it no lesson? ").strip()
        if not reason:
            self.terminal.print("Dismissing needs a reason.")
            return False
        return self._done(lambda: self._call(authoring.dismiss_issues, [i.issue_id for i in group], reason))

    def _author(self, group: list[PendingIssue], words: dict[str, str]) -> bool:
        lesson = {"issue_ids": [issue.issue_id for issue in group], **words}
        return self._done(lambda: self._call(authoring.refine_issues, parse(Authoring, {"lessons": [lesson]})))

    def _done(self, act: Callable[[], Refinement]) -> bool:
        """Carry out a decision and print what became of the issues; returns whether none is pending."""
        try:
            lines = act().issues
        except LessonbookError as error:
            self.terminal.print(f"[red]{escape(str(error))}[/red]")
            return False
        for reason in dict.fromkeys(f"{line.action}: {line.reason}" for line in lines):
            self.terminal.print(escape(reason))
        decided = [line.action for line in lines if line.action != "pending"]
        self.decided.update(decided)
        return len(decided) == len(lines)
