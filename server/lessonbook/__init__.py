"""Lessonbook: an MCP server that serves coding agents lessons, and measures which of them help."""

from typing import TYPE_CHECKING, Any

from lessonbook import about

if TYPE_CHECKING:
    from lessonbook.facade import AgentRefiner, get_agent_refiner

__version__ = about.VERSION
__all__ = ["AgentRefiner", "__version__", "get_agent_refiner"]


def __getattr__(name: str) -> Any:
    """Import the Python API at first use: a server does not need it."""
    if name in {"AgentRefiner", "get_agent_refiner"}:
        from lessonbook import facade  # noqa: PLC0415  # see above

        return getattr(facade, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
