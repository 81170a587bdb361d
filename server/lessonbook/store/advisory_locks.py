"""Names that one process holds against the other replicas: advisory locks of a session of PostgreSQL."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import anyio

from lessonbook.store.postgres_links import open_link


class AdvisoryLocks:
    """The names that this process holds, on a connection of its own."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._link: Any = None
        self._names: set[str] = set()
        self._taking = anyio.Lock()

    async def take(self, name: str, *, as_shared: bool = False) -> bool:
        """Hold `name` unless another session does, and return whether this one does. Without a name no link is kept.

        Behind a pooler that lends sessions for a transaction nobody can hold a lock: there every process has the name.
        `as_shared` is whether the last link was such a one.
        """
        async with self._taking:
            if self._link is None or self._link.is_closed():
                self._names.clear()
                self._link = await open_link(self._dsn, as_shared=as_shared)
            if self._link.is_shared:
                self.close()
                return True
            if name not in self._names:
                key = int.from_bytes(sha256(f"lessonbook {name}".encode()).digest()[:8], signed=True)
                if await self._link.fetchval("SELECT pg_try_advisory_lock($1)", key):
                    self._names.add(name)
            if not self._names:
                self.close()
            return name in self._names

    def close(self) -> None:
        """Let go of all names."""
        link, self._link = self._link, None
        self._names.clear()
        if link is not None:
            link.terminate()
