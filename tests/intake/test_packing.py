"""Packed files: read as what is in them, within bounds, and never written."""

import gzip
import io
import zipfile
import zlib
from pathlib import Path

import pytest

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import collect
from lessonbook.intake import packing
from lessonbook.intake.packing import is_archive, members_of
from lessonbook.intake.readers import open_report
from lessonbook.intake.report_file import ReportFile
from tests.reading import read_report

FIXTURES = Path(__file__).parents[1] / "fixtures"
SARIF = (FIXTURES / "bandit.sarif").read_bytes()


def zipped(**members: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return held.getvalue()


def test_gzip_is_read_as_what_is_in_it(tmp_path: Path):
    path = tmp_path / "scan"
    path.write_bytes(gzip.compress(SARIF))
    with path.open("rb") as opened:
        for content in (gzip.compress(SARIF), path, opened):
            assert collect(open_report(ReportFile(content, "-"))) == read_report(SARIF, place="-")
    for name in ("junit.xml", "pytest_reportlog.jsonl", "scanners/mypy.jsonl"):
        data = (FIXTURES / name).read_bytes()
        assert read_report(gzip.compress(data), place="-") == read_report(data, place="-")


def test_members_of_a_zip_archive_are_read_without_being_written(tmp_path: Path):
    eslint = (FIXTURES / "scanners" / "eslint.json").read_bytes()
    archive = ReportFile(
        zipped(**{"../../etc/scan.sarif": SARIF, "/abs/eslint.json": eslint, "in.zip": b""}), "out.zip"
    )
    assert is_archive(archive)
    members = members_of(archive)
    assert [member.place for member in members] == ["out.zip:../../etc/scan.sarif", "out.zip:/abs/eslint.json"]
    assert [len(collect(open_report(member)).findings) for member in members] == [21, 2]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (gzip.compress(SARIF)[:-2_000], "is damaged: it cannot be unpacked to its end"),
        (gzip.compress(SARIF)[:-8] + b"12345678", "is damaged"),
        (gzip.compress(gzip.compress(SARIF)), "holds a packed file within gzip"),
        (gzip.compress(zipped(a=SARIF)), "holds a packed file within gzip"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (zipped(a=SARIF), "is a zip archive: give it to `lessonbook report`"),
    ],
)
def test_what_is_packed_badly_is_an_error_in_words(data: bytes, problem: str):
    with pytest.raises(InvalidInput, match=r"^out ") as caught:
        read_report(data, place="out")
    assert problem in str(caught.value)


@pytest.mark.parametrize("content", [b"\0", b" ", b"words "])
def test_a_gzip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch, content: bytes):
    monkeypatch.setattr(packing, "UNPACKED_MAX", 1_000_000)
    with pytest.raises(InvalidInput, match="out unpacks to more than it may"):
        read_report(gzip.compress(content * 1_100_000), place="out")


def test_zip_bombs_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing, "UNPACKED_MAX", 1_000_000)
    with pytest.raises(InvalidInput, match="out unpacks to 1 MiB; at most 0 MiB are read"):
        members_of(ReportFile(zipped(a=b" " * 600_000, b=b" " * 600_000), "out"))
    monkeypatch.setattr(packing, "MEMBERS_MAX", 3)
    with pytest.raises(InvalidInput, match="out has 4 files; at most 3"):
        members_of(ReportFile(zipped(a=b"1", b=b"2", c=b"3", d=b"4"), "out"))


def test_a_member_that_is_larger_than_it_says_is_not_read_on():
    data = bytearray(zipped(**{"a.json": b"[" + b" " * 100_000 + b"]"}))
    for at in (data.index(b"PK\x03\x04") + 22, data.index(b"PK\x01\x02") + 24):
        data[at : at + 4] = (50).to_bytes(4, "little")  # its size
        data[at - 8 : at - 4] = zlib.crc32(b"[" + b" " * 49).to_bytes(4, "little")
    (member,) = members_of(ReportFile(bytes(data), "out"))
    assert sum(map(len, member.chunks())) == 50


@pytest.mark.parametrize("data", [b"PK\x03\x04", zipped(a=SARIF)[:-10], b"PK\x05\x06rest"])
def test_a_damaged_archive_is_an_error_in_words(data: bytes):
    with pytest.raises(InvalidInput, match="out is a damaged zip archive"):
        members_of(ReportFile(data, "out"))


def test_a_member_with_damage_is_an_error_in_words():
    data = bytearray(zipped(**{"a.sarif": SARIF}))
    data[200:260] = b"\xff" * 60
    (member,) = members_of(ReportFile(bytes(data), "out"))
    with pytest.raises(InvalidInput, match=r"out:a\.sarif "):
        open_report(member)


def test_an_encrypted_archive_is_refused():
    data = bytearray(zipped(a=b"x"))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    with pytest.raises(InvalidInput, match="out is encrypted"):
        members_of(ReportFile(bytes(data), "out"))
