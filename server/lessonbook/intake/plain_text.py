"""Issues in words: one finding per paragraph."""

from typing import Final

from lessonbook.domain.documents import Unreadable, checked
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Outcome, Reading, Refused
from lessonbook.intake.clean_text import decoded, without_controls
from lessonbook.intake.fields import MAX_DESCRIPTION_CHARS
from lessonbook.intake.report_file import ReportFile, encoding_of
from lessonbook.machine.patterns import lazy_pattern

MAX_PARAGRAPHS: Final = 100
MAX_BYTES: Final = 16 * 1024 * 1024

_BLANK_LINES = lazy_pattern(r"\n[ \t\f\v]*(?:\n[ \t\f\v]*)+")


def open_text(file: ReportFile) -> Reading:
    """Return the paragraphs of a text, each as a finding.

    Raises:
        InvalidInput: the text is empty, is neither UTF-8 nor what its byte order mark says, or has more than 16 MiB.
    """
    with file.open() as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{file.place} has more than {MAX_BYTES >> 20} MiB of text; report a part of it")
    try:
        text = data.decode(encoding_of(data))
    except UnicodeDecodeError:
        raise InvalidInput(f"{file.place} is not UTF-8 text; save it as UTF-8") from None
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    paragraphs = [paragraph for part in _BLANK_LINES.split(lines) if (paragraph := part.strip())]
    if not paragraphs:
        raise InvalidInput(f"{file.place} is empty; nothing was reported")
    outcomes = [_outcome(paragraph, number) for number, paragraph in enumerate(paragraphs[:MAX_PARAGRAPHS])]
    if (left := len(paragraphs) - MAX_PARAGRAPHS) > 0:
        reason = f"{left} beyond the first {MAX_PARAGRAPHS} are not read; report them separately"
        outcomes.append(Refused(f"paragraphs[{MAX_PARAGRAPHS}:{len(paragraphs)}]", reason))
    return Reading("text", len(outcomes), (one for one in outcomes))


def _outcome(paragraph: str, number: int) -> Outcome:
    try:
        words = without_controls(decoded(paragraph)).strip()
        if not words:
            return None
        return Finding(description=checked(words, "text", max_chars=MAX_DESCRIPTION_CHARS))
    except Unreadable as error:
        return Refused(f"paragraphs[{number}]", str(error))
