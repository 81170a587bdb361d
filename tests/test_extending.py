"""What docs/extending.md says can be added is added here, without touching the package."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.domain.agent_tools import Request, Result
from lessonbook.domain.findings import Finding, Reading
from lessonbook.edges import mcp_calls, rest, tool_table
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.mcp_server import build_server
from lessonbook.edges.tool_table import OPERATIONS, Operation
from lessonbook.edges.transport.http import build_app
from lessonbook.intake import formats
from lessonbook.intake.formats.json_format import JsonFormat, Records, open_format
from lessonbook.intake.formats.record_fields import issue
from lessonbook.intake.json_records import Layout, open_records
from lessonbook.intake.readers import MEMBERS, READERS
from lessonbook.intake.report_file import ReportFile
from lessonbook.screening.lint import rules as lint
from lessonbook.search.index import RelevanceIndex
from lessonbook.search.relevance import Compared, RelevanceModel, load_relevance_model
from tests.reading import read_report

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "extending.md").read_text()
PACKAGE = ROOT / "server" / "lessonbook"


def test_every_file_that_the_guide_names_exists() -> None:
    named = re.findall(r"`([\w./-]+/[\w.-]+\.\w+|[\w./-]+/)`", GUIDE)
    assert len(named) > 20
    assert [name for name in named if not ((ROOT / name).exists() or (PACKAGE / name).exists())] == []


def test_every_name_that_the_guide_gives_with_a_file_is_in_that_file() -> None:
    given = re.findall(r"`([\w./-]+\.\w+)` \(((?:`\w+`(?:, )?)+)\)", GUIDE)
    assert len(given) > 8
    for file, names in given:
        text = next(place / file for place in (PACKAGE, ROOT) if (place / file).exists()).read_text()
        assert [name for name in re.findall(r"\w+", names) if not re.search(rf"\b{name}\b", text)] == [], file


class TestReader:
    """A reader of a list of findings in JSON, under a member of its own."""

    LAYOUT = Layout(
        kind="sparrow",  # type: ignore[arg-type]
        lists=("chirps",),
        shape={"text": None, "where": None},
        advice="give a file that sparrow wrote",
        read=lambda record: Finding(description=str(record["text"]), file=str(record["where"])),
    )

    @pytest.fixture(autouse=True)
    def registered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def open_sparrow(file: ReportFile) -> Reading:
            return open_records(file, self.LAYOUT)

        monkeypatch.setitem(READERS, "sparrow", open_sparrow)  # type: ignore[misc]
        monkeypatch.setitem(MEMBERS, "chirps", "sparrow")  # type: ignore[misc]

    @pytest.mark.parametrize("kind", ["auto", "sparrow"])
    def test_its_files_are_known_by_what_is_in_them_and_read(self, kind: Any) -> None:
        content = b'{"chirps": [{"text": "The handle leaks", "where": "a.py"}]}'
        (finding,) = read_report(content, kind=kind, place="-").findings
        assert (finding.description, finding.file) == ("The handle leaks", "a.py")


class TestJsonFormat:
    """A format of JSON as data: records in lists in lists, with members around them."""

    def test_a_row_of_the_table_is_a_reader(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wren = JsonFormat(
            kind="wren",  # type: ignore[arg-type]
            name="Wren JSON",
            known_by=("nests|songs",),
            advice="give what `wren --json` wrote",
            records=(
                Records(
                    "nests.*.songs.*",
                    ("rule", "text", "at.line"),
                    lambda song, around: issue(
                        "wren",
                        rule=song.text("rule"),
                        message=song.text("text"),
                        file=around.text("tree"),
                        line=song.number("at.line"),
                    ),
                ),
            ),
            around=("nests.*.tree",),
        )
        monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, wren))
        monkeypatch.setitem(READERS, "wren", lambda file: open_format(file, [wren]))  # type: ignore[misc]
        song = {"rule": "W1", "text": "The handle leaks", "at": {"line": 7}}
        data = {"songs": 1, "nests": [{"songs": [song], "tree": "a.py"}]}
        (finding,) = read_report(json.dumps(data).encode(), place="-").findings
        assert (finding.rule_id, finding.file, finding.line) == ("wren:W1", "a.py", 7)


def test_a_lint_rule_holds_up_what_it_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    def shouts(text: str) -> list[str]:
        return ["it shouts"] if "!!" in text else []

    text = "Close every file you open!!"
    assert lint.screen(text).verdict == "clean"
    monkeypatch.setattr(lint, "CHECKS", (*lint.CHECKS, shouts))
    assert lint.screen(text).reasons == ("it shouts",)
    assert lint.screen("Close every file you open.").verdict == "clean"


class Words(Request):
    """A text."""

    text: str


class Counted(Result):
    """How many words a text has."""

    count: int


async def count_words(_work: object, _caller: object, words: Words) -> Counted:
    return Counted(count=len(words.text.split()))


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
class TestTool:
    """An operation is a tool and its REST twin."""

    OPERATION = Operation(
        name="count_words",
        title="Count words",
        description="Count the words of a text.",
        request=Words,
        result=Counted,
        act=count_words,
        wording=lambda counted: f"{counted.count} words",
        toolset="agent",
        read_only=True,
        idempotent=True,
    )

    @pytest.fixture(autouse=True)
    def registered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (tool_table, mcp_calls, rest):
            monkeypatch.setattr(module, "OPERATIONS", (*OPERATIONS, self.OPERATION))

    @pytest.fixture
    async def gateway(self, settings: Settings) -> AsyncIterator[Gateway]:
        gateway = gateway_for(settings, "local")
        yield gateway
        await gateway.close()

    async def test_it_is_listed_and_called(self, gateway: Gateway) -> None:
        async with Client(build_server(gateway, ["agent"], stays_connected=True)) as client:
            listed = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert listed["count_words"].description == "Count the words of a text."
            answer = await client.call_tool("count_words", {"text": "close what was opened"})
            assert answer.structured_content == {"count": 4}
            assert (await client.call_tool("count_words", {"txt": "x"})).is_error

    async def test_its_twin_takes_the_same(self, gateway: Gateway, settings: Settings) -> None:
        transport = httpx2.ASGITransport(build_app(gateway, settings))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as web:
            answer = await web.post("/api/count_words", json={"text": "close what was opened"})
            assert answer.json() == {"count": 4}
            assert "/api/count_words" in (await web.get("/openapi.json")).json()["paths"]


class TestSignal:
    """A ranking signal that is tried before it is trained: one more field of the comparison, and its weight."""

    def test_it_changes_the_order_by_its_weight(self) -> None:
        texts = {
            "long": "Close the file in the block that opened it, whatever happens in between.",
            "short": "Close it.",
        }
        index: RelevanceIndex[str] = RelevanceIndex()
        for key, text in texts.items():
            index.put(key, text)

        def order(weight: float) -> list[str]:
            known = load_relevance_model()
            fit = RelevanceModel((*known.weights, weight), known.bias, known.threshold)  # type: ignore[arg-type]
            found = index.compared("close the file")
            told: Mapping[str, float] = {
                key: fit.probability((*one, 1 / len(texts[key])))  # type: ignore[arg-type]
                for key, one in found
            }
            return sorted(told, key=lambda key: -told[key])

        assert order(0.0) == ["long", "short"]
        assert order(1_000.0) == ["short", "long"]

    def test_every_signal_is_filled_by_the_index_and_has_a_packaged_weight(self) -> None:
        code = (PACKAGE / "search" / "index.py").read_text()
        filled = code.partition("        told: dict")[2].partition("\n        }")[0]
        assert re.findall(r'^ +"(\w+)": ', filled, re.MULTILINE) == list(Compared._fields)
        fit = load_relevance_model()
        assert fit.embedded is not None
        assert len(fit.weights) == len(fit.embedded[0]) == len(Compared._fields)
