"""Whether the server works: one bit for load balancers, readiness for orchestrators, details for operators."""

from __future__ import annotations

import asyncio
from typing import Final

from pydantic import BaseModel

from lessonbook import services
from lessonbook.about import VERSION
from lessonbook.domain.errors import ConfigError, LessonbookError
from lessonbook.domain.lesson import Caller
from lessonbook.domain.principals import HEALTH
from lessonbook.edges.access.gateway import Gateway

HEALTH_TIMEOUT_S: Final = 5.0
SLACK_S: Final = 0.5
"""Seconds after the time-out in which a call usually says why it failed; then the answer comes without that."""
READY: Final = "ready"
DRAINING: Final = "draining: the server stops"
NO_DATABASE: Final = "the database does not answer"
OLD_SCHEMA: Final = "the database's schema is older than this version's"
MISCONFIGURED: Final = "the database cannot be used as configured: see the server's log"


class ConnectionFigures(BaseModel):
    """The connections of this process to its database, the transactions that wait for one, and those run again."""

    in_use: int
    limit: int
    waiting: int
    retried: int


class HealthDetails(BaseModel):
    """What operators may know of a server. It names no project and no address."""

    version: str
    ready: bool
    reason: str
    """Why it is not ready; `ready` where it is."""
    connections: ConnectionFigures | None
    """None before the database is open."""
    jobs: dict[str, str]
    """When each background job last ended well in this process (ISO, UTC); of several replicas one does them."""


class Health:
    """Looks whether the database can be used: once at a time, however many ask."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._look: asyncio.Future[str] | None = None

    async def readiness(self) -> str:
        """Return `READY` or why the server is not, whatever the database does: within the time-out and its slack."""
        if self._gateway.is_draining:
            return DRAINING
        if self._look is None or self._look.done():
            self._look = asyncio.ensure_future(self._look_at_database(self._gateway.server(HEALTH)))
        done, _ = await asyncio.wait({self._look}, timeout=HEALTH_TIMEOUT_S + SLACK_S)
        return self._look.result() if done else NO_DATABASE

    async def is_alive(self) -> bool:
        """Return whether the database can be used."""
        return await self.readiness() in {READY, DRAINING}

    async def details(self) -> HealthDetails:
        """Return the details."""
        found, load = await self.readiness(), self._gateway.load()
        return HealthDetails(
            version=VERSION,
            ready=found == READY,
            reason=found,
            connections=None
            if load is None
            else ConnectionFigures(in_use=load.in_use, limit=load.limit, waiting=load.waiting, retried=load.retried),
            jobs={job: moment.isoformat(timespec="seconds") for job, moment in self._gateway.jobs.items()},
        )

    async def _look_at_database(self, caller: Caller) -> str:
        try:
            is_alive = await self._gateway.call_for(caller, HEALTH_TIMEOUT_S, services.background.is_alive)
        except ConfigError:
            return MISCONFIGURED
        except LessonbookError:
            return NO_DATABASE
        return READY if is_alive else OLD_SCHEMA
