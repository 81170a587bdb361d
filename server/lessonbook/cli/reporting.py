"""How `report` gets its run, and where it sends what it read."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lessonbook.errors import InvalidInput, Unavailable
from lessonbook.models.operator import FileReport
from lessonbook.refinery.documents import object_of

if TYPE_CHECKING:
    from lessonbook.models.lesson import Caller
    from lessonbook.services.workspace import Workspace

TRAILER = "Lessonbook-Run"
SEND_TIMEOUT_S = 60.0
CONNECT_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the reporter said of all findings."""

    agent_name: str
    run_id: str
    source: str


def run_from_git() -> str:
    """Return the run named by the last commit's trailer, or an empty text.

    Raises:
        InvalidInput: the working folder is no git checkout.
    """
    wanted = f"--format=%(trailers:key={TRAILER},valueonly,separator=%x0A)"
    try:
        done = subprocess.run(  # noqa: S603  # fixed words, no shell
            ["git", "log", "-1", wanted],  # noqa: S607  # the person's own git
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except OSError as error:
        raise InvalidInput("--run-from-git needs git on this machine; name the run with --run") from error
    if done.returncode != 0:
        raise InvalidInput("--run-from-git needs a git checkout with a commit; name the run with --run")
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def whole_file(
    kind: str, data: bytes, place: str, wanted: Wanted, progress: Callable[[int, int], None]
) -> Callable[[Workspace, Caller], Awaitable[FileReport]]:
    """Return the work of refining everything in a file."""
    from lessonbook import services
    from lessonbook.models.loop import Report
    from lessonbook.models.validation import parse

    fields = {"agent_name": wanted.agent_name, "run_id": wanted.run_id, "source": wanted.source}
    checked = parse(Report, {**fields, "issues": [{"description": "checked below"}]})

    async def act(work: Workspace, caller: Caller) -> FileReport:
        return await services.files.report_file(
            work,
            caller,
            data,
            kind=kind,  # pyright: ignore[reportArgumentType]  # one of the kinds the command knows
            place=place,
            agent_name=checked.agent_name,
            run_id=checked.run_id,
            source=checked.source,
            progress=progress,
        )

    return act


def one_issue(
    data: bytes, wanted: Wanted, fields: dict[str, str]
) -> Callable[[Workspace, Caller], Awaitable[FileReport]]:
    """Return the work of reporting one issue in words."""
    from lessonbook import services
    from lessonbook.models.loop import Report
    from lessonbook.models.validation import parse

    report = parse(Report, _single(data, wanted, fields))

    async def act(work: Workspace, caller: Caller) -> FileReport:
        result = await services.report.report_issues(work, caller, report)
        return services.files.summary(result.issues, [], [result.refinement_run_id])

    return act


def send(server: str, token: str, kind: str, data: bytes, wanted: Wanted, fields: dict[str, str] | None) -> FileReport:
    """Send to a server, at most once however often the connection breaks, and return its answer.

    `fields` are those of one issue in words; None: the data is a file.

    Raises:
        InvalidInput: the server refuses the report.
        Unavailable: the server does not answer.
    """
    import httpx2

    if not server.startswith(("http://", "https://")):
        raise InvalidInput(f"--server {server!r} is no address: write http://host:port or https://host")
    key = uuid.uuid4().hex
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    base = server.rstrip("/")
    try:
        transport = httpx2.HTTPTransport(retries=CONNECT_ATTEMPTS)
        with httpx2.Client(transport=transport, timeout=SEND_TIMEOUT_S, headers=headers) as client:
            if fields is not None:
                body = {**_single(data, wanted, fields), "idempotency_key": key}
                return _counted(_checked(client.post(f"{base}/api/report_issues", json=body)))
            parameters = {
                "agent_name": wanted.agent_name,
                "run_id": wanted.run_id,
                "source": wanted.source,
                "idempotency_key": key,
            }
            answer = client.post(f"{base}/api/reports/{kind}", params=parameters, content=data)
            return FileReport.model_validate(_checked(answer))
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Unavailable(
            f"{base} does not answer ({type(error).__name__}): nothing is known to be reported"
        ) from error


def _single(data: bytes, wanted: Wanted, fields: dict[str, str]) -> dict[str, Any]:
    issue = {"description": data.decode("utf-8", "surrogatepass"), **{k: v for k, v in fields.items() if v}}
    return {
        "issues": [issue],
        "agent_name": wanted.agent_name,
        "run_id": wanted.run_id,
        "source": wanted.source,
    }


def _checked(response: Any) -> dict[str, Any]:
    try:
        document: dict[str, Any] = object_of(response.json())
    except ValueError:
        document = {}
    if response.is_success:
        return document
    message = document.get("message") or f"status {response.status_code}"
    if response.status_code >= 500:  # noqa: PLR2004  # the server's own failure
        raise Unavailable(f"The server cannot take the report now: {message}")
    raise InvalidInput(f"The server refuses the report: {message}")


def _counted(document: dict[str, Any]) -> FileReport:
    from lessonbook import services
    from lessonbook.models.loop import Refinement

    refinement = Refinement.model_validate(document)
    return services.files.summary(refinement.issues, [], [refinement.refinement_run_id])
