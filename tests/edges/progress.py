"""Waits for what happens in the background of a server, woken at each step of it."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from lessonbook.edges.access.gateway import Gateway
from tests.patience import PATIENCE_S


class Progress:
    """Watches a gateway, through which everything in the background goes."""

    def __init__(self, gateway: Gateway) -> None:
        self._step = anyio.Event()
        call_for = gateway.call_for

        async def watched(*args: Any, **kwargs: Any) -> Any:
            try:
                return await call_for(*args, **kwargs)
            finally:
                self._step.set()

        gateway.call_for = watched

    async def until(self, is_done: Callable[[], Awaitable[object]]) -> None:
        """Return once `is_done` holds; it is asked after each call of a service."""
        with anyio.fail_after(PATIENCE_S):
            while not await is_done():
                await self._step.wait()
                self._step = anyio.Event()
