"""One door for reports: tells SARIF, JUnit and plain text apart and has the right reader read them."""

import codecs
import json
import re
from typing import Final, Literal

from lessonbook.errors import InvalidInput
from lessonbook.models.findings import Finding, Intake
from lessonbook.refinery.documents import Unreadable, checked
from lessonbook.refinery.junit import read_junit
from lessonbook.refinery.sarif import read_sarif

ReportKind = Literal["auto", "sarif", "junit", "text"]

MAX_PARAGRAPHS: Final = 100
MAX_DESCRIPTION_CHARS: Final = 20_000

_ADVICE: Final = "give a SARIF or JUnit file, or say that it is plain text"
_BLANK_LINES = re.compile(r"\n[ \t\f\v]*(?:\n[ \t\f\v]*)+")
_XML = re.compile(r"<(?:\?xml|!doctype|!--|(?:[a-z]\w*:)?testsuites?\b)", re.IGNORECASE)
_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_report(data: bytes, *, kind: ReportKind = "auto", place: str) -> Intake:
    """Return the findings of a report; `auto` tells its kind by its content, never by its name.

    An object in JSON is read as SARIF, XML as JUnit and anything else as text, one finding per paragraph. `place` names
    the file in errors.

    Raises:
        InvalidInput: the report is empty, broken, or JSON of another kind.
    """
    if not data.strip(b" \t\r\n\x00") or data in _MARKS:
        raise InvalidInput(f"{place} is empty; nothing was reported")
    match _kind(data, place) if kind == "auto" else kind:
        case "sarif":
            return read_sarif(data, place=place)
        case "junit":
            return read_junit(data, place=place)
        case _:
            return _read_text(_decoded(data, place), place)


def _kind(data: bytes, place: str) -> ReportKind:
    opening = _decoded(data, place).lstrip("\ufeff \t\r\n")
    if _XML.match(opening):
        return "junit"
    if opening.startswith("{"):
        return "sarif"
    if opening.startswith("[") and _is_json(data):
        raise InvalidInput(f"{place} is a JSON list, which no reader takes; {_ADVICE}")
    return "text"


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _decoded(data: bytes, place: str) -> str:
    """Return the text of `data`: UTF-8, or what its byte order mark says."""
    try:
        return data.decode(json.detect_encoding(data) if data.startswith(_MARKS) or b"\x00" in data[:4] else "utf-8")
    except UnicodeDecodeError:
        pass
    if _XML.match(data[:200].decode("latin-1").lstrip()):  # XML names its own encoding
        return data.decode("latin-1")
    raise InvalidInput(f"{place} is not UTF-8 text; save it as UTF-8")


def _read_text(text: str, place: str) -> Intake:
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    paragraphs = [paragraph for part in _BLANK_LINES.split(lines) if (paragraph := part.strip())]
    if not paragraphs:
        raise InvalidInput(f"{place} is empty; nothing was reported")
    intake = Intake()
    for number, paragraph in enumerate(paragraphs[:MAX_PARAGRAPHS]):
        try:
            described = checked(paragraph, "text", max_chars=MAX_DESCRIPTION_CHARS)
        except Unreadable as error:
            intake.refuse(f"paragraphs[{number}]", str(error))
        else:
            intake.findings.append(Finding(description=described))
    if (left := len(paragraphs) - MAX_PARAGRAPHS) > 0:
        beyond = f"paragraphs[{MAX_PARAGRAPHS}:{len(paragraphs)}]"
        reason = f"{left} beyond the first {MAX_PARAGRAPHS} are not read; report them separately"
        intake.refuse(beyond, reason)
    return intake
