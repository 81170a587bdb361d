"""Uses a package that `test_extending_lessons` has extended: by a field `tongue` of lessons, or by a status `parked`.

extended_lessons.py field|status
"""

import asyncio
import contextlib
import functools
import io
import json
import os
import sys
from typing import Any

import httpx2
import typer.main
from mcp.client import Client

from lessonbook.app import gateway_for
from lessonbook.cli import main
from lessonbook.config.settings import Settings
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.mcp_server import build_server
from lessonbook.edges.transport.http import build_app

typer.main.get_command = functools.cache(typer.main.get_command)

AGENT = "BackendDevelopmentAgent"
URL = os.environ["LESSONBOOK_DATABASE_URL"]
SETTINGS = {"project": "demo", "database": {"url": URL}, "server": {"toolsets": ["agent", "operator"]}}
TOKEN = "ghp_" + "a1B2" * 9


def run(*arguments: str, project: str = "demo") -> Any:
    """Return what a command prints; with `--json`, read."""
    sys.argv, os.environ["LESSONBOOK_PROJECT"] = ["lessonbook", *arguments], project
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = exit_code_of_main()
    assert code == 0, (arguments, out.getvalue())
    return json.loads(out.getvalue()) if "--json" in arguments else out.getvalue()


def exit_code_of_main() -> int:
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def tongues(project: str) -> list[str]:
    """Return what the lessons of a project are worded in, by an export of them."""
    lines = run("export", project=project).splitlines()
    return sorted(found for line in lines if (found := json.loads(line)["tongue"]))


def add(text: str, *arguments: str, project: str = "demo") -> str:
    return run("lessons", "add", text, "--agent", AGENT, *arguments, "--json", project=project)["lesson_id"]


def reported(description: str) -> str:
    return run("report", description, "--agent", AGENT, "--json")["issues"][0]["issue_id"]


def use_field() -> None:
    first = add("Give each outgoing request a timeout.", "--tongue", "English")
    shown = run("lessons", "show", first, "--json")
    assert shown["lesson"]["tongue"] == shown["history"][0]["tongue"] == "English"
    assert "English" in run("lessons", "show", first)
    run("refine", reported("The zeppelin stalls"), "--lesson", "Close every file you opened.", "--tongue", "Scots")
    second = asyncio.run(with_gateway(propose, reported("The balloon leaks")))
    assert tongues("demo") == ["English", "Scots", "Welsh"]
    run("lessons", "edit", first, "Give every outgoing request a timeout.")
    assert [change["tongue"] for change in run("lessons", "show", first, "--json")["history"]] == ["English"] * 2
    kite = reported("The kite tears")
    run("refine", kite, "--into", second)
    part = run("lessons", "split", second, kite, "--text", "Mend each kite before it flies.", "--json")["lesson_id"]
    assert run("lessons", "show", part, "--json")["lesson"]["tongue"] == "Welsh"
    for kind in ("jsonl", "md"):
        run("export", f"all.{kind}")
        run("import", f"all.{kind}", project=f"by-{kind}")
        assert tongues(f"by-{kind}") == tongues("demo")
    add("Test that each backup can be restored.", project="other")
    run("project", "merge", "demo", "other", "--yes")
    assert tongues("other") == tongues("demo") == ["English", "Scots", "Welsh", "Welsh"]
    add("Name each migration after what it changes.", "--tongue", f"Norse\n{TOKEN}", project="secret")
    (cleaned,) = tongues("secret")
    assert cleaned.startswith("Norse ")
    assert "ghp_" not in cleaned
    run("lessons", "delete", first, "--yes")
    gone = run("lessons", "show", first, "--json")
    assert {gone["lesson"]["tongue"], *(change["tongue"] for change in gone["history"])} == {""}
    run("forget", "--everything", "--yes", project="other")
    run("db", "check")
    run("doctor")


async def with_gateway(act: Any, *arguments: Any) -> Any:
    gateway = gateway_for(Settings.model_validate(SETTINGS), "cli", person=True)
    try:
        return await act(gateway, *arguments)
    finally:
        await gateway.close()


async def propose(gateway: Gateway, issue: str) -> str:
    """Word a lesson over MCP, and return its id; it is shown as tool and REST twin show it."""
    words = {"issue_ids": [issue], "lesson": "Check each balloon before it flies.", "tongue": "Welsh"}
    async with Client(build_server(gateway, ["agent", "operator"], stays_connected=True)) as client:
        refined = await client.call_tool("refine_issues", {"lessons": [words]})
        lesson_id = refined.structured_content["issues"][0]["lesson_id"]
        detail = await client.call_tool("get_lesson", {"lesson_id": lesson_id})
        assert detail.structured_content["lesson"]["tongue"] == "Welsh"
        assert "Tongue: Welsh" in detail.content[0].text
    transport = httpx2.ASGITransport(build_app(gateway, Settings.model_validate(SETTINGS)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as web:
        twin = await web.post("/api/get_lesson", json={"lesson_id": lesson_id})
        assert twin.json()["history"][0]["tongue"] == "Welsh"
        schemas = (await web.get("/openapi.json")).json()["components"]["schemas"]
        assert {"ListedLesson", "LessonChange"} <= {name for name, one in schemas.items() if "tongue" in str(one)}
    return lesson_id


def use_status() -> None:
    lesson_id = add("Give each outgoing request a timeout.")
    assert "Put a lesson aside until it is restored." in run("lessons", "--help")
    run("lessons", "park", lesson_id)
    assert run("lessons", "list", "--status", "parked", "--json")["lessons"][0]["id"] == lesson_id
    assert "Give each" not in run("get", "--agent", AGENT)
    run("export", "all.md")
    run("import", "all.md", project="other")
    assert [lesson["status"] for lesson in run("lessons", "list", "--json", project="other")["lessons"]] == ["parked"]
    run("lessons", "restore", lesson_id)
    run("doctor")


if __name__ == "__main__":
    {"field": use_field, "status": use_status}[sys.argv[1]]()
