"""Semantic search: lessons embedded in the background, queries compared with them in memory.

Where no model is configured, or it fails, search goes on by words.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cachetools import LRUCache
from sqlalchemy import Connection

from lessonbook.config.settings import SemanticSettings
from lessonbook.domain.errors import ConfigError
from lessonbook.providers.embeddings import Embedder, EmbeddingFailed, open_embedder
from lessonbook.search.document import plain_text
from lessonbook.store import vectors as vector_rows
from lessonbook.store.engine import Store
from lessonbook.store.types import Row
from lessonbook.store.vectors import Unembedded

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH_TIMEOUT_S: Final = 120.0
PAUSE_S: Final = 60.0
"""After a failure queries are answered by words alone for so long, then tried again."""
PROJECTS_MAX: Final = 16
_OVERLAP: Final = timedelta(minutes=1)
"""Vectors of transactions that began earlier may show later."""
log = logging.getLogger(__name__)

Similar = Mapping[str, float]
"""Cosines between a query and lessons, by lesson id; empty where there is no model or it fails."""


class _News(NamedTuple):
    """Vectors by lesson id, all there are or those that are new, and when the latest was made."""

    vectors: dict[str, bytes]
    is_all: bool
    since: datetime | None


class _Vectors:
    """The vectors of one project in one matrix, kept fresh by when they were made and how many there are.

    It is read on a worker's thread and changed on the event loop's alone, where it is compared.
    """

    def __init__(self, project: str, model: str) -> None:
        self._project = project
        self._model = model
        self._since: datetime | None = None
        self._known: dict[str, bytes] = {}
        self._matrix: NDArray[Any] | None = None
        self._lesson_ids: list[str] = []

    def __len__(self) -> int:
        return len(self._known)

    def news(self, connection: Connection) -> _News:
        """Return what was embedded since the last call; everything where some were forgotten or came late."""
        rows = vector_rows.since(connection, self._project, self._model, self._since)
        known = len(self._known.keys() | {row.lesson_id for row in rows})
        is_all = self._since is None or known != vector_rows.count(connection, self._project, self._model)
        if is_all and self._since is not None:
            rows = vector_rows.since(connection, self._project, self._model, None)
        latest = max((row.embedded_at for row in rows), default=None)
        since = latest - _OVERLAP if latest else self._since
        return _News({row.lesson_id: row.vector for row in rows}, is_all, since)

    def take(self, news: _News) -> None:
        """Know what `news` tell."""
        known = news.vectors if news.is_all else self._known | news.vectors
        if known != self._known:
            self._known, self._matrix = known, None
        self._since = news.since

    def compared(self, vector: bytes) -> Similar:
        """Return the cosine between `vector` and each lesson's.

        Raises:
            EmbeddingFailed: the model gives vectors of another length than before.
        """
        import numpy as np  # noqa: PLC0415  # only where a model is configured

        if self._matrix is None:
            self._lesson_ids = list(self._known)
            lengths = set(map(len, self._known.values()))
            if len(lengths) > 1:
                raise EmbeddingFailed("stored vectors are of several lengths: name the model anew")
            self._matrix = np.frombuffer(b"".join(self._known.values()), dtype="<f4").reshape(len(self._known), -1)
        asked = np.frombuffer(vector, dtype="<f4")
        if len(asked) != self._matrix.shape[1]:
            raise EmbeddingFailed(f"the model gives {len(asked)} numbers where it gave {self._matrix.shape[1]} before")
        return dict(zip(self._lesson_ids, map(float, self._matrix @ asked), strict=True))


class Semantic:
    """The configured model and the vectors of the projects this process serves."""

    def __init__(self, settings: SemanticSettings, store: Store, now: Callable[[], datetime]) -> None:
        self.settings = settings
        self._store = store
        self._now = now
        self.trouble = ""
        """Why search goes by words alone now; empty while all is well."""
        self._embedder: Embedder | None = None
        self._resting_until: datetime | None = None
        self._vectors: LRUCache[str, _Vectors] = LRUCache(PROJECTS_MAX)

    @property
    def name(self) -> str:
        """Which model vectors are of: those of another are never compared with them."""
        return f"{self.settings.base_url} {self.settings.model}".strip()

    @property
    def embedder(self) -> Embedder | None:
        """The model, opened when first needed; None where there is none, or it cannot be opened, which is told once."""
        if self._embedder is None and self.settings.model and not self.trouble:
            try:
                self._embedder = open_embedder(self.settings)
            except ConfigError as error:
                self._fail(str(error), None)
        return self._embedder

    async def similar(self, project: str, query: str) -> Similar:
        """Return how like a query the embedded lessons of a project are; empty where that cannot be told in time."""
        now = self._now()
        embedder = self.embedder
        if embedder is None or not query.strip() or (self._resting_until is not None and now < self._resting_until):
            return {}
        held = self._held(project)
        try:
            held.take(await self._store.read(held.news))
            if not held:
                return {}
            (vector,) = await embedder.embed([query], self.settings.timeout_s)
            similar = held.compared(vector)
        except EmbeddingFailed as error:
            self._fail(str(error), now)
            return {}
        self.trouble, self._resting_until = "", None
        return similar

    def _held(self, project: str) -> _Vectors:
        """Return the vectors of a project, those of the least recently asked given up."""
        held = self._vectors.get(project)
        if held is None:
            held = self._vectors[project] = _Vectors(project, self.name)
        return held

    async def checked(self) -> str:
        """Try the configured model, if there is one, and return why it cannot be used, or nothing."""
        embedder = self.embedder
        if embedder is not None:
            try:
                await embedder.embed(["Close what was opened."], BATCH_TIMEOUT_S)
            except EmbeddingFailed as error:
                return f"lessons are found by words alone: {error}"
        return f"lessons are found by words alone: {self.trouble}" if self.trouble else ""

    async def embed_missing(self, project: str) -> int:
        """Embed the lessons that changed, a batch after the other, and return how many were embedded.

        No transaction is open while the model works. Vectors of lessons that ended meanwhile are forgotten.
        """
        done = 0
        if self.settings.model:
            await self._store.write(lambda connection: vector_rows.forget_ended(connection, project))
        while (embedder := self.embedder) is not None:
            waiting = await self._store.read(
                lambda connection: vector_rows.unembedded(connection, project, self.name, self.settings.batch_size)
            )
            if not waiting:
                break
            try:
                done += await self._embed(embedder, project, waiting)
            except EmbeddingFailed as error:
                self._fail(str(error), self._now())
                break
        return done

    async def _embed(self, embedder: Embedder, project: str, waiting: Sequence[Unembedded]) -> int:
        texts = {lesson.lesson_id: plain_text(lesson.body) for lesson in waiting}
        hashes = {name: hashlib.sha256(text.encode()).hexdigest()[:32] for name, text in texts.items()}
        fresh = [lesson for lesson in waiting if hashes[lesson.lesson_id] != lesson.text_hash]
        same = [(lesson.lesson_id, lesson.revision) for lesson in waiting if lesson not in fresh]
        vectors = await embedder.embed([texts[one.lesson_id] for one in fresh], BATCH_TIMEOUT_S) if fresh else []
        rows: list[Row] = [
            {
                "project": project,
                "lesson_id": lesson.lesson_id,
                "model": self.name,
                "text_hash": hashes[lesson.lesson_id],
                "revision": lesson.revision,
                "vector": vector,
                "embedded_at": self._now(),
            }
            for lesson, vector in zip(fresh, vectors, strict=True)
        ]
        await self._store.write(partial(_write, project=project, model=self.name, rows=rows, same=same))
        return len(rows)

    def _fail(self, reason: str, now: datetime | None) -> None:
        """Rest for a while, and tell why, once until it works again."""
        if reason != self.trouble:
            log.warning("lessons are found by words alone: %s", reason)
        self.trouble = reason
        self._resting_until = now + timedelta(seconds=PAUSE_S) if now is not None else None


def _write(connection: Connection, *, project: str, model: str, rows: list[Row], same: list[tuple[str, int]]) -> None:
    """Write vectors, but not of lessons that changed or went while the model worked."""
    current = vector_rows.hold(connection, project, [row["lesson_id"] for row in rows] + [name for name, _ in same])
    vector_rows.put(connection, [row for row in rows if current.get(row["lesson_id"]) == row["revision"]])
    vector_rows.touch(connection, project, model, same)
