"""The same finding, reported again, is one issue: whatever moved, and wherever it ran."""

import json

import pytest

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding
from lessonbook.domain.fingerprints import lasting_words
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_names import issue_name
from lessonbook.services.report import files
from lessonbook.services.report.preparation import prepare
from lessonbook.services.workspace import Workspace
from lessonbook.store import tables

pytestmark = pytest.mark.anyio

AGENT = "BackendDevelopmentAgent"
sqlite_alone = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


def junit(number: int, address: str, folder: str) -> bytes:
    message = f"AssertionError: assert {number} == 10"
    return (
        f'<testsuite><testcase classname="tests.test_export" name="test_rows" file="{folder}/tests/test_export.py"'
        f' line="{number}" time="0.{number}"><failure message="{message}">E {message} at 0x7f{address} in'
        f" /tmp/pytest-of-ann/pytest-{number}/x.csv</failure></testcase></testsuite>"
    ).encode()


def gcc(line: int, folder: str) -> bytes:
    return (
        f"{folder}/src/a.c:{line}:5: warning: unused variable 'x' [-Wunused-variable]\n   {line} | int x;\n"
        f"{folder}/lib/b.c:{line + 7}:1: error: expected ';' before '}}' token\n"
    ).encode()


def sarif(line: int, root: str) -> bytes:
    place = {"artifactLocation": {"uri": f"file://{root}/src/a.py"}, "region": {"startLine": line}}
    result = {
        "ruleId": "B608",
        "message": {"text": "Possible SQL injection"},
        "locations": [{"physicalLocation": place}],
    }
    bases = {"%SRCROOT%": {"uri": f"file://{root}/"}}
    run = {"tool": {"driver": {"name": "Bandit"}}, "originalUriBaseIds": bases, "results": [result]}
    return json.dumps({"version": "2.1.0", "runs": [run]}).encode()


def tap(duration: int, folder: str) -> bytes:
    return (
        f"TAP version 13\nnot ok 1 - adds\n  ---\n  duration_ms: {duration}\n  location: '{folder}/a.test.js:3:1'\n"
        f"  error: '2 !== {duration}'\n  ...\n1..1\n"
    ).encode()


def go(number: int) -> bytes:
    events = (
        {"Time": f"2026-11-0{number}T00:00:00Z", "Action": "run", "Package": "example.com/m/p", "Test": "TestX"},
        {"Action": "output", "Package": "example.com/m/p", "Test": "TestX", "Output": f"    x_test.go:{number}: bad\n"},
        {"Action": "fail", "Package": "example.com/m/p", "Test": "TestX", "Elapsed": number},
    )
    return "\n".join(map(json.dumps, events)).encode()


def review(number: int, line: int | None) -> bytes:
    url = f"https://github.com/acme/shop/pull/7#discussion_r{number}"
    comment = {"id": number, "html_url": url, "body": "This leaks a handle.", "path": "a.py", "line": line}
    return json.dumps([comment]).encode()


def thread(number: int) -> bytes:
    comments = {"nodes": [{"databaseId": number, "body": "This leaks a handle."}]}
    nodes = [{"isResolved": False, "path": "a.py", "line": 9, "comments": comments}]
    return json.dumps({"data": {"repository": {"pullRequest": {"reviewThreads": {"nodes": nodes}}}}}).encode()


def checkstyle(line: int, folder: str) -> bytes:
    error = f'<error line="{line}" severity="error" message="Magic &apos;64&apos;" source="x.y.MagicNumberCheck"/>'
    return f'<checkstyle><file name="{folder}/src/A.java">{error}</file></checkstyle>'.encode()


AGAIN = {
    "a test that fails again": [
        junit(9, "aa01", "/home/ann/shop"),
        junit(8, "bb02", "/home/runner/work/shop/shop"),
        junit(7, "cc03", "D:/a/shop/shop"),
    ],
    "lines that moved": [gcc(3, "/home/ann/shop"), gcc(41, "/builds/acme/shop"), gcc(900, "C:/Users/ann/shop")],
    "another checkout": [sarif(3, "/home/ann/shop"), sarif(9, "/srv/ci/1234/shop"), sarif(5, "/__w/shop/shop")],
    "another duration": [tap(12, "/tmp/a1b2"), tap(44, "/tmp/c3d4")],
    "another day": [go(1), go(2)],
    "a review read twice": [review(5, 9), review(5, 14), review(5, None), thread(5)],
    "a linter's file": [checkstyle(4, "/home/ann/shop"), checkstyle(70, "/github/workspace")],
}


@sqlite_alone
@pytest.mark.parametrize("reports", AGAIN.values(), ids=list(AGAIN))
async def test_a_finding_that_is_reported_again_is_not_new(loop, work: Workspace, qa: Caller, reports: list[bytes]):
    counts: set[int] = set()
    for report in reports:
        done = await files.report_file(work, qa, report, agent_name=AGENT)
        counts.add(done.findings)
    (count,) = counts
    assert count > 0
    assert len(set(await loop.rows(tables.issues, "fingerprint"))) == count
    assert sorted(await loop.rows(tables.issues, "is_new")) == [False] * count * (len(reports) - 1) + [True] * count


@sqlite_alone
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (junit(9, "a", "/x"), junit(9, "a", "/x").replace(b"test_rows", b"test_columns")),
        (review(5, 9), review(6, 9)),
        (gcc(3, "/home/ann/shop"), gcc(3, "/home/ann/shop").replace(b"variable 'x'", b"variable 'y'")),
        (go(1), go(1).replace(b"TestX", b"TestY")),
    ],
)
async def test_another_finding_is_new(loop, work: Workspace, qa: Caller, one: bytes, other: bytes):
    known = await files.report_file(work, qa, one, agent_name=AGENT)
    await files.report_file(work, qa, other, agent_name=AGENT)
    assert (await loop.rows(tables.issues, "is_new")).count(True) == known.findings + 1


@sqlite_alone
@pytest.mark.parametrize(
    "damaged",
    [
        b"<checkstyle><file name='a'>",
        b"<pmd><file></pmd>",
        b"<BugCollection>",
        b"<results version='2'><errors>",
        b"<TestRun><Results>",
        b"<assemblies><assembly>",
        b"<test-run>",
        b'<?xml version="1.0"?><coverage line-rate="0.5"></coverage>',
        b'{"numFailedTests": 1, "testResults": [',
        b'{"stats": {}, "tests": [], "passes": [], "failures": ',
        b'{"config": {}, "suites": [], "stats": {}',
        b'[{"id": 1, "body": "x", "path": "a"}][{"id": 2, "bo',
        b'{"data": {"repository": null}, "errors": []}',
    ],
)
async def test_a_damaged_file_stores_nothing(loop, work: Workspace, qa: Caller, damaged: bytes):
    with pytest.raises(InvalidInput):
        await files.report_file(work, qa, damaged, agent_name=AGENT)
    assert await loop.count(tables.issues, tables.refinement_runs) == [0, 0]


def test_homes_and_checkouts_are_not_stored():
    said = r"Error in C:\Users\ann\shop\a.py and /home/runner/work/shop/shop/src/b.py, see /home/ann/x/y.log"
    item = prepare(Finding(description=said, file="/Users/ann/shop/a.py"), load_catalogue())
    assert item.description == r"Error in ~\shop\a.py and src/b.py, see ~/x/y.log"
    assert item.finding.file == "~/shop/a.py"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The handle <X at 0x7f01> stays open", "The handle <X at 0x7fA9> stays open"),
        ("Took 1.25s to answer", "Took 900 ms to answer"),
        ("Cannot read /tmp/pytest-1/a.csv", "Cannot read /var/folders/zz/abc123/T/tmpq/a.csv"),
        ("Run 3f2b8c1d-1111-4222-8333-123456789abc fails", "Run 0a2b8c1d-1111-4222-8333-123456789abf fails"),
        ("It fails at 2026-11-30T22:00:01Z", "It fails at 2026-12-01 08:15:59.250"),
        ("Commit 9fceb02d0ae5 breaks it", "Commit 1f7a7a472abf breaks it"),
        ("line 12 of /home/ann/a/b.py", "line 99 of /home/bob/a/b.py"),
    ],
)
def test_what_differs_between_runs_makes_no_other_fingerprint(one: str, other: str):
    assert lasting_words(one) == lasting_words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It answers 404", "It answers 500"),
        ("CVE-2021-44228 is open", "CVE-2021-45046 is open"),
        ("Route /tmpl/a is slow", "Route /tmpl/b is slow"),
    ],
)
def test_what_tells_problems_apart_stays(one: str, other: str):
    assert lasting_words(one) != lasting_words(other)


def test_the_names_of_lessons_are_as_they_were():
    assert issue_name("The handle at 0x7f01 leaks on line 12") == issue_name("The handle at 0x7f02 leaks on line 13")
    assert issue_name("Took 1.25s") != issue_name("Took 900 ms")
