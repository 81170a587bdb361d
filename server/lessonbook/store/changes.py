"""Waiting for other people's commits."""

from collections.abc import AsyncIterator
from typing import Protocol


class Changes(Protocol):
    """Wakes up when something may have been committed. What changed is read from `agent_revisions`."""

    def __aiter__(self) -> AsyncIterator[None]:
        """Yield once per wake-up, for ever."""
        ...
