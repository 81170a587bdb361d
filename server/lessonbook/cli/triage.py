"""A sitting: a person goes through pending issues in the terminal and settles one group of like issues at a time."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class SuggestedLesson:
    """A lesson that a group of issues may belong to."""

    lesson_id: str
    text: str
    score: float | None = None


@dataclass(slots=True)
class TriageSession:
    """One person, one terminal, one pass over the backlog. `ask` puts a question and returns the line answered."""

    portal: BlockingPortal
    gateway: Gateway
    terminal: Console
    ask: Callable[[str], str]
    settled: dict[str, int] = field(default_factory=dict[str, int])

    def go_through(self, agent: str = "", limit: int = 0) -> None:
        """Show each group of like issues and do as told, until the person quits or nothing is left."""
        groups = self._groups(agent, limit)
        if not groups:
            self.terminal.print("No issue is pending.")
            return
        try:
            for number, group in enumerate(groups, 1):
                matches = self._matches(group)
                self._show(group, matches, f"{number} of {len(groups)}")
                if not self._settle(group, matches):
                    break
        except EOFError:
            self.terminal.print()
        told = ", ".join(f"{count} {action}" for action, count in self.settled.items()) or "nothing settled"
        self.terminal.print(f"Done: {told}.")

    def _call(
        self, service: Callable[Concatenate[Workspace, Caller, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return self.portal.call(lambda: self.gateway.call(service, *args, **kwargs))

    def _groups(self, agent: str, limit: int) -> list[list[PendingIssue]]:
        """Return pending issues, those together that have one agent and one exact name, oldest first."""
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

    def _matches(self, group: list[PendingIssue]) -> list[SuggestedLesson]:
        """Return lessons that the issues may belong to: what matching was unsure of, then the nearest by words."""
        first = group[0]
        found = {
            near.lesson_id: SuggestedLesson(near.lesson_id, near.text, near.score)
            for issue in group
            if (near := issue.suggestion) is not None
        }
        for agent_name in dict.fromkeys((first.agent_name, SHARED_AGENT)):
            query = {"agent_name": agent_name, "query": first.description[:2_000], "limit": 3, "status": SUGGESTED}
            for lesson in self._call(listings.list_lessons, parse(LessonListing, query)).lessons:
                found.setdefault(lesson.id, SuggestedLesson(lesson.id, lesson.text))
        return list(found.values())[:MATCHES_MAX]

    def _show(self, group: list[PendingIssue], matches: list[SuggestedLesson], title: str) -> None:
        first = group[0]
        about = [f"{first.agent_name} · {first.severity} · {first.category} · reported by {first.source}"]
        if len(group) > 1:
            about.append(f"{len(group)} alike")
        if first.rule_id:
            about.append(f"rule {first.rule_id}")
        places = sorted({f"{issue.file}:{issue.line}" if issue.line else issue.file for issue in group if issue.file})
        if places:
            about.append(brief(", ".join(places)))
        described = visible(first.description)[:SHOWN_CHARACTERS]  # what strangers wrote must not steer the terminal
        body = f"{escape(described)}\n\n[dim]{escape(visible(' · '.join(about)))}[/dim]"
        self.terminal.print(Panel(body, title=f"{title} · {first.issue_id}", title_align="left"))
        for number, match in enumerate(matches, 1):
            score = f" ({match.score:.2f})" if match.score is not None else ""
            self.terminal.print(f"  [bold]{number}[/bold] {match.lesson_id}{score} {escape(match.text)}")

    def _settle(self, group: list[PendingIssue], matches: list[SuggestedLesson]) -> bool:
        """Do what the person wants with a group; returns whether to go on."""
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

    def _merge(self, group: list[PendingIssue], matches: list[SuggestedLesson], number: str) -> bool:
        number = number or ("1" if len(matches) == 1 else self.ask("Merge with which number? ").strip())
        if not number.isdigit() or not 1 <= int(number) <= len(matches):
            self.terminal.print("There is no lesson with that number.")
            return False
        return self._author(group, {"lesson_id": matches[int(number) - 1].lesson_id})

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
        """Carry something out and tell what came of it; returns whether the issues are settled."""
        try:
            lines = act().issues
        except LessonbookError as error:
            self.terminal.print(f"[red]{escape(str(error))}[/red]")
            return False
        for reason in dict.fromkeys(f"{line.action}: {line.reason}" for line in lines):
            self.terminal.print(escape(reason))
        for line in lines:
            if line.action != "pending":
                self.settled[line.action] = self.settled.get(line.action, 0) + 1
        return all(line.action != "pending" for line in lines)
