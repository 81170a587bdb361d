"""Hostile issues and files: whatever they hold, each is answered in words and the counters stay right."""

import json

import anyio
import pytest

from lessonbook.domain.errors import LessonbookError
from lessonbook.domain.lesson import Caller
from lessonbook.services.report.files import report_file
from lessonbook.services.workspace import Workspace
from lessonbook.store import tables
from tests.conftest import on_both

pytestmark = [pytest.mark.anyio, pytest.mark.databases("sqlite")]

TEXTS = (
    "```",
    "!!!",
    "123",
    "１２３",
    "漏洞在这里",
    "مرحبا بالعالم",
    "\u202eabc",
    "a" + "\u0301" * 500,
    "x" * 20_000,
    "İ" * 100,
    "🎉" * 300,
    "CWE-99999999",
    "CWE-89 " * 2_000,
    "line " + "9" * 400,
    "<lessons " * 2_000,
    "[redacted:x]",
    "{} %s %d",
    "'" * 300,
)

NESTED = b"[" * 200_000
ENTITIES = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a0 "aaaaaaaaaa">'
    + ENTITIES
    + b']><testsuite><testcase name="x"><failure>&a9;</failure></testcase></testsuite>'
)
OUTSIDE = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    b'<testsuite><testcase name="x"><failure>&a;</failure></testcase></testsuite>'
)


def sarif_with(result: dict[str, object]) -> bytes:
    runs = [{"tool": {"driver": {"name": "acme"}}, "results": [result]}]
    return json.dumps({"version": "2.1.0", "runs": runs}).encode()


@pytest.mark.parametrize("field", ["lesson", "rule_id", "file"])
async def test_no_text_breaks_a_report(loop, agent: Caller, field: str) -> None:
    bound = {"lesson": 2_000, "rule_id": 200, "file": 1_000}[field]
    issues = [{"description": text, field: text[:bound]} for text in TEXTS]
    assert len((await loop.report(agent, *issues, *issues)).issues) == 2 * len(TEXTS)
    await loop.assert_healthy()


@pytest.mark.parametrize("data", [NESTED, BOMB, OUTSIDE, b"\x00" * 100], ids=["nested", "bomb", "outside", "nul"])
async def test_a_hostile_file_is_refused_in_words_and_stores_nothing(
    loop, work: Workspace, qa: Caller, data: bytes
) -> None:
    for kind in ("sarif", "junit", "pytest", "ruff", "bandit", "review"):
        with pytest.raises(LessonbookError) as refused:
            await report_file(work, qa, data, kind=kind)
        assert "passwd" not in str(refused.value)
    assert await loop.count(tables.issues) == [0]


@pytest.mark.parametrize(
    "result",
    [
        {"ruleId": "x\ud800", "message": {"text": "half a pair"}},
        {"ruleId": "x", "message": {"text": "a NUL\x00"}},
        {"ruleId": "r" * 5_000, "message": {"text": "a long rule"}},
        {"ruleId": "x", "ruleIndex": -1, "message": {"text": "an index from behind"}},
        {"ruleId": ["x"], "message": 5},
    ],
    ids=["surrogate", "nul", "long", "index", "types"],
)
async def test_a_hostile_record_is_taken_or_told(loop, work: Workspace, qa: Caller, result: dict[str, object]) -> None:
    done = await report_file(work, qa, sarif_with(result))
    assert done.findings + len(done.refused) == 1
    await loop.assert_healthy()


@on_both
async def test_two_processes_that_learn_the_same_at_once_make_one_lesson(loop, other_process, agent, qa) -> None:
    async def report(who, caller: Caller, number: int) -> None:
        issue = {
            "description": "The order export loses its tenant when it is retried",
            "lesson": "Keep state apart now.",
        }
        await who.report(caller, *[issue] * 5, f"Retried twice, order export {number} loses its tenant")

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(report, loop, agent, number)
            tasks.start_soon(report, other_process, qa, number)
    assert await loop.count(tables.lessons) == [1]
    assert await loop.count(tables.issues) == [48]
    await loop.assert_healthy()
