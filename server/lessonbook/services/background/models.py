"""The work of the configured models, and how often it is done."""

from lessonbook.config.settings import RefinerSettings, SemanticSettings
from lessonbook.domain.lesson import Caller
from lessonbook.services.workspace import Workspace


async def refiner_settings(work: Workspace, _caller: Caller) -> RefinerSettings:
    """Return the settings of the language model that works on pending issues."""
    return work.settings.refiner


async def semantic_settings(work: Workspace, _caller: Caller) -> SemanticSettings:
    """Return the settings of the embedding model."""
    return work.settings.semantic


async def embed_lessons(work: Workspace, caller: Caller) -> int:
    """Embed the lessons that changed, and return how many."""
    return await work.semantic.embed_missing(caller.project)
