"""The one way from an edge to a service: workspace, caller, scopes, check of run ids, time-out and errors."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar, cast

import anyio

from lessonbook.domain.agent_tools import Request
from lessonbook.domain.errors import (
    GIVEN_UP,
    Forbidden,
    LessonbookError,
    MissingScope,
    Unauthorised,
    Undecided,
)
from lessonbook.domain.lesson import Caller
from lessonbook.edges.access.identity import current, note_missing
from lessonbook.edges.access.running_call import Call, Watcher
from lessonbook.edges.access.scopes_by_service import AS_AGENT, check_scope, name_of

if TYPE_CHECKING:
    from lessonbook.services.workspace import Workspace
    from lessonbook.store.engine import Load, Store

P = ParamSpec("P")
T = TypeVar("T")

TOOL_TIMEOUT_S: Final = 30.0
PROJECTS_MAX: Final = 10_000
"""Maximum number of projects that a process remembers, for upkeep."""
CHECKED: Final = ("run_id", "lesson_id", "lesson_ids", "issue_ids", "group_ids", "agent_name", "subject")
"""Fields with ids and names, which are stored, logged or repeated as they come: none may hold a secret."""
_OWN: Final = re.compile(r"[A-Z][a-z2-7]{10}")
"""The form of an id of a lesson, issue or group."""
log = logging.getLogger(__name__)


class Gateway:
    """One process's way to its services: edges, command line and facade call them only through it.

    `timeout_s` is the time-out of `call`, in seconds; None: no time-out. Where `is_guarded`, calls are made for whom
    the request's token names, and there are none without a token. `change_of` tells what is worked on at the moment.
    """

    def __init__(
        self,
        open_workspace: Callable[[], Awaitable[Workspace]],
        caller: Caller,
        timeout_s: float | None = TOOL_TIMEOUT_S,
        *,
        is_guarded: bool = False,
        change_of: Callable[[], str] | None = None,
    ) -> None:
        self._open = open_workspace
        self._change_of = change_of
        self._caller = caller
        self.is_guarded = is_guarded
        self._projects = {caller.project: None}
        self._timeout_s = timeout_s
        self._workspace: Workspace | None = None
        self._store: Store | None = None
        self._opening: asyncio.Future[Workspace] | None = None
        self._on_open: list[Callable[[], None]] = []
        self.is_draining = False
        """Whether the server stops, so that it wants no more requests."""
        self.jobs: dict[str, datetime] = {}
        """When each background job last ended well in this process."""
        self.watcher: Watcher | None = None
        """Counts calls and jobs; None: nobody does."""

    async def workspace(self) -> Workspace:
        """Return the workspace, opened on first use. A failure is not remembered: the next call tries again.

        Raises:
            Unavailable: the database does not answer.
            ConfigError: it cannot be used as configured.
        """
        if self._workspace is None:
            if self._opening is None:
                self._opening = asyncio.ensure_future(self._open())
                self._opening.add_done_callback(self._opened)
            # The first caller may be cancelled or time out: the opening goes on for the next.
            return await asyncio.shield(self._opening)
        return self._workspace

    def connected(self, store: Store) -> None:
        """Take the store that a workspace is being opened on."""
        self._store = store

    def _opened(self, opening: asyncio.Future[Workspace]) -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._workspace = opening.result()
            self._store = self._workspace.store
            for notify in self._on_open:
                notify()

    def load(self) -> Load | None:
        """Return the load of the database, None before it is open."""
        return None if self._workspace is None else self._workspace.store.load()

    def job_ended(self, job: str, *, well: bool) -> None:
        """Note that a round of a background job has ended."""
        if well:
            self.jobs[job] = datetime.now(UTC)
        if self.watcher is not None:
            self.watcher.job_ended(job, well=well)

    def when_open(self, notify: Callable[[], None]) -> None:
        """Call `notify` once the workspace is open, at once if it is."""
        self._on_open.append(notify)
        if self._workspace is not None:
            notify()

    def now_s(self) -> float:
        """Return the database's time once it is open, else this machine's, in seconds since 1970."""
        return time.time() if self._workspace is None else self._workspace.now().timestamp()

    @property
    def project(self) -> str:
        """The server's own project."""
        return self._caller.project

    @property
    def projects(self) -> list[str]:
        """The server's own project, and those of the calls so far."""
        return list(self._projects)

    def caller(self, *, person: bool = False) -> Caller:
        """Return who calls: whom the request's token names, else the gateway's own caller.

        `person`: the client has just asked its person, which proves something on stdio alone.

        Raises:
            Unauthorised: the gateway is guarded, and there is no token.
        """
        known = current()
        if known is not None:
            return known
        if self.is_guarded:
            raise Unauthorised
        change = self._change_of() if self._change_of is not None else ""
        return replace(self._caller, person=person or self._caller.person, change=change)

    def server(self, principal: str, project: str = "") -> Caller:
        """Return the caller of what the server does by itself, in its own project or another."""
        return Caller(project or self._caller.project, principal)

    def check(self, service: object, caller: Caller | None = None) -> None:
        """Check that the token of who calls, or of `caller`, has the scope that a service needs.

        Raises:
            MissingScope: it has not.
            Forbidden: no token allows it.
        """
        try:
            check_scope(caller or self.caller(), service)
        except MissingScope as error:
            note_missing(error.scope)
            raise

    def allows(self, service: object) -> bool:
        """Return whether who calls may call a service."""
        try:
            check_scope(self.caller(), service)
        except Forbidden:
            return False
        return True

    async def call(
        self, service: Callable[Concatenate[Workspace, Caller, P], Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return the result of a service for who calls; see `call_for`."""
        return await self.call_for(self.caller(), self._timeout_s, service, *args, **kwargs)

    async def call_for(
        self,
        caller: Caller,
        timeout_s: float | None,
        service: Callable[Concatenate[Workspace, Caller, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return the result of a service for `caller` within `timeout_s` seconds; None: no time-out.

        Raises:
            MissingScope: the caller's token does not allow the service.
            Forbidden: the token is bound to an agent, and the call names another one.
            TooMany: the caller has called too often.
            InvalidInput: an id or a name of `CHECKED` holds a secret.
            LessonbookError: as the service raises it, or as `answer` does.
        """
        with self.watched(service) as call:
            call.made_by(caller)
            self.check(service, caller)
            call.result = result = await self._call(caller, timeout_s, service, args, kwargs)
        return result

    def watched(self, service: object) -> Call:
        """Return a call of a service, to be entered: it is counted and logged, also where it is refused."""
        return Call(name_of(service), self.watcher)

    async def _call(
        self,
        caller: Caller,
        timeout_s: float | None,
        service: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> T:
        async def act() -> T:
            from lessonbook.screening.redact import refuse_secret  # noqa: PLC0415  # not before the first call
            from lessonbook.services.limits import USES  # noqa: PLC0415  # as above

            for field, given in _names_in(args, kwargs):
                refuse_secret(given, field)
            work = await self.workspace()
            known = await work.project_names.resolve(work, caller)
            with work.store.within(known.project):
                if caller.scopes is not None:
                    await self._admit(work, known, service, args, kwargs)
                if (name := name_of(service)) in USES:
                    await work.limits.admit_use(work, known, name, _fields_of(args, kwargs))
                return await service(work, known, *args, **kwargs)

        has_key = "idempotency_key" in kwargs or any(hasattr(argument, "idempotency_key") for argument in args)
        return await answer(act, timeout_s, takes_key=has_key)

    async def _admit(
        self, work: Workspace, caller: Caller, service: object, args: Iterable[object], kwargs: Mapping[str, object]
    ) -> None:
        """Check what a token allows besides its scopes: its agent, and how often it calls."""
        if caller.project not in self._projects and len(self._projects) < PROJECTS_MAX:
            self._projects[caller.project] = None
        if caller.is_bound and name_of(service) in AS_AGENT:
            for name in (kwargs.get("agent_name"), *(getattr(argument, "agent_name", None) for argument in args)):
                if isinstance(name, str) and name and work.roster.resolve(name) != caller.agent_name:
                    raise Forbidden(f"This token is bound to {caller.agent_name}: leave agent_name out")
        await work.limits.admit_call(work, caller)

    def give_up(self) -> None:
        """Let every call that waits for the database fail now: the server ends."""
        if self._store is not None:
            self._store.give_up()

    async def close(self) -> None:
        """Close the database, also where it is still being opened."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        store, self._store, self._workspace = self._store, None, None
        if store is not None:
            await store.close()


def _names_in(args: Iterable[object], kwargs: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the ids and names that a call gives, with their fields, but those that have the form of our own.

    Those of requests within a request as well, such as an author's lessons.
    """
    holders = [part for argument in args for part in (argument, *_within(argument))]
    for field in CHECKED:
        for value in (kwargs.get(field), *(_field_of(holder, field) for holder in holders)):
            given = cast("list[object]", value) if isinstance(value, list) else [value]
            yield from ((field, name) for name in given if isinstance(name, str) and name and not _OWN.fullmatch(name))


def _field_of(holder: object, name: str) -> object:
    """Return a field of an argument, None where it has none; of a request faster than `getattr` misses one."""
    return vars(holder).get(name) if isinstance(holder, Request) else getattr(holder, name, None)


def _fields_of(args: Iterable[object], kwargs: Mapping[str, object]) -> dict[str, object]:
    """Return what a call asks for, by the names of its requests' fields and of its arguments."""
    requests = (vars(argument) for argument in args if isinstance(argument, Request))
    return {name: value for fields in (*requests, kwargs) for name, value in fields.items()}


def _within(argument: object) -> Iterator[object]:
    """Yield the requests in a request's lists."""
    if isinstance(argument, Request):
        for value in vars(argument).values():
            if isinstance(value, list):
                yield from (item for item in cast("list[object]", value) if isinstance(item, Request))


async def answer(
    act: Callable[[], Awaitable[T]], timeout_s: float | None = TOOL_TIMEOUT_S, *, takes_key: bool = False
) -> T:
    """Return the result of `act` within `timeout_s` seconds, and raise every failure as a sentence for the caller.

    `takes_key`: the call has an idempotency key, so that its caller can be told to send it again with the same one.

    Raises:
        LessonbookError: what the caller can correct, or a code under which the log explains the failure.
    """
    try:
        with anyio.fail_after(timeout_s):
            return await act()
    except Undecided as error:
        raise Undecided(error.cause, takes_key=takes_key) from error
    except LessonbookError as error:
        if error.place and timeout_s is not None:  # a person at the terminal is told the place
            log.warning("%s (%s)", error, error.place)
        raise
    except TimeoutError as error:
        raise Undecided(GIVEN_UP, takes_key=takes_key) from error
    except Exception as error:  # the last boundary: the caller gets only a code
        code = secrets.token_hex(4)
        log.exception("unexpected error %s", code)
        raise Unexpected(f"Something went wrong inside the server; its log explains code {code}.") from error


class Unexpected(LessonbookError):
    """Something went wrong inside the server."""

    code = "internal"
