"""Files: refined part by part, each part once."""

import json
from pathlib import Path

import pytest

from lessonbook.domain.errors import Conflict, InvalidInput, Unavailable
from lessonbook.domain.file_results import FileReport
from lessonbook.domain.lesson import Caller
from lessonbook.services.report import files, refinement
from lessonbook.services.workspace import Workspace
from lessonbook.store import tables
from tests.conftest import on_both

pytestmark = [pytest.mark.anyio, pytest.mark.databases("sqlite")]

FIXTURES = Path(__file__).parents[2] / "fixtures"
AGENT = "BackendDevelopmentAgent"
sqlite_alone = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


def ruff(*messages: object) -> bytes:
    """Return a file of ruff's; a message that is no text makes a record that cannot be read."""
    same = {"code": "F401", "filename": "a.py", "location": {"row": 1, "column": 1}}
    return json.dumps([{**same, "message": message} for message in messages]).encode()


async def send(work: Workspace, caller: Caller, data: bytes | Path, **about) -> FileReport:
    return await files.report_file(work, caller, data, **{"agent_name": AGENT, **about})


@sqlite_alone
@pytest.mark.parametrize(
    ("name", "findings", "source"),
    [
        ("bandit.sarif", 21, "ci"),
        ("ruff.sarif", 25, "ci"),
        ("junit.xml", 7, "ci"),
        ("pytest_json_report.json", 6, "ci"),
        ("pytest_reportlog.jsonl", 6, "ci"),
        ("ruff.json", 8, "ci"),
        ("bandit.json", 6, "ci"),
        ("review_comments.json", 3, "review"),
        ("review_webhook.json", 1, "review"),
    ],
)
async def test_every_kind_of_file_is_refined_and_says_where_it_comes_from(
    loop, work: Workspace, qa: Caller, name: str, findings: int, source: str
):
    done = await send(work, qa, FIXTURES / name)
    counted = (done.created, done.merged, done.pending, done.quarantined, done.rejected)
    assert done.findings == sum(counted) == findings
    assert await loop.rows(tables.issues, "source") == [source] * findings


@sqlite_alone
async def test_a_named_source_is_kept(loop, work: Workspace, qa: Caller):
    await send(work, qa, FIXTURES / "review_webhook.json", source="user")
    assert await loop.rows(tables.issues, "source") == ["user"]


async def test_one_bad_record_loses_no_other_and_is_told_with_its_place(work: Workspace, qa: Caller):
    done = await send(work, qa, ruff("one", None, "two"))
    assert done.findings == len(done.issues) == 2
    assert [(record.place, record.reason) for record in done.refused] == [("[1]", "has no message")]


async def test_a_file_that_breaks_off_changes_nothing(loop, work: Workspace, qa: Caller, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 2)
    whole = (FIXTURES / "bandit.sarif").read_bytes().rstrip()
    for data in (whole[:-1], whole[: len(whole) // 2]):
        with pytest.raises(InvalidInput, match="is not valid JSON"):
            await send(work, qa, data, kind="sarif", idempotency_key="k")
    assert await loop.count(tables.issues, tables.refinement_runs, tables.idempotency_keys) == [0, 0, 0]


async def test_many_findings_are_counted_and_the_first_hundred_told(work: Workspace, qa: Caller, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 70)
    told: list[tuple[int, int]] = []
    data = ruff(*(f"Name {chr(97 + number % 26)} is unused" for number in range(150)), None)
    done = await send(work, qa, data, progress=lambda *state: told.append(state))
    assert (done.findings, len(done.issues), len(done.refinement_run_ids), len(done.refused)) == (150, 100, 3, 1)
    assert told == [(70, 151), (140, 151), (151, 151)]


async def test_a_file_without_findings_makes_no_refinement_run(loop, work: Workspace, qa: Caller):
    assert (await send(work, qa, b"[]")).refinement_run_ids == []
    assert await loop.count(tables.refinement_runs) == [0]


@on_both
async def test_a_file_for_a_run_that_nobody_fetched_lessons_under_is_kept(loop, work: Workspace, qa: Caller):
    (file,) = (await send(work, qa, ruff("one"), run_ids=["feature/login"])).files
    assert "measures nothing" in file.notes[-1]
    assert await loop.rows(tables.issues, "run_id") == ["feature/login"]
    assert await loop.rows(tables.runs, "principal") == [""]


@on_both
async def test_a_file_without_findings_is_a_check_of_its_runs(loop, work: Workspace, qa: Caller):
    await send(work, qa, ruff(), run_ids=["one", "two"])
    checks = {(row["run_id"], row["findings"], row["routine"]) for row in await loop.rows(tables.run_checks)}
    assert checks == {("one", 0, True), ("two", 0, True)}
    assert await loop.count(tables.issues, tables.refinement_runs) == [0, 0]


# --- the same key -----------------------------------------------------------------------------------------------------


async def test_a_file_goes_on_where_it_stopped(loop, work: Workspace, qa: Caller, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "CHUNK", 2)
    data = ruff(*"abcdefg")
    calls = 0

    async def breaks_in_the_third_part(work: Workspace, caller: Caller, batch: refinement.Batch):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Unavailable
        return await refinement.refine(work, caller, batch)

    with monkeypatch.context() as broken:
        broken.setattr(files, "refine", breaks_in_the_third_part)
        with pytest.raises(Unavailable):
            await send(work, qa, data, idempotency_key="build-1")
    assert await loop.count(tables.issues) == [4]
    done = await send(work, qa, data, idempotency_key="build-1")
    assert (done.findings, len(done.refinement_run_ids)) == (7, 4)
    assert await loop.count(tables.issues, tables.refinement_runs) == [7, 4]
    assert done == await send(work, qa, data, idempotency_key="build-1")
    assert await loop.count(tables.issues) == [7]


@pytest.mark.parametrize("about", [{}, {"agent_name": "DatabaseAgent"}, {"source": "scanner"}])
async def test_a_key_stands_for_one_file_and_what_was_said_of_it(loop, work: Workspace, qa: Caller, about: dict):
    await send(work, qa, ruff("one", "two"), idempotency_key="k")
    other = ruff("one", "two") if about else ruff("one", "three")
    with pytest.raises(Conflict, match="already used for another report_file request"):
        await send(work, qa, other, idempotency_key="k", **about)
    assert await loop.count(tables.issues) == [2]


async def test_a_file_that_differs_behind_its_first_part_is_another(
    loop, work: Workspace, qa: Caller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(files, "CHUNK", 1)
    await send(work, qa, ruff("one", "two"), idempotency_key="k")
    with pytest.raises(Conflict):
        await send(work, qa, ruff("one", "three"), idempotency_key="k")
    assert await loop.count(tables.issues) == [2]


async def test_keys_of_files_and_of_reports_never_meet(
    loop, work: Workspace, qa: Caller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(files, "CHUNK", 1)
    for key in ("k", "k#0", "k#1"):
        await loop.report(qa, "Something else", idempotency_key=key)
    await send(work, qa, ruff("one", "two"), idempotency_key="k")
    await send(work, qa, ruff("three", "four"), idempotency_key="k#1")
    assert await loop.count(tables.issues) == [7]


async def test_without_a_key_a_file_is_refined_each_time(loop, work: Workspace, qa: Caller):
    for _ in range(2):
        await send(work, qa, ruff("one"))
    assert await loop.count(tables.issues) == [2]
