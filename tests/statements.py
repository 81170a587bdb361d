"""Statements compiled once a process, not once for each test's engine: a sixth of the suite's work."""

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache


def share() -> None:
    """Let all engines of this process have one cache, in which dialects of one kind are the same."""
    compiled: LRUCache[Any, Any] = LRUCache(2_000)
    Engine._compiled_cache = property(lambda _: compiled, lambda *_: None)  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    DefaultDialect.__hash__ = lambda self: hash(type(self))
    DefaultDialect.__eq__ = lambda self, other: type(self) is type(other)
