"""Packed report files, read without being unpacked to a disk: gzip, and the members of a zip archive."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO, Final

from lessonbook.domain.errors import InvalidInput
from lessonbook.intake.report_file import ReportFile

GZIP: Final = b"\x1f\x8b"
ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
UNPACKED_MAX: Final = 512 * 1024 * 1024
"""Bytes that one packed file, or all members of one archive, may have when unpacked."""
MEMBERS_MAX: Final = 1_000
_ENCRYPTED: Final = 0x1
_PACKED_NAMES: Final = (".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".tar", ".jar")


def unpacked(file: ReportFile) -> ReportFile:
    """Return a gzip file as what is in it, another file as it is.

    Raises:
        InvalidInput: there is a packed file in it. Whether it is damaged or too large shows when it is read.
    """
    if file.is_packed or not file.head().startswith(GZIP):
        return file

    def opened(packed: BinaryIO) -> BinaryIO:
        return _UnpackedBytes.over(gzip.GzipFile(fileobj=packed, mode="rb"), UNPACKED_MAX, file.place)

    inner = replace(file, unpack=opened)
    if inner.head().startswith((GZIP, *ZIP)):
        raise InvalidInput(f"{file.place} holds a packed file within gzip: unpack it once")
    return inner


def is_archive(file: ReportFile) -> bool:
    """Return whether a file is a zip archive."""
    return file.head().startswith(ZIP)


def members_of(file: ReportFile) -> list[ReportFile]:
    """Return the files in a zip archive, in its order; archives in it and links are left out.

    Nothing is written: the names of members are only shown.

    Raises:
        InvalidInput: it is damaged or encrypted, has more than `MEMBERS_MAX` members, or they have more than
            `UNPACKED_MAX` bytes by the archive's own account. A member that has more than it says is refused when it
            is read.
    """
    with file.open() as packed:
        try:
            members = [one for one in zipfile.ZipFile(packed).infolist() if not one.is_dir()]
        except (zipfile.BadZipFile, zipfile.LargeZipFile, ValueError, OSError, NotImplementedError):
            raise InvalidInput(f"{file.place} is a damaged zip archive; pack it again") from None
    if len(members) > MEMBERS_MAX:
        raise InvalidInput(f"{file.place} has {len(members)} files; at most {MEMBERS_MAX} of an archive are read")
    if (size := sum(one.file_size for one in members)) > UNPACKED_MAX:
        raise InvalidInput(
            f"{file.place} unpacks to {size >> 20} MiB; at most {UNPACKED_MAX >> 20} MiB are read. Pack it in parts"
        )
    if any(one.flag_bits & _ENCRYPTED for one in members):
        raise InvalidInput(f"{file.place} is encrypted; unpack it first")
    plain = [one for one in members if not one.filename.lower().endswith(_PACKED_NAMES)]
    return [replace(file, place=f"{file.place}:{one.filename}", unpack=_member(one, file.place)) for one in plain]


def _member(member: zipfile.ZipInfo, place: str) -> Callable[[BinaryIO], BinaryIO]:
    def opened(packed: BinaryIO) -> BinaryIO:
        try:
            content = zipfile.ZipFile(packed).open(member)  # noqa: SIM115  # closed with the file over it
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, ValueError):
            raise InvalidInput(f"{place}:{member.filename} cannot be unpacked; pack it again") from None
        return _UnpackedBytes.over(content, member.file_size, f"{place}:{member.filename}")

    return opened


class _UnpackedBytes(io.RawIOBase):
    """What is in a packed file, at most `most` bytes of it."""

    def __init__(self, content: io.BufferedIOBase, most: int, place: str) -> None:
        self._content, self._left, self._place = content, most, place

    @classmethod
    def over(cls, content: object, most: int, place: str) -> BinaryIO:
        """Return the bounded content as an open file."""
        return io.BufferedReader(cls(content, most, place), buffer_size=64 * 1024)  # type: ignore[arg-type]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        try:
            piece = self._content.read(min(len(view), self._left + 1))
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile):
            raise InvalidInput(f"{self._place} is damaged: it cannot be unpacked to its end") from None
        self._left -= len(piece)
        if self._left < 0:
            most = f"at most {UNPACKED_MAX >> 20} MiB, and of a zip archive what it says, are read"
            raise InvalidInput(f"{self._place} unpacks to more than it may: {most}")
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._content.close()
        super().close()
