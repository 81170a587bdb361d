"""The work of the configured models, and how often it is done."""

from lessonbook.config.settings import RefinerSettings
from lessonbook.domain.lesson import Caller
from lessonbook.services.workspace import Workspace


async def refiner_settings(work: Workspace, _caller: Caller) -> RefinerSettings:
    """Return the settings of the language model that works on pending issues."""
    return work.settings.refiner


async def embed_lessons(work: Workspace, caller: Caller) -> float | None:
    """Embed the lessons that changed, and return the seconds until the next look; None: there is no model."""
    settings = work.semantic.settings
    if not settings.model:
        return None
    await work.semantic.embed_missing(caller.project)
    return settings.every_s
