"""An SDK server with one constant tool, the yardstick of `python -m bench speed`. Run as a script, on its own.

`bare_server.py` serves stdio, `bare_server.py PORT` streamable HTTP. The tool takes the arguments of Lessonbook's
`get_lessons` and returns one constant answer of the same shape, so that both servers pay the same validation and
serialisation and differ in the work behind the answer. `BARE_ANSWER` names a JSON file with a real answer to repeat.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, Field

Severity = Literal["critical", "high", "medium", "low"]
Category = Literal[
    "security",
    "correctness",
    "performance",
    "reliability",
    "maintainability",
    "testing",
    "api-design",
    "data",
    "infrastructure",
    "ui",
    "documentation",
    "other",
]
Trust = Literal["curated", "approved", "scanner", "imported", "offered", "generated"]


class Effect(BaseModel):
    """How much a lesson helps."""

    estimate: float
    low: float
    high: float
    events: int


class Lesson(BaseModel):
    """One lesson of the answer."""

    id: str
    text: str
    why: str = ""
    severity: Severity
    category: Category = "other"
    trust: Trust
    effect: Effect | None = None


class Answer(BaseModel):
    """The answer, field for field as Lessonbook's."""

    run_id: str
    agent_name: str
    guidance: str
    lessons: list[Lesson]
    tokens: int
    more_available: int = 0
    note: str = ""


_SAMPLE = [
    ("Bind every value of a SQL statement as a parameter, also in ORDER BY helpers and migrations.",
     "Text joined into a statement lets input change what the statement does.", "critical", "security"),
    ("Give each outgoing HTTP call a timeout and a bounded number of retries with backoff.",
     "A peer that hangs otherwise holds a worker until the pool is empty.", "high", "reliability"),
    ("Compare secrets and signatures with a constant-time function.",
     "An early return tells an attacker how much of a guess was right.", "high", "security"),
    ("Load related rows in one query before the loop that reads them.",
     "A query per row turns a page of fifty entries into fifty-one round trips.", "medium", "performance"),
    ("Return the same error body for every failed validation, naming the field and what it accepts.",
     "Clients can mend only what the answer names.", "medium", "api-design"),
]  # fmt: skip


def _sample_answer() -> dict[str, Any]:
    lessons = [
        {
            "id": f"01JY{number:04d}8QW3K5TXZ4N7B2",
            "text": text,
            "why": why,
            "severity": severity,
            "category": category,
            "trust": "curated",
        }
        for number, (text, why, severity, category) in enumerate(_SAMPLE)
    ]
    return {
        "run_id": "5f0c2d9a7be14c3e8a6d4b21c09f7e35",
        "agent_name": "BackendDevelopmentAgent",
        "guidance": "Rules learned from earlier findings. Commit trailer: Lessonbook-Run: 5f0c2d9a7be14c3e8a6d",
        "lessons": lessons,
        "tokens": 148,
    }


def _answer() -> dict[str, Any]:
    path = os.environ.get("BARE_ANSWER")
    return json.loads(Path(path).read_text(encoding="utf-8")) if path else _sample_answer()


ANSWER = _answer()
TEXT = "\n".join([ANSWER["guidance"], *(f"- [{lesson['severity']}] {lesson['text']}" for lesson in ANSWER["lessons"])])
server = MCPServer("bare", instructions="Call get_lessons before you start a task.", log_level="WARNING")


@server.tool()
async def get_lessons(
    agent_name: Annotated[str, Field(max_length=100)] = "",  # noqa: ARG001
    task: Annotated[str, Field(max_length=20_000)] = "",  # noqa: ARG001
    files: Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=200)] = [],  # noqa: ARG001, B006
    categories: Annotated[list[Category], Field(max_length=12)] = [],  # noqa: ARG001, B006
    max_lessons: Annotated[int, Field(ge=1, le=50)] = 5,  # noqa: ARG001
    max_tokens: Annotated[int, Field(ge=50, le=8_000)] = 600,  # noqa: ARG001
    run_id: Annotated[str, Field(max_length=200)] = "",  # noqa: ARG001
) -> Annotated[CallToolResult, Answer]:
    """Return the constant answer."""
    return CallToolResult(
        content=[TextContent(type="text", text=TEXT)],
        structured_content=ANSWER,
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]), json_response=True, stateless_http=True)
    else:
        server.run("stdio")
