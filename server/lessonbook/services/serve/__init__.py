"""Serve: the few lessons that fit a task, logged before they are answered."""

from typing import TYPE_CHECKING, Any

from lessonbook.services.serve.delivery import get_lessons

if TYPE_CHECKING:
    from lessonbook.services.serve.explanation import explain_lessons

__all__ = ["explain_lessons", "get_lessons"]


def __getattr__(name: str) -> Any:
    """Import explanations at first use: they load figures and the lint, and every `lessonbook get` would wait."""
    if name == "explain_lessons":
        from lessonbook.services.serve import explanation  # noqa: PLC0415  # see above

        return explanation.explain_lessons
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
