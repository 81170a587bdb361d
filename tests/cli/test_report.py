"""`lessonbook report` with files: which, from where, and to where."""

import io
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cli.conftest import Run

FIXTURES = Path(__file__).parents[1] / "fixtures"
AGENT = "BackendDevelopmentAgent"
ISSUE = {"action": "pending", "lesson_id": None, "agent_name": AGENT, "severity": "low", "category": "other"}


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Any:
    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


@pytest.mark.parametrize(
    ("name", "findings"),
    [
        ("ruff.sarif", 25),
        ("junit.xml", 7),
        ("pytest_json_report.json", 6),
        ("pytest_reportlog.jsonl", 6),
        ("ruff.json", 8),
        ("bandit.json", 6),
        ("review_comments.json", 3),
    ],
)
def test_a_file_of_any_kind_is_known_by_its_content(run: Run, stdin: Any, name: str, findings: int) -> None:
    done = run("report", "--file", str(FIXTURES / name), "--agent", AGENT, "--json")
    assert done.code == 0, done.err
    assert done.json["findings"] == findings
    stdin((FIXTURES / name).read_bytes())
    assert run("report", "-", "--agent", AGENT, "--json").json["findings"] == findings


def test_a_format_that_is_named_is_not_guessed(run: Run, stdin: Any) -> None:
    Path("notes").write_text("[]\n\n{}")
    assert run("report", "--file", "notes", "--format", "text", "--json").json["findings"] == 2
    done = run("report", "--file", "notes", "--format", "sarif")
    assert done.code == 2
    assert "notes is not valid JSON (line 3, column 1)" in done.err
    stdin(b"[]\n\n{}")
    assert run("report", "-", "--format", "text", "--json").json["findings"] == 2


@pytest.mark.parametrize("option", ["--sarif", "--junit", "--file"])
def test_a_dash_stands_for_standard_input(run: Run, stdin: Any, option: str) -> None:
    stdin((FIXTURES / ("junit.xml" if option == "--junit" else "bandit.sarif")).read_bytes())
    assert run("report", option, "-", "--json").json["findings"] in {7, 21}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("report", "--file", "gone.json"), "gone.json cannot be read"),
        (("report", "--file", "."), "No report was found"),
        (("report", "x", "--file", "a"), "one of them"),
        (("report", "x y", "z"), "'x y' is not there: put an issue in words into quotes"),
        (("report", "gone.json"), "gone.json cannot be read"),
        (("report", "gone/*.json"), "No file matches gone/*.json"),
        (("report", "-", "-"), "Standard input (-) is read once"),
        (("report", "x", "--format", "ruff"), "--format goes with FILE"),
        (("report", "--sarif", "a", "--format", "ruff"), "--format goes with FILE"),
        (("report", "--file", "a", "--rule", "CWE-89"), "leave them out with a file"),
        (("report", "--file", str(FIXTURES / "ruff.json"), "--source", "me"), "source"),
        (("report", "--file", "gone.json", "--server", "http://127.0.0.1:1"), "gone.json cannot be read"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence_and_exit_code_2(
    run: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert sentence in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b'[{"path": "a", "body": "b"}][{"path": "a", "body": "c"}',
            "is not valid JSON (line 1, column 56): it breaks off there",
        ),
        (b'[\n {"code": "F401",\n', "is not valid JSON (line 3, column 1): it breaks off there"),
        (b'adding\n{"version": "2.1.0", "runs": []}', "has other words before its JSON (line 2)"),
        (b'{"stats": {}, "tests": [{}], "passes": [], "failures": [', "is not valid JSON (line 1, column 57)"),
        (b"<checkstyle><file name='a.java'>", "is not valid XML (line 1, column 33)"),
        (
            b'<?xml version="1.0"?><coverage line-rate="1"/>',
            "is XML, but not a JUnit report: it is a coverage report (Cobertura",
        ),
        (b"\x1f\x8b\x08\x00", "is damaged: it cannot be unpacked to its end"),
        (b"PK\x03\x04", "is a damaged zip archive"),
        (b"<testsuite>" * 300, "is nested more than 200 elements deep"),
        (b'{"runs": ' + b"[" * 300, "is nested more than 200 deep"),
    ],
)
def test_a_file_that_is_no_report_leaves_nothing_behind(run: Run, content: bytes, sentence: str) -> None:
    Path("out").write_bytes(content)
    done = run("report", "--file", "out", "--agent", AGENT, "--json")
    assert done.code == 2
    assert f"out {sentence}" in " ".join(done.err.split())
    assert run("pending", "--json").json["issues"] == []


def test_a_refused_record_is_told_with_its_place(run: Run) -> None:
    records = json.loads((FIXTURES / "ruff.json").read_text())
    Path("ruff.json").write_text(json.dumps([*records, {"code": "F401"}, 7]))
    done = run("report", "--file", "ruff.json", "--agent", AGENT)
    assert done.code == 0
    assert "[8]" in done.out
    assert "has no message" in done.out


def test_a_file_under_one_key_counts_once(run: Run) -> None:
    arguments = ("report", "--file", str(FIXTURES / "ruff.json"), "--agent", AGENT, "--key", "build-1", "--json")
    assert run(*arguments).json == run(*arguments).json
    assert run("stats", "--json").json["totals"]["issues"] == 8


# --- to a server ------------------------------------------------------------------------------------------------------


class Received(BaseHTTPRequestHandler):
    """A server that keeps what it is sent, and answers as ours would."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        report = {
            "findings": 1,
            "created": 0,
            "merged": 0,
            "pending": 1,
            "quarantined": 0,
            "rejected": 0,
            "refused": [],
        }
        lines = [{**ISSUE, "issue_id": "I1", "reason": "It waits."}]
        files = {**report, "refinement_run_ids": ["R1"], "lesson_ids": [], "issues": lines}
        issues = {"refinement_run_id": "R1", "issues": lines}
        answer = json.dumps(files if self.path.startswith("/api/reports/") else issues).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), Received)
    server.received = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_is_sent_as_it_is_with_a_key_of_its_own(run: Run, server: Any) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    arguments = ("--agent", AGENT, "--server", url, "--token", "secret", "--json")
    for kind in ("ruff", "auto"):
        chosen = () if kind == "auto" else ("--format", kind)
        done = run("report", "--file", str(FIXTURES / "ruff.json"), *chosen, *arguments)
        assert done.json["pending"] == 1, done.err
        path, headers, body = server.received[-1]
        asked = parse_qs(urlsplit(path).query)
        assert urlsplit(path).path == f"/api/reports/{kind}"
        assert body == (FIXTURES / "ruff.json").read_bytes()
        assert headers["Authorization"] == "Bearer secret"
        assert asked["agent_name"] == [AGENT]
        assert "source" not in asked  # the server knows who speaks in such a file
        assert len(asked["idempotency_key"][0]) == 32
    assert server.received[0][0] != server.received[1][0]


def test_a_key_that_is_named_is_sent(run: Run, server: Any) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    run("report", "--junit", str(FIXTURES / "junit.xml"), "--key", "build-1", "--server", url)
    run("report", "It broke", "--key", "build-2", "--server", url)
    file, words = server.received
    assert parse_qs(urlsplit(file[0]).query)["idempotency_key"] == ["build-1"]
    assert json.loads(words[2]) == {
        "issues": [{"description": "It broke"}],
        "source": "user",
        "idempotency_key": "build-2",
    }
