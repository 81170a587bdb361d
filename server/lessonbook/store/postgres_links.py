"""Connections to PostgreSQL: straight to a server, or through a connection pooler such as pgbouncer.

A pooler in transaction mode lends a session of the server for one transaction. What a session keeps (its settings,
prepared statements, LISTEN) belongs to somebody else afterwards, so on such a *shared* link settings travel with each
BEGIN, and each statement is sent whole.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
import asyncpg

from lessonbook.domain.errors import ConfigError
from lessonbook.store import row_security
from lessonbook.store.engine import LOCK_TIMEOUT_S, STATEMENT_TIMEOUT_S, TRANSACTION_TIMEOUT_S
from lessonbook.store.urls import without_password

_connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # untyped

CONNECT_TIMEOUT_S: Final = 10.0
HEARD_S: Final = 2.0
"""Maximum wait for a notification of our own, in seconds; where none comes, a pooler keeps them back."""
SILENCE_S: Final = 20
"""Seconds without an acknowledgement after which the operating system gives a connection up."""
PROBE_S: Final = 5


class Link(asyncpg.Connection):  # pyright: ignore[reportMissingTypeArgument, reportUntypedBaseClass]  # untyped
    """A connection whose transactions begin with the wall of the block in which they begin."""

    opening: str = ""
    """The settings that each transaction of a shared link brings along."""

    @property
    def is_shared(self) -> bool:
        """Whether the server's session behind it may be another in the next transaction."""
        return bool(self.opening)

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109  # the driver's
        """Execute a statement; BEGIN takes the wall along, in the same round trip."""
        if query.startswith("BEGIN"):
            query = f"{query}{self.opening} {row_security.opening()}"
        return await super().execute(query, *args, timeout=timeout)  # pyright: ignore[reportUnknownMemberType]


async def open_link(dsn: str, *, as_shared: bool = False, is_patient: bool = False) -> Link:
    """Connect, and find out whether the link is shared.

    Args:
        dsn: the address.
        as_shared: whether to try first what poolers accept, because the last link was shared.
        is_patient: whether the driver waits for a statement as long as it takes, as a migration's may.

    Raises:
        ConfigError: the address or a parameter of it is wrong.
        asyncpg.PostgresError: the server refuses.
        OSError: it does not answer.
    """
    try:
        link = await _opened(dsn, as_shared=as_shared, is_patient=is_patient)
    except asyncpg.ProtocolViolationError as error:
        if as_shared or not _is_refused_setting(error):
            raise
        link = await _opened(dsn, as_shared=True, is_patient=is_patient)
    # A pooler may also ignore settings of a session, where its operator has it do so: a refusal is not the only sign.
    if await _is_own(link) == link.is_shared:
        link.terminate()
        link = await _opened(dsn, as_shared=not link.is_shared, is_patient=is_patient)
    return link


def time_outs() -> dict[str, str]:
    """Return the time-outs that a connection asks the server for, in milliseconds."""
    return {
        "statement_timeout": f"{STATEMENT_TIMEOUT_S * 1000:.0f}",
        "lock_timeout": f"{LOCK_TIMEOUT_S * 1000:.0f}",
        # Releases the locks of a client that has gone silent.
        "idle_in_transaction_session_timeout": f"{TRANSACTION_TIMEOUT_S * 1000:.0f}",
    }


async def _opened(dsn: str, *, as_shared: bool, is_patient: bool) -> Link:
    limits = time_outs()
    of_session = {"tcp_user_timeout": f"{SILENCE_S * 1000}", "default_transaction_isolation": "read committed"}
    try:
        link: Link = await _connect(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            connection_class=Link,
            # The server stops a slow statement first; this is for a server that has gone silent.
            command_timeout=None if is_patient else STATEMENT_TIMEOUT_S + 1,
            # Without a cache the driver sends each statement whole, and leaves nothing in the session.
            statement_cache_size=0 if as_shared else 100,
            server_settings={
                "application_name": "lessonbook",
                "timezone": "UTC",
                **({} if as_shared else of_session | limits),
            },
        )
    except (ValueError, OverflowError, asyncpg.SyntaxOrAccessError) as error:  # an invalid address or parameter
        raise ConfigError(
            "`database.url` is not understood: check the port, the parameters, and that special characters of "
            "the password are written as %40 and the like",
            place=without_password(dsn),
        ) from error
    except asyncpg.ProtocolViolationError as error:
        if as_shared and _is_refused_setting(error):
            raise ConfigError(
                f"The connection pooler refuses the address `database.url` ({error}): leave that parameter out, or "
                "name it in the pooler's ignore_startup_parameters",
                place=without_password(dsn),
            ) from error
        raise
    _notice_silence(link)
    if as_shared:
        settings = {"transaction_isolation": "'read committed'", **limits}
        link.opening = "".join(f" SET LOCAL {name} = {value};" for name, value in settings.items())
    return link


def _is_refused_setting(error: asyncpg.ProtocolViolationError) -> bool:
    """Return whether a pooler refuses a setting that is sent while connecting: it could not keep it for one client."""
    return "startup parameter" in str(error)


async def _is_own(link: Link) -> bool:
    """Return whether the server's process has the number that was given while connecting; a pooler invents one."""
    driver: Any = link
    try:
        # In the simple protocol, whose one step cannot be torn apart; the driver tells how many rows there were.
        return await link.execute(f"SELECT WHERE pg_backend_pid() = {driver.get_server_pid()}") == "SELECT 1"
    except BaseException:
        link.terminate()
        raise


async def listen(link: Link, channel: str, heard: Callable[..., None]) -> None:
    """Call `heard` at each notification on a channel."""
    driver: Any = link
    async with driver.transaction():  # the driver sends LISTEN in two steps, which must reach one session
        await driver.add_listener(channel, heard)


async def hears(link: Link, notify: Callable[[str], Awaitable[object]]) -> bool:
    """Return whether notifications reach a link: one on a channel of its own, which nobody uses later, is sent to it.

    Args:
        link: the link.
        notify: notifies a channel, over another link.
    """
    channel, came = f"lessonbook_{secrets.token_hex(8)}", asyncio.Event()
    await listen(link, channel, lambda *_: came.set())
    await notify(channel)
    with anyio.move_on_after(HEARD_S):
        await came.wait()
    return came.is_set()


def _notice_silence(link: Any) -> None:
    """Let the operating system detect that the server or the network has gone."""
    transport = getattr(link, "_transport", None)  # the driver has no public access to it
    wire = transport.get_extra_info("socket") if transport is not None else None
    if wire is None or wire.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {
        "TCP_KEEPIDLE": PROBE_S,
        "TCP_KEEPINTVL": PROBE_S,
        "TCP_KEEPCNT": SILENCE_S // PROBE_S,
        "TCP_USER_TIMEOUT": SILENCE_S * 1000,
    }.items():
        if (option := getattr(socket, name, None)) is not None:  # not every system has each
            wire.setsockopt(socket.IPPROTO_TCP, option, value)
