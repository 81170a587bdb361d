"""What a server lets its configured models do by itself, and how often."""

from lessonbook.config.settings import RefinerSettings
from lessonbook.domain.lesson import Caller
from lessonbook.services.workspace import Workspace


async def refiner_settings(work: Workspace, _caller: Caller) -> RefinerSettings:
    """Return which language model works on pending issues, if one does, and when."""
    return work.settings.refiner


async def embed_lessons(work: Workspace, caller: Caller) -> float | None:
    """Embed the lessons that changed, and return in how many seconds to look again; None: there is no model."""
    settings = work.semantic.settings
    if not settings.model:
        return None
    await work.semantic.embed_missing(caller.project)
    return settings.every_s
