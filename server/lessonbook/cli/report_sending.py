"""The run that `report` names, and where it sends what it reads."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lessonbook import services
from lessonbook.cli.console import request, run_all, run_reporting
from lessonbook.domain.documents import object_of
from lessonbook.domain.errors import InvalidInput, Unavailable
from lessonbook.domain.file_results import FileReport

if TYPE_CHECKING:
    import httpx2

    from lessonbook.cli.report_inputs import Inputs, Reported
    from lessonbook.domain.agent_tools import Refinement
    from lessonbook.edges.access.gateway import Gateway

SEND_TIMEOUT_S = 60.0
REFINE_TIMEOUT_S = 630.0
"""Maximum wait for the answer to a file: longer than the server's own time-out."""
LISTED_MAX = 100
"""Issues whose outcomes are shown, as of one file."""
_COUNTS = ("findings", "created", "merged", "pending", "quarantined", "rejected")
_LISTS = ("refused", "refinement_run_ids", "lesson_ids", "issues", "files")
CONNECT_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the reporter said of all findings. Where `source` is empty, it follows from what is reported."""

    agent_name: str
    run_ids: tuple[str, ...]
    source: str
    idempotency_key: str = ""

    def fields(self) -> dict[str, str]:
        """Return the fields that are not empty, by name; an issue in words was seen in the first run."""
        fields = {"agent_name": self.agent_name, "source": self.source, "idempotency_key": self.idempotency_key}
        run = {"run_id": self.run_ids[0]} if self.run_ids else {}
        return {name: value for name, value in {**fields, **run}.items() if value}


def whole_files(inputs: Inputs, sender: ReportOptions, progress: Callable[[int, int], None]) -> FileReport:
    """Report everything in files, one after the other, and return what became of it."""
    from lessonbook.domain.agent_tools import Report

    checked = request(Report, **sender.fields(), issues=[{"description": "the file has its own"}])

    async def act(gateway: Gateway) -> FileReport:
        return joined(
            [
                await gateway.call(
                    services.report.report_file,
                    one.file,
                    kind=one.kind,
                    agent_name=checked.agent_name,
                    run_ids=sender.run_ids,
                    source=checked.source if sender.source else None,
                    idempotency_key=_key_of(one, sender, inputs),
                    progress=progress,
                )
                for one in inputs.reported
            ],
            inputs.left_out,
        )

    return run_all(act, reporting=True)


def _key_of(one: Reported, sender: ReportOptions, inputs: Inputs) -> str:
    """Return the idempotency key of one file: where there are several, each has its own, by its content."""
    if not sender.idempotency_key or len(inputs.reported) == 1:
        return sender.idempotency_key
    return hashlib.sha256(f"{sender.idempotency_key}\n{one.file.digest()}".encode()).hexdigest()


def joined(reports: Sequence[FileReport], left_out: Sequence[str] = ()) -> FileReport:
    """Return the outcomes of several files as those of one report."""
    whole = reports[0].model_copy(update={"left_out": list(left_out)})
    for report in reports[1:]:
        counts = {name: getattr(whole, name) + getattr(report, name) for name in _COUNTS}
        lists = {name: [*getattr(whole, name), *getattr(report, name)] for name in _LISTS}
        lists["issues"] = lists["issues"][:LISTED_MAX]
        lists["lesson_ids"] = list(dict.fromkeys(lists["lesson_ids"]))
        whole = whole.model_copy(update={**counts, **lists})
    return whole


def one_issue(reported: Reported, sender: ReportOptions, fields: dict[str, str]) -> FileReport:
    """Report one issue in words, and return what became of it."""
    from lessonbook.domain.agent_tools import Report

    return _summary(run_reporting(services.report.report_issues, request(Report, **_single(reported, sender, fields))))


def _summary(result: Refinement) -> FileReport:
    return services.report.summary(result)


def send_files(
    server: str, token: str, inputs: Inputs, sender: ReportOptions, progress: Callable[[int, int], None]
) -> FileReport:
    """Send files to a server, one after the other as they are read, and return its answers as one.

    An idempotency key keeps retries from reporting twice. `progress` is called with the KiB sent and those in all.

    Raises:
        InvalidInput: the server refuses the report.
        Unavailable: the server does not answer.
    """
    import httpx2

    sender = replace(sender, idempotency_key=sender.idempotency_key or uuid.uuid4().hex)
    answers: list[FileReport] = []
    with _client(server, token) as client:
        for one in inputs.reported:
            size = sum(map(len, one.pieces()))
            answer = client.post(
                f"api/reports/{one.kind}",
                params={
                    **replace(sender, idempotency_key=_key_of(one, sender, inputs)).fields(),
                    "run_id": list(sender.run_ids),
                },
                content=_counted(one.pieces(), size, progress),
                headers={"Content-Length": str(size)},
                timeout=httpx2.Timeout(SEND_TIMEOUT_S, read=REFINE_TIMEOUT_S),
            )
            report = FileReport.model_validate(_checked(answer))
            files = [file.model_copy(update={"place": one.file.place}) for file in report.files]
            answers.append(report.model_copy(update={"files": files}))
    return joined(answers, inputs.left_out)


def send_issue(
    server: str, token: str, reported: Reported, sender: ReportOptions, fields: dict[str, str]
) -> FileReport:
    """Send an issue in words to a server and return its answer.

    Raises:
        InvalidInput: the server refuses the report.
        Unavailable: the server does not answer.
    """
    from lessonbook.domain.agent_tools import Refinement

    sender = replace(sender, idempotency_key=sender.idempotency_key or uuid.uuid4().hex)
    with _client(server, token) as client:
        answer = client.post("api/report_issues", json=_single(reported, sender, fields))
        return _summary(Refinement.model_validate(_checked(answer)))


@contextmanager
def _client(server: str, token: str) -> Generator[httpx2.Client]:
    """Give a client of a server, whose failures become ours.

    Raises:
        InvalidInput: the address is not one of the web.
        Unavailable: the server does not answer.
    """
    import httpx2

    if not server.startswith(("http://", "https://")):
        raise InvalidInput(f"--server {server!r} is not a web address: write http://host:port or https://host")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    base = server.rstrip("/")
    try:
        transport = httpx2.HTTPTransport(retries=CONNECT_ATTEMPTS)
        with httpx2.Client(base_url=f"{base}/", transport=transport, timeout=SEND_TIMEOUT_S, headers=headers) as client:
            yield client
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
