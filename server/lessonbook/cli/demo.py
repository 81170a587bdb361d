"""demo: the whole loop on real findings, over a real MCP connection."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lessonbook.cli.console import command, console, print_table, say, strong, write
from lessonbook.cli.output import Said, is_terminal
from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import InvalidInput, LessonbookError, Unavailable
from lessonbook.domain.principals import TERMINAL
from lessonbook.machine import private_files
from lessonbook.machine.programs import own_command

if TYPE_CHECKING:
    from mcp.client import Client

    from lessonbook.domain.agent_tools import Applied
    from lessonbook.domain.findings import Finding
    from lessonbook.edges.access.gateway import Gateway

AGENT = "BackendDevelopmentAgent"
TASK = (
    "Add an export: query the MySQL database with the operator's search text, start a subprocess on the result, "
    "download its files over SSH and compare their MD5 digests"
)
FILES = ["airflow/www/views.py", "airflow/hooks/mysql_hook.py"]
RUNS = 6
BATCH = 100


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "demo")(demo)


def demo(
    keep: Annotated[
        Path | None, typer.Option(help="Keep the database in this folder, to look at it.", file_okay=False)
    ] = None,
) -> None:
    """Watch agents learn, on real findings. Lessons, verdicts, and a useless lesson that is taken out."""
    import anyio

    folder = keep.absolute() if keep else Path(tempfile.mkdtemp(prefix="lessonbook-demo-"))
    try:
        private_files.make_folder(folder)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be made ({error.strerror}): name another folder") from error
    database = folder / "lessonbook.db"
    if os.path.lexists(database):  # a dangling link would put the database elsewhere
        raise InvalidInput(f"{database} is there already: name another folder, or remove it")
    try:
        anyio.run(_play, database)
        _say_goodbye(database if keep else None)
    except BaseExceptionGroup as group:  # raised by the client's tasks; our own error is inside
        ours, _ = group.split((LessonbookError, BrokenPipeError))
        while isinstance(ours, BaseExceptionGroup):
            ours = ours.exceptions[0]
        raise ours or Unavailable("The demo's server stopped; its output above says why.") from group
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


async def _play(database: Path) -> None:
    from mcp.client import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    from lessonbook.app import gateway_for
    from lessonbook.config.settings import Settings

    url = f"sqlite:///{database}"
    program, *arguments = own_command()
    arguments += ["serve", "--project", "demo", "--toolsets", "agent,operator", "--database", url]
    # In a folder of its own, so that files of the working folder do not change the demo.
    server = stdio_client(StdioServerParameters(command=program, args=arguments, cwd=database.parent))
    person = gateway_for(Settings.model_validate({"project": "demo", "database": {"url": url}}), TERMINAL, person=True)
    try:
        async with Client(server) as client:
            await _Demo(client, person).play()
    finally:
        await person.close()


@dataclass(slots=True)
class _Demo:
    """An agent that calls the server, and a person at the terminal who gives the verdicts."""

    client: Client
    person: Gateway

    async def play(self) -> None:
        """Play the loop once."""
        tools = (await self.client.list_tools()).tools
        _step("1", "A server on its own database", "started as a subprocess; this is a real MCP client over stdio")
        _line(f"{len(tools)} tools: " + ", ".join(tool.name for tool in tools))
        await self._report()
        await self._show_lessons()
        run_id, lesson_ids = await self._get_lessons()
        before = await self._totals()
        await self._record(run_id, lesson_ids)
        useless = lesson_ids[-1]
        await self._more_runs(lesson_ids, useless)
        await self._show_stats(before)
        await self._clean_up(useless)

    async def _report(self) -> None:
        _step(
            "2",
            "Issues in",
            "what bandit and ruff found in Apache Airflow 1.10.0 (an old release, chosen for its variety)",
        )
        table: list[tuple[object, ...]] = []
        for scanner, agent in (("bandit", AGENT), ("ruff", "")):
            findings = _findings(scanner)
            lines: list[dict[str, Any]] = []
            for start in range(0, len(findings), BATCH):
                issues = [_issue(finding) for finding in findings[start : start + BATCH]]
                answer = await self._call("report_issues", agent_name=agent, source="ci", issues=issues)
                lines += answer["issues"]
            actions = Counter(line["action"] for line in lines)
            agents = Counter(line["agent_name"] for line in lines)
            top = ", ".join(f"{name} {count}" for name, count in agents.most_common(3))
            counts = (actions["created"], actions["merged"], actions["pending"])
            table.append((scanner, len(findings), *counts, top))
        print_table("", ["scanner", "findings", "new lessons", "seen before", "pending", "for agents (top 3)"], table)
        _line("No agent was named for ruff's findings: they were routed by file and words.")
        _line("A finding's text never becomes a lesson's: the words come from the catalogue.")

    async def _show_lessons(self) -> None:
        _step("3", "Lessons out", f"those of {AGENT}, most severe first")
        page = await self._call("list_lessons", agent_name=AGENT, limit=8)
        rows = [
            (line["severity"], line["issue_count"], line.get("rule_key", ""), line["text"]) for line in page["lessons"]
        ]
        print_table("", ["severity", "seen", "rule", "lesson"], rows)

    async def _get_lessons(self) -> tuple[str, list[str]]:
        _step("4", "An agent starts a task", f"get_lessons(agent_name={AGENT!r}, task=…, files=…)")
        _line(f"Task: {TASK}")
        answer, text = await self._call_for_both("get_lessons", agent_name=AGENT, task=TASK, files=FILES)
        _panel(text, f"the section for its prompt: {answer['tokens']} tokens")
        _line("The run and its deliveries were committed before this answer; lessons about other subjects stay out.")
        return answer["run_id"], [lesson["id"] for lesson in answer["lessons"]]

    async def _record(self, run_id: str, lesson_ids: list[str]) -> None:
        _step("5", "Applied, and judged", "the agent reports what it applied; QA gives the verdicts")
        _line(("The verdicts are enacted", "yellow"), ": no agent writes code in this demo.")
        await self._call("record_application", run_id=run_id, lesson_ids=lesson_ids)
        _line("QA's verdicts come from the command line: an agent's verdicts on its own run would not count.")
        answer = await self._judge(run_id, lesson_ids, prevented=True)
        rows = [(line.lesson_id, line.times_applied, line.times_prevented) for line in answer.results]
        print_table("", ["lesson", "applied", "prevented"], rows)

    async def _more_runs(self, lesson_ids: list[str], useless: str) -> None:
        for _ in range(RUNS):
            answer = await self._call("get_lessons", agent_name=AGENT, task=TASK, files=FILES)
            useful = [lesson_id for lesson_id in lesson_ids if lesson_id != useless]
            await self._judge(answer["run_id"], useful, prevented=True)
            await self._judge(answer["run_id"], [useless], prevented=False)

    async def _judge(self, run_id: str, lesson_ids: list[str], *, prevented: bool) -> Applied:
        from lessonbook.domain.agent_tools import Application
        from lessonbook.services.feedback.applications import record_application

        verdict = Application(run_id=run_id, lesson_ids=lesson_ids, prevented_issue=prevented, source="qa")
        return await self.person.call(record_application, verdict)

    async def _show_stats(self, before: dict[str, int]) -> None:
        _step("6", "The figures move", f"after {RUNS} more runs, in which one lesson never helped (enacted)")
        after = await self._totals()
        print_table("", ["figure", "before", "now"], [(name, before[name], after[name]) for name in after])
        _line("Effect: not enough data. A ratio of verdicts proves nothing, so none is shown as an effect.")

    async def _clean_up(self, useless: str) -> None:
        from lessonbook.domain.lesson_reviews import LessonReview
        from lessonbook.services.lessons.review import review_lesson

        _step("7", "A useless lesson goes", "cleanup_lessons as a dry run, and a person's decision")
        plan = await self._call("cleanup_lessons")
        rows = [
            ("propose" if line.get("proposed") else "keep", line["lesson_id"], line["reason"])
            for line in plan["lessons"]
        ]
        print_table("", ["verdict", "lesson", "why"], rows)
        _line("The catalogue worded it, so no agent can suspend it: a person does, at the terminal.")
        _line(strong(f"lessonbook lessons suspend {useless}"))
        decision = LessonReview(lesson_id=useless, action="suspend", reason="it never prevented its issue")
        await self.person.call(review_lesson, decision)
        answer = await self._call("get_lessons", agent_name=AGENT, task=TASK, files=FILES)
        served = {lesson["id"] for lesson in answer["lessons"]}
        among = "still among them" if useless in served else "not among them"
        _line(f"The agent's next call gets {count_of(len(served), 'lesson')}, and {useless} is {among}.")

    async def _totals(self) -> dict[str, int]:
        return (await self._call("get_stats", agent_name=AGENT))["totals"]

    async def _call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        answer, _ = await self._call_for_both(tool, **arguments)
        return answer

    async def _call_for_both(self, tool: str, **arguments: Any) -> tuple[dict[str, Any], str]:
        """Call a tool, and return its answer as structured content and as text."""
        result = await self.client.call_tool(tool, arguments)
        text = "".join(getattr(block, "text", "") for block in result.content)
        if result.is_error or result.structured_content is None:
            raise Unavailable(text)
        return result.structured_content, text


def _findings(scanner: str) -> list[Finding]:
    from lessonbook.domain.findings import collect
    from lessonbook.intake.report_file import ReportFile
    from lessonbook.intake.sarif import open_sarif

    data = (files("lessonbook") / "data" / "demo" / f"{scanner}.sarif").read_bytes()
    return collect(open_sarif(ReportFile(data, f"{scanner}.sarif"))).findings


def _issue(finding: Finding) -> dict[str, Any]:
    issue: dict[str, Any] = {"description": finding.description, "rule_id": finding.rule_id, "file": finding.file}
    return issue | {key: value for key, value in (("severity", finding.severity), ("line", finding.line)) if value}


def _step(number: str, title: str, what: str) -> None:
    say("\n", (f" {number} ", "bold reverse"), " ", strong(title), f" — {what}")


def _line(*parts: Said) -> None:
    say("  ", *parts)


def _panel(text: str, title: str) -> None:
    if not is_terminal():
        write(f"  {title}:\n" + "".join(f"  | {line}\n" for line in text.splitlines()), end="")
        return
    from rich.panel import Panel
    from rich.text import Text

    console().print(Panel(Text(text.rstrip()), title=Text(title), title_align="left", border_style="green"))


def _say_goodbye(database: Path | None) -> None:
    _step("✓", "Done", "issues became lessons, lessons were served and judged, and one was suspended")
    if database is None:
        _line("The database was deleted. ", strong("lessonbook demo --keep DIR"), " keeps it.")
    else:
        option = f"--project demo --database sqlite:///{database.absolute()}"
        _line("Look at it: ", strong(f"lessonbook lessons list {option}"))
    _line("Connect your own agent: ", strong("lessonbook install claude-code"), "  (or cursor, vscode, codex)")
