"""A report file, wherever its bytes are: what readers read, some of them several times."""

import codecs
import hashlib
import io
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from lessonbook.domain.errors import InvalidInput

CHUNK_BYTES: Final = 64 * 1024

_BLANK: Final = b" \t\r\n\x00"
_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class NoReport(InvalidInput):
    """The file is not a report of a format that is read."""


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A file that somebody wrote: bytes in memory, a file on disk, or an open file that can be rewound.

    `place` names it in errors. `unpack` is how its bytes are read where they are packed (see `packing`).
    """

    content: bytes | Path | BinaryIO
    place: str
    unpack: Callable[[BinaryIO], BinaryIO] | None = None

    @property
    def is_packed(self) -> bool:
        """Whether what is read was packed."""
        return self.unpack is not None

    @contextmanager
    def open(self) -> Generator[BinaryIO]:
        """Give the bytes from the start, unpacked; an open file stays open.

        Raises:
            InvalidInput: the file cannot be read.
        """
        with self._opened() as opened:
            if self.unpack is None:
                yield opened
            else:
                with self.unpack(opened) as content:
                    yield content

    @contextmanager
    def _opened(self) -> Generator[BinaryIO]:
        if isinstance(self.content, bytes):
            yield io.BytesIO(self.content)
        elif isinstance(self.content, Path):
            try:
                opened = self.content.open("rb")
            except OSError as error:
                raise InvalidInput(f"{self.place} cannot be read ({error.strerror}); check that it is there") from None
            with opened:
                yield opened
        else:
            self.content.seek(0)
            yield self.content

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in pieces of at most `CHUNK_BYTES`."""
        with self.open() as opened:
            while chunk := opened.read(CHUNK_BYTES):
                yield chunk

    def head(self) -> bytes:
        """Return the first `CHUNK_BYTES` bytes."""
        with self.open() as opened:
            return opened.read(CHUNK_BYTES)

    def is_blank(self) -> bool:
        """Return whether there is nothing but white space, or a byte order mark."""
        return all(chunk in _MARKS or not chunk.strip(_BLANK) for chunk in self.chunks())

    def digest(self) -> str:
        """Return the SHA-256 of the bytes, in hexadecimal."""
        hashed = hashlib.sha256()
        for chunk in self.chunks():
            hashed.update(chunk)
        return hashed.hexdigest()


def encoding_of(head: bytes) -> str:
    """Return the encoding of a text that begins with `head`: UTF-8, unless a byte order mark or NULs show another."""
    return json.detect_encoding(head) if head.startswith(_MARKS) or b"\x00" in head[:4] else "utf-8"
