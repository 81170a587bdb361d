"""What `report` reads, the run it names, and where it sends both."""

from __future__ import annotations

import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from lessonbook import services
from lessonbook.cli.console import request, run
from lessonbook.domain.documents import object_of
from lessonbook.domain.errors import InvalidInput, Unavailable
from lessonbook.domain.operator import FileReport
from lessonbook.machine import git

if TYPE_CHECKING:
    from lessonbook.domain.findings import ReportKind
    from lessonbook.domain.loop import Refinement

TRAILER = "Lessonbook-Run"
SEND_TIMEOUT_S = 60.0
REFINE_TIMEOUT_S = 630.0
"""Maximum wait for the answer to a file: longer than the server's own time-out."""
IN_MEMORY_MAX = 1024 * 1024
"""Bytes of standard input that are kept in memory; more is kept in a temporary file."""
CONNECT_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the reporter said of all findings. Where `source` is empty, it follows from what is reported."""

    agent_name: str
    run_id: str
    source: str
    idempotency_key: str = ""

    def fields(self) -> dict[str, str]:
        """Return the fields that are not empty, by name."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True, slots=True)
class Reported:
    """What is reported: a file, or an issue in words."""

    kind: ReportKind
    content: bytes | Path | BinaryIO
    place: str
    in_words: bool = False

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes."""
        from lessonbook.intake.report_file import ReportFile

        yield from ReportFile(self.content, self.place).chunks()

    def close(self) -> None:
        """Free what was kept of standard input."""
        if not isinstance(self.content, (bytes, Path)):
            self.content.close()


def run_from_git() -> str:
    """Return the run named by the last commit's trailer; empty where there is no trailer.

    Raises:
        InvalidInput: the working folder is not a git checkout with a commit, or there is no git.
    """
    wanted = f"--format=%(trailers:key={TRAILER},valueonly,separator=%x0A)"
    try:
        done = git.ask(Path.cwd(), "log", "-1", wanted, timeout_s=10)
    except OSError as error:
        raise InvalidInput("--run-from-git needs git on this machine; name the run with --run") from error
    if done.returncode != 0:
        raise InvalidInput("--run-from-git needs a git checkout with a commit; name the run with --run")
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def choose(text: str, named: Mapping[ReportKind, Path | None], file: Path | None, kind: ReportKind | None) -> Reported:
    """Return what the command line names: an issue in words, a file, or standard input.

    Args:
        text: the issue in words; `-` is standard input.
        named: the files of `--sarif` and `--junit`, by format.
        file: the file of `--file`.
        kind: its format, from `--format`.

    Raises:
        InvalidInput: nothing was named, or more than one thing.
    """
    files: list[ReportKind] = [of for of, path in named.items() if path]
    if len(files) + bool(file) + bool(text) != 1:
        raise InvalidInput("Say what to report: a text, --file FILE, --sarif FILE or --junit FILE, one of them")
    if kind and not (file or text == "-"):
        raise InvalidInput("--format goes with --file FILE or -: leave it out")
    if text and text != "-":
        return Reported("text", text.encode("utf-8", "surrogatepass"), "the text", in_words=True)
    of: ReportKind = files[0] if files else kind or "auto"
    path = (named[of] if files else file) or Path("-")
    if str(path) == "-":
        return Reported(of, _held(sys.stdin.buffer), "standard input")
    return Reported(of, path, str(path))


def _held(stream: BinaryIO) -> BinaryIO:
    """Return the content of a stream as a nameless file that can be rewound."""
    held = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_MAX))  # noqa: SIM115  # see close
    shutil.copyfileobj(stream, held)
    return held


def whole_file(reported: Reported, sender: ReportOptions, progress: Callable[[int, int], None]) -> FileReport:
    """Report everything in a file, and return what became of it."""
    from lessonbook.domain.loop import Report

    checked = request(Report, **sender.fields(), issues=[{"description": "the file has its own"}])
    return run(
        services.report.report_file,
        reported.content,
        kind=reported.kind,
        place=reported.place,
        agent_name=checked.agent_name,
        run_id=checked.run_id,
        source=checked.source if sender.source else None,
        idempotency_key=checked.idempotency_key,
        progress=progress,
    )


def one_issue(reported: Reported, sender: ReportOptions, fields: dict[str, str]) -> FileReport:
    """Report one issue in words, and return what became of it."""
    from lessonbook.domain.loop import Report

    return _summary(run(services.report.report_issues, request(Report, **_single(reported, sender, fields))))


def _summary(result: Refinement) -> FileReport:
    return services.report.summary(result)


def send(
    server: str,
    token: str,
    reported: Reported,
    sender: ReportOptions,
    fields: dict[str, str] | None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> FileReport:
    """Send a report to a server and return its answer. An idempotency key keeps retries from reporting twice.

    `fields` are those of one issue in words; None: it is a file, which is sent as it is read. `progress` is called
    with the KiB sent and those in all.

    Raises:
        InvalidInput: the server refuses the report.
        Unavailable: the server does not answer.
    """
    import httpx2

    from lessonbook.domain.loop import Refinement

    if not server.startswith(("http://", "https://")):
        raise InvalidInput(f"--server {server!r} is not a web address: write http://host:port or https://host")
    sender = replace(sender, idempotency_key=sender.idempotency_key or uuid.uuid4().hex)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    base = server.rstrip("/")
    try:
        transport = httpx2.HTTPTransport(retries=CONNECT_ATTEMPTS)
        with httpx2.Client(transport=transport, timeout=SEND_TIMEOUT_S, headers=headers) as client:
            if fields is not None:
                body = _single(reported, sender, fields)
                answer = client.post(f"{base}/api/report_issues", json=body)
                return _summary(Refinement.model_validate(_checked(answer)))
            size = sum(map(len, reported.pieces()))
            answer = client.post(
                f"{base}/api/reports/{reported.kind}",
                params=sender.fields(),
                content=_counted(reported.pieces(), size, progress),
                headers={"Content-Length": str(size)},
                timeout=httpx2.Timeout(SEND_TIMEOUT_S, read=REFINE_TIMEOUT_S),
            )
            return FileReport.model_validate(_checked(answer))
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Unavailable(
            f"{base} does not answer ({type(error).__name__}): the report may not have arrived"
        ) from error


def _counted(pieces: Iterator[bytes], size: int, progress: Callable[[int, int], None]) -> Iterator[bytes]:
    sent = 0
    for piece in pieces:
        yield piece
        sent += len(piece)
        progress(sent // 1024, size // 1024)


def _single(reported: Reported, sender: ReportOptions, fields: dict[str, str]) -> dict[str, Any]:
    words = b"".join(reported.pieces()).decode("utf-8", "surrogatepass")
    issue = {"description": words, **{name: value for name, value in fields.items() if value}}
    return {"source": "user", **sender.fields(), "issues": [issue]}


def _checked(response: Any) -> dict[str, Any]:
    try:
        document: dict[str, Any] = object_of(response.json())
    except ValueError:
        document = {}
    if response.is_success:
        return document
    message = document.get("message") or f"status {response.status_code}"
    if response.status_code >= 500:  # noqa: PLR2004  # the server's own failure
        raise Unavailable(f"The server cannot process the report now: {message}")
    raise InvalidInput(f"The server refuses the report: {message}")
