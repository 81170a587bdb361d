"""Semantic search: lessons are embedded in the background, queries are compared with them in memory.

Without a configured model, or while it fails, search is by words alone.
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
"""Seconds after a failure during which the model is not tried again."""
PROJECTS_MAX: Final = 16
_OVERLAP: Final = timedelta(minutes=1)
"""How far back vectors are read again: one of a transaction that began earlier may be committed later."""
log = logging.getLogger(__name__)

Similar = Mapping[str, float]
"""Cosines between a query and lessons, by lesson id; empty without a model, or if it fails."""


class _News(NamedTuple):
    """Vectors by lesson id, all of them or the new ones, and the moment from which to read the next time."""

    vectors: dict[str, bytes]
    is_all: bool
    since: datetime | None


class _Vectors:
    """The vectors of one project in one matrix, kept fresh by their times and their number.

    `news` may run on a worker's thread; the other methods run on the event loop's thread alone.
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
        """Return the vectors made since the last call; all of them if some were deleted or came late."""
        rows = vector_rows.since(connection, self._project, self._model, self._since)
        known = len(self._known.keys() | {row.lesson_id for row in rows})
        is_all = self._since is None or known != vector_rows.count(connection, self._project, self._model)
        if is_all and self._since is not None:
            rows = vector_rows.since(connection, self._project, self._model, None)
        latest = max((row.embedded_at for row in rows), default=None)
        since = latest - _OVERLAP if latest else self._since
        return _News({row.lesson_id: row.vector for row in rows}, is_all, since)

    def take(self, news: _News) -> None:
        """Add or replace vectors."""
        known = news.vectors if news.is_all else self._known | news.vectors
        if known != self._known:
            self._known, self._matrix = known, None
        self._since = news.since

    def compared(self, vector: bytes) -> Similar:
        """Return the cosine between `vector` and each lesson's.

        Raises:
            EmbeddingFailed: the model's vectors have another length than the stored ones.
        """
        import numpy as np  # noqa: PLC0415  # only where a model is configured

        if self._matrix is None:
            self._lesson_ids = list(self._known)
            lengths = set(map(len, self._known.values()))
            if len(lengths) > 1:
                raise EmbeddingFailed("stored vectors are of several lengths: give the model another name")
            self._matrix = np.frombuffer(b"".join(self._known.values()), dtype="<f4").reshape(len(self._known), -1)
        query = np.frombuffer(vector, dtype="<f4")
        if len(query) != self._matrix.shape[1]:
            raise EmbeddingFailed(f"the model gives {len(query)} numbers where it gave {self._matrix.shape[1]} before")
        return dict(zip(self._lesson_ids, map(float, self._matrix @ query), strict=True))


class Semantic:
    """The configured model and the vectors of the projects this process serves."""

    def __init__(self, settings: SemanticSettings, store: Store, now: Callable[[], datetime]) -> None:
        self.settings = settings
        self._store = store
        self._now = now
        self.trouble = ""
        """Why search is by words alone now; empty while the model works."""
        self._embedder: Embedder | None = None
        self._resting_until: datetime | None = None
        self._vectors: LRUCache[str, _Vectors] = LRUCache(PROJECTS_MAX)

    @property
    def name(self) -> str:
        """The key of the model's vectors: vectors of different models are never compared."""
        return f"{self.settings.base_url} {self.settings.model}".strip()

    @property
    def embedder(self) -> Embedder | None:
        """The model, opened at first use; None without one, or if it cannot be opened, which is logged once."""
        if self._embedder is None and self.settings.model and not self.trouble:
            try:
                self._embedder = open_embedder(self.settings)
            except ConfigError as error:
                self._fail(str(error), None)
        return self._embedder

    async def similar(self, project: str, query: str) -> Similar:
        """Return the cosines between a query and a project's lessons; empty if the model does not answer in time."""
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
        """Return the vectors of a project; those of the project used least recently are dropped."""
        return self._vectors.setdefault(project, _Vectors(project, self.name))

    async def checked(self) -> str:
        """Try the configured model, and return why it cannot be used; empty if it can, or if there is none."""
        embedder = self.embedder
        if embedder is not None:
            try:
                await embedder.embed(["Close what was opened."], BATCH_TIMEOUT_S)
            except EmbeddingFailed as error:
                return f"lessons are found by words alone: {error}"
        return f"lessons are found by words alone: {self.trouble}" if self.trouble else ""

    async def embed_missing(self, project: str) -> int:
        """Embed the lessons that changed, batch by batch, and return how many were embedded.

        No transaction is open while the model works. Vectors of tombstones are deleted.
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
        """Pause the model, and log why, once until it works again."""
        if reason != self.trouble:
            log.warning("lessons are found by words alone: %s", reason)
        self.trouble = reason
        self._resting_until = now + timedelta(seconds=PAUSE_S) if now is not None else None


def _write(connection: Connection, *, project: str, model: str, rows: list[Row], same: list[tuple[str, int]]) -> None:
    """Write vectors, except of lessons that changed or became tombstones while the model worked."""
    current = vector_rows.hold(connection, project, [row["lesson_id"] for row in rows] + [name for name, _ in same])
    vector_rows.put(connection, [row for row in rows if current.get(row["lesson_id"]) == row["revision"]])
    vector_rows.touch(connection, project, model, same)
