"""The product's own time limits: widened in all tests, so that no load of the machine meets them, and set in some."""

import importlib
import sys
from collections.abc import Mapping

TIMES = 20
"""The order of the limits stays as it is."""
LIMITS = {
    "lessonbook.edges.access.gateway": ("TOOL_TIMEOUT_S",),
    "lessonbook.edges.background": ("TOOL_TIMEOUT_S",),
    "lessonbook.edges.health": ("HEALTH_TIMEOUT_S",),
    "lessonbook.edges.subscriptions": ("READY_S",),
    "lessonbook.edges.mcp_calls": ("TOOL_TIMEOUT_S",),
    "lessonbook.edges.hook_requests": ("TOOL_TIMEOUT_S",),
    "lessonbook.edges.transport.local_listener": ("READ_S",),
    "lessonbook.hooks.command": ("PROMPT_S", "EDIT_S", "END_S"),
    "lessonbook.store.postgres": ("POOL_TIMEOUT_S", "TRANSACTION_TIMEOUT_S"),
    "lessonbook.store.postgres_links": (
        "CONNECT_TIMEOUT_S",
        "LOCK_TIMEOUT_S",
        "STATEMENT_TIMEOUT_S",
        "TRANSACTION_TIMEOUT_S",
    ),
    "lessonbook.store.sqlite": ("TRANSACTION_TIMEOUT_S",),
}
GRACES = {
    "lessonbook.edges.transport.http": ("GRACE_S", "LEAVE_S"),
}
"""What a server that ends gives to what it is at work on: no machine is too slow for it, so it is not widened."""


def widen() -> None:
    """Widen the limits of the modules that are loaded."""
    for place, names in LIMITS.items():
        if module := sys.modules.get(place):
            for name in names:
                setattr(module, name, getattr(module, name) * TIMES)
    if gateway := sys.modules.get("lessonbook.edges.access.gateway"):
        for function in (gateway.Gateway.__init__, gateway.answer):
            function.__defaults__ = (gateway.TOOL_TIMEOUT_S, *function.__defaults__[1:])


def set_limits(limits: Mapping[str, float]) -> None:
    """Set limits by name, wherever the name is used."""
    for place, names in (LIMITS | GRACES).items():
        for name in names:
            if name in limits:
                setattr(importlib.import_module(place), name, limits[name])
