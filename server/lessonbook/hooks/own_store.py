"""Answering without a server: the store is opened in this process, within a bound."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import anyio

from lessonbook.app import gateway_for
from lessonbook.config.settings import load_settings
from lessonbook.domain.principals import LOCAL
from lessonbook.edges.hook_requests import answer_request
from lessonbook.logs import set_up


def answer_here(
    request: Mapping[str, object], folder: str, options: Mapping[str, str], within_s: float
) -> dict[str, object]:
    """Return the answer to a request; nothing where the store cannot be opened and asked in `within_s` seconds.

    Loading cannot be cancelled: the hook's timer ends the process where it takes longer.

    Raises:
        LessonbookError: the settings are wrong, or the database does not answer.
    """
    until = time.monotonic() + within_s
    set_up("CRITICAL")  # a client shows what a hook writes to stderr
    os.chdir(folder)  # settings and project are those of the working folder
    chosen: dict[str, object] = {"project": options["project"]} if "project" in options else {}
    if "database" in options:
        chosen["database"] = {"url": options["database"]}
    config = Path(options["config"]) if "config" in options else None
    settings = load_settings(chosen, file=config)

    async def act() -> dict[str, object]:
        gateway = gateway_for(settings, LOCAL)
        try:
            await gateway.workspace()
            return await answer_request(gateway, {**request, "within_s": until - time.monotonic()})
        finally:
            await gateway.close()

    return anyio.run(act)
