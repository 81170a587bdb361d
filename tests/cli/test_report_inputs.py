"""`lessonbook report` with several files, patterns, folders and archives."""

import gzip
import io
import json
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import Run

FIXTURES = Path(__file__).parents[1] / "fixtures"
SCANNERS = FIXTURES / "scanners"
AGENT = ("--agent", "BackendDevelopmentAgent")


@pytest.fixture
def reports() -> Path:
    """Return a folder with two reports, and files that are none."""
    folder = Path("reports")
    (folder / "lint" / "node_modules").mkdir(parents=True)
    shutil.copy(SCANNERS / "eslint.json", folder / "lint")
    shutil.copy(FIXTURES / "ruff.json", folder)
    shutil.copy(FIXTURES / "ruff.json", folder / "lint" / "node_modules")
    (folder / "package.json").write_text('{"name": "shop", "dependencies": {}}')
    (folder / "pom.xml").write_text("<project/>")
    (folder / "notes.txt").write_text("The export is slow.")
    return folder


def places(document: dict[str, list[dict[str, object]]]) -> list[tuple[object, object, object]]:
    return [(file["place"], file["kind"], file["findings"]) for file in document["files"]]


def test_several_files_are_reported_in_one_call(run: Run, reports: Path) -> None:
    one, two = str(reports / "ruff.json"), str(reports / "lint" / "eslint.json")
    for arguments in ((one, two), ("--file", one, "--file", two), (one, "--file", two)):
        done = run("report", *arguments, *AGENT, "--json")
        assert done.code == 0, done.err
        assert places(done.json) == [(one, "ruff", 8), (two, "eslint", 2)]
        assert done.json["findings"] == 10 == len(done.json["issues"])


def test_how_a_file_was_read_is_said(run: Run, reports: Path) -> None:
    done = run("report", str(reports / "ruff.json"), str(reports / "lint" / "eslint.json"), *AGENT)
    out = " ".join(done.out.split())
    assert "ruff.json read as ruff JSON: 8 findings" in out
    assert "eslint.json read as ESLint JSON: 2 findings" in out
    assert "10 findings:" in out
    Path("none.json").write_text(json.dumps([{"filePath": "a.js", "messages": []}]))
    assert "none.json read as ESLint JSON: no findings" in run("report", "none.json").out


@pytest.mark.parametrize("named", ["reports", "reports/**/*.json", "packed.zip"])
def test_folders_patterns_and_archives_are_searched_for_reports(run: Run, reports: Path, named: str) -> None:
    with zipfile.ZipFile("packed.zip", "w") as archive:
        for path in sorted(reports.rglob("*.*")):
            if "node_modules" not in path.parts:
                archive.write(path)
    if "*" in named:
        (reports / "package.json").unlink()
        shutil.rmtree(reports / "lint" / "node_modules")
    done = run("report", named, *AGENT, "--json")
    assert done.code == 0, done.err
    assert sorted(str(file["kind"]) for file in done.json["files"]) == ["eslint", "ruff"]
    assert done.json["findings"] == 10
    left_out = {Path(str(place).rpartition(":")[2]).name for place in done.json["left_out"]}
    assert left_out == {
        "reports": {"package.json", "pom.xml"},
        "packed.zip": {"package.json", "pom.xml", "notes.txt"},
    }.get(named, set())


def test_packed_files_are_read_from_disk_and_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (FIXTURES / "ruff.json").read_bytes()
    Path("ruff.json.gz").write_bytes(gzip.compress(data))
    assert run("report", "ruff.json.gz", *AGENT, "--json").json["findings"] == 8
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("ruff.json", data)
    for packed in (gzip.compress(data), held.getvalue()):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(packed)))
        done = run("report", "-", *AGENT, "--json")
        assert done.code == 0, done.err
        assert done.json["findings"] == 8


@pytest.mark.parametrize("broken", ["broken.json", "reports/broken.json", "reports"])
def test_one_bad_file_stores_nothing_of_the_others(run: Run, reports: Path, broken: str) -> None:
    for place in (Path("broken.json"), reports / "broken.json"):
        place.write_text('{"runs": [')
    done = run("report", str(reports / "ruff.json"), broken, *AGENT)
    assert done.code == 2
    assert "is not valid JSON" in done.err
    assert "nothing was reported" in " ".join(done.err.split())
    assert run("stats", "--json").json["totals"]["issues"] == 0


def test_a_file_that_is_named_has_to_be_a_report(run: Run, reports: Path) -> None:
    done = run("report", str(reports / "ruff.json"), str(reports / "package.json"))
    assert done.code == 2
    assert "package.json is a package manifest, which is not read" in " ".join(done.err.split())
    done = run("report", str(reports / "lint" / "node_modules"), "--format", "sarif")
    assert done.code == 2


def test_a_folder_without_reports_is_an_error(run: Run) -> None:
    Path("empty").mkdir()
    (Path("empty") / "a.json").write_text("{}")
    done = run("report", "empty")
    assert done.code == 2
    assert "No report was found; looked at 1: empty/a.json" in " ".join(done.err.split())


def test_files_under_one_key_count_once(run: Run, reports: Path) -> None:
    arguments = ("report", str(reports), *AGENT, "--key", "build-1", "--json")
    assert run(*arguments).json == run(*arguments).json
    assert run("stats", "--json").json["totals"]["issues"] == 10


def test_a_word_that_names_a_file_is_a_file_and_others_are_words(run: Run, reports: Path) -> None:
    assert run("report", str(reports), *AGENT, "--json").json["findings"] == 10
    done = run("report", "the export drops rows", *AGENT, "--json")
    assert done.json["findings"] == 1
    assert done.json["files"] == []


def test_a_scanner_that_crashed_is_said(run: Run) -> None:
    notification = {"level": "error", "message": {"text": "out of\nmemory, token=ghp_" + "a1B2" * 9}}
    invocation = {"executionSuccessful": False, "toolExecutionNotifications": [notification, {"level": "note"}]}
    tool = {"driver": {"name": "Probe"}}
    runs = [{"tool": tool, "invocations": [invocation], "results": []}]
    Path("scan.sarif").write_text(json.dumps({"version": "2.1.0", "runs": runs}))
    done = run("report", "scan.sarif")
    assert done.code == 0
    assert "scan.sarif read as SARIF of probe: no findings" in " ".join(done.out.split())
    said = " ".join(done.err.split())
    assert "probe did not run to its end: findings may be missing" in said
    assert "probe reports an error (out of memory" in said
    assert "a1B2" not in said
