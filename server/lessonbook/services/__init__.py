"""Use cases: one function, one transaction. They are imported at first use, since they import SQLAlchemy.

A server answers its first `tools/list` without any of them.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lessonbook.services import (
        agent_names,
        agents,
        background,
        feedback,
        lessons,
        projects,
        queries,
        report,
        serve,
        tokens,
        transfer,
        triage,
    )

__all__ = [
    "agent_names",
    "agents",
    "background",
    "feedback",
    "lessons",
    "projects",
    "queries",
    "report",
    "serve",
    "tokens",
    "transfer",
    "triage",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
