"""An embedding model, in a folder or behind an OpenAI-compatible server: texts in, vectors of length 1 out.

Only this module uses numpy and the model's library, and imports them only where a model is configured.
"""

from __future__ import annotations

import functools
import os
import ssl
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import anyio
import anyio.to_thread

from lessonbook.config.settings import SemanticSettings
from lessonbook.domain.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

INSTALL: Final = 'pip install "lessonbook[semantic]"'
INSTALLS: Final = {"model2vec": INSTALL, "sentence_transformers": "pip install sentence-transformers"}
TEXT_MAX: Final = 2_000
"""Characters of a text that are embedded; models read a few hundred words."""
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
DIMENSIONS_MAX: Final = 8_192
_OK: Final = 200


class EmbeddingFailed(Exception):
    """The model gave no usable vectors. The message repeats nothing of the texts or the answer."""


class Embedder(Protocol):
    """An embedding model."""

    async def embed(self, texts: Sequence[str], timeout_s: float) -> list[bytes]:
        """Return a vector for each text: 32-bit floats, little-endian, of length 1.

        Raises:
            EmbeddingFailed: the model failed, or took longer than `timeout_s` seconds.
        """
        ...


def open_embedder(settings: SemanticSettings, environment: Mapping[str, str] = os.environ) -> Embedder:
    """Return the configured model; a folder is read at first use.

    Raises:
        ConfigError: the extra is not installed, or a setting is missing.
    """
    if find_spec("numpy") is None:
        raise ConfigError(f"semantic.model is set, but its extra is not installed: run {INSTALL}")
    if not settings.base_url:
        folder = Path(settings.model).expanduser()
        if not folder.is_dir():
            raise ConfigError(f"semantic.model is not a folder: {settings.model!r}")
        return FolderModel(folder)
    return ServerModel(settings, settings.read_key("semantic", environment))


class FolderModel:
    """A model2vec or sentence-transformers model on this machine; it runs on a thread, one batch at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model: Any = None
        self._turn = anyio.Lock()
        self._loading = threading.Lock()  # a thread that was abandoned may still be loading

    async def embed(self, texts: Sequence[str], timeout_s: float) -> list[bytes]:
        """Return vectors. See `Embedder.embed`. A thread that is late is abandoned."""
        try:
            with anyio.fail_after(timeout_s):
                async with self._turn:
                    return await anyio.to_thread.run_sync(self._embed, list(texts), abandon_on_cancel=True)
        except TimeoutError:
            raise EmbeddingFailed(f"the model took more than {timeout_s:g} s") from None

    def _embed(self, texts: list[str]) -> list[bytes]:
        try:
            with self._loading:
                self._model = self._model or _loaded(self._folder)
            vectors = self._model.encode([text[:TEXT_MAX] for text in texts])
        except EmbeddingFailed:
            raise
        except Exception as error:
            # Model files and libraries may raise anything; the server serves on without them.
            raise EmbeddingFailed(f"the model in {self._folder} fails: {type(error).__name__}") from error
        return _packed(vectors, len(texts))


def _loaded(folder: Path) -> Any:
    """Return the model of a folder, loaded by its library."""
    is_transformer = _is_transformer(folder)
    library = "sentence_transformers" if is_transformer else "model2vec"
    try:
        module = import_module(library)
    except ImportError:
        raise EmbeddingFailed(
            f"the model in {folder} needs {library.replace('_', '-')}: run {INSTALLS[library]}"
        ) from None
    if is_transformer:
        return module.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return module.StaticModel.from_pretrained(str(folder))


def _is_transformer(folder: Path) -> bool:
    """Return whether a folder needs sentence-transformers. A model2vec folder may have a `modules.json` as well."""
    modules = folder / "modules.json"
    return modules.is_file() and "StaticEmbedding" not in modules.read_text(encoding="utf-8", errors="replace")


class ServerModel:
    """A model behind `POST {base_url}/embeddings` of an OpenAI-compatible server."""

    def __init__(self, settings: SemanticSettings, key: str) -> None:
        self._settings = settings
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def embed(self, texts: Sequence[str], timeout_s: float) -> list[bytes]:
        """Return vectors. See `Embedder.embed`."""
        content = {"model": self._settings.model, "input": [text[:TEXT_MAX] or " " for text in texts]}
        try:
            with anyio.fail_after(timeout_s):
                answer = await self._posted(content)
        except TimeoutError:
            raise EmbeddingFailed(f"the server took more than {timeout_s:g} s") from None
        return _packed(_vectors_of(answer), len(texts))

    async def _posted(self, content: dict[str, Any]) -> object:
        import httpx2  # noqa: PLC0415  # only where a server is configured

        address = f"{self._settings.base_url.rstrip('/')}/embeddings"
        body = bytearray()
        try:
            async with (
                # No time-out of its own: the caller bounds it.
                httpx2.AsyncClient(headers=self._headers, timeout=None, verify=_tls()) as client,
                client.stream("POST", address, json=content) as response,
            ):
                if response.status_code != _OK:
                    raise EmbeddingFailed(f"the server answers {response.status_code}")
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > ANSWER_BYTES_MAX:
                        raise EmbeddingFailed("the server's answer is too long")
            return httpx2.Response(_OK, content=bytes(body)).json()
        except httpx2.HTTPError as error:
            raise EmbeddingFailed(f"the server cannot be reached: {type(error).__name__}") from error
        except ValueError as error:
            raise EmbeddingFailed("the server's answer is not valid JSON") from error


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return what checks a server's certificate: reading the known authorities costs more than a request."""
    import httpx2  # noqa: PLC0415  # as above

    return httpx2.create_ssl_context()


def _vectors_of(answer: object) -> list[object]:
    """Return the vectors of an answer in the order of the texts."""
    try:
        rows = sorted(cast("Any", answer)["data"], key=lambda row: row["index"])
        return [row["embedding"] for row in rows]
    except (KeyError, TypeError) as error:
        raise EmbeddingFailed("the server's answer holds no embeddings") from error


def _packed(vectors: object, count: int) -> list[bytes]:
    """Return vectors as they are stored, each scaled to length 1."""
    import numpy as np  # noqa: PLC0415  # only where a model is configured

    try:
        matrix: NDArray[Any] = np.asarray(vectors, dtype="<f4")
    except (TypeError, ValueError) as error:
        raise EmbeddingFailed("the vectors are not numbers, or differ in length") from error
    if matrix.ndim != 2 or len(matrix) != count or not 0 < matrix.shape[1] <= DIMENSIONS_MAX:  # noqa: PLR2004  # rows of numbers
        raise EmbeddingFailed(f"there are not {count} vectors")
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise EmbeddingFailed("a vector is zero or not finite")
    return [row.tobytes() for row in (matrix / lengths).astype("<f4")]
