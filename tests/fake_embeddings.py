"""Behaviours of `fake_provider` for embeddings: texts about the same subject get vectors that point the same way."""

import json
import threading
from collections.abc import Sequence
from typing import Any

from tests.fake_provider import Asked, Behaviour, FakeProvider, _Handler
from tests.patience import PATIENCE_S

SUBJECTS: tuple[frozenset[str], ...] = (
    frozenset({"timeout", "unresponsive", "forever"}),
    frozenset({"file", "descriptor", "leak"}),
    frozenset({"escape", "markup", "browser"}),
)
"""What one set of words speaks of is one subject, and a direction of its own."""


def semantic(provider: FakeProvider, **others: Any) -> dict[str, Any]:
    """The settings that lead to a provider."""
    served = {"model": "small", "base_url": f"{provider.url}/v1", "api_key_env": "LESSONBOOK_TEST_KEY", "timeout_s": 60}
    return {**served, **others}


def vector_of(text: str) -> list[float]:
    """Return where a text points: to its subjects, and a little to none."""
    words = set(text.lower().replace(".", " ").replace(",", " ").split())
    return [float(len(words & subject)) for subject in SUBJECTS] + [0.01]


def embeds(handler: _Handler, asked: Asked) -> None:
    """Answer as agreed, in another order than asked: the index tells which is which."""
    _send(handler, [vector_of(text) for text in asked.body["input"]])


def embeds_too_few(handler: _Handler, asked: Asked) -> None:
    _send(handler, [vector_of(text) for text in asked.body["input"]][1:])


def embeds_otherwise(vector: Sequence[float]) -> Behaviour:
    """Answer with this vector for every text."""
    return lambda handler, asked: _send(handler, [vector for _ in asked.body["input"]])


class Gate:
    """A behaviour that waits before it answers; the test knows when it has been reached, and lets it go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, handler: _Handler, asked: Asked) -> None:
        self.reached.set()
        self.opened.wait(PATIENCE_S)
        embeds(handler, asked)


def _send(handler: _Handler, vectors: Sequence[Sequence[float]]) -> None:
    rows = [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    handler.send(200, json.dumps({"object": "list", "data": rows[::-1]}).encode())
