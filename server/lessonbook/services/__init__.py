"""Use cases: one function, one transaction. Modules load on first use, as they pull in SQLAlchemy.

A server answers its first `tools/list` before it has needed any of them.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lessonbook.services import (
        agents,
        authoring,
        backlog,
        browse,
        files,
        maintain,
        merge,
        record,
        report,
        review,
        serve,
        stats,
        transfer,
        watch,
    )

__all__ = [
    "agents",
    "authoring",
    "backlog",
    "browse",
    "files",
    "maintain",
    "merge",
    "record",
    "report",
    "review",
    "serve",
    "stats",
    "transfer",
    "watch",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
