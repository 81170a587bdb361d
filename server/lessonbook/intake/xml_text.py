"""XML files as text for a parser: decoded, and without the characters that XML forbids."""

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from lessonbook.intake.report_file import CHUNK_BYTES, encoding_of
from lessonbook.machine.patterns import lazy_pattern

_DECLARED = lazy_pattern(r"<\?xml\s[^>]{0,200}?encoding\s{0,20}=\s{0,20}[\"']([\w.:-]{1,40})")
_CODECS = lazy_pattern(
    r"utf-(?:8|16|32)(?:-[bl]e)?|ascii|iso8859-\d+|cp\d+|koi8-\w|mac-\w+|gb\w+|big5\w*|euc_\w+|shift_jis\w*"
)
"""Character sets. Python's other codecs are not, or take time quadratic in the length of the text (idna)."""
_SUSPECT = lazy_pattern(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]|&#(?:(\\d{1,10})|[xX]([0-9a-fA-F]{1,8}));"
)
_CHARACTERS: Final = (
    range(0x9, 0xB),
    range(0xD, 0xE),
    range(0x20, 0xD800),
    range(0xE000, 0xFFFE),
    range(0x10000, 0x110000),
)
"""What XML 1.0 allows (section 2.2)."""
_LONGEST_REFERENCE: Final = len("&#1114111111;")


def xml_text(opened: BinaryIO) -> Iterator[str]:
    """Yield the text of an XML file in pieces, without white space before it.

    Characters that XML forbids, plain or as references, are left out, since parsers refuse a whole file for one: the
    colours of a terminal begin with such a character. Bytes that are not in the file's encoding become U+FFFD.

    Raises:
        LookupError: the file names an encoding that is not known.
    """
    head = opened.read(CHUNK_BYTES)
    decoder = codecs.getincrementaldecoder(_encoding(head))("replace")
    piece, kept, has_begun = head, "", False
    while True:
        text = kept + decoder.decode(piece, final=not piece)
        if not has_begun:
            text = text.lstrip("\ufeff \t\r\n")
            has_begun = bool(text)
        end = len(text)
        if piece and (reference := text.rfind("&", max(end - _LONGEST_REFERENCE, 0))) >= 0:
            end = reference
        kept = text[end:]
        if allowed := _SUSPECT.sub(_allowed, text[:end]):
            yield allowed
        if not piece:
            return
        piece = opened.read(CHUNK_BYTES)


def _encoding(head: bytes) -> str:
    marked = encoding_of(head)
    declared = _DECLARED.match(head[:400].decode("latin-1").lstrip())
    if marked != "utf-8" or not declared:
        return marked
    name = codecs.lookup(declared[1]).name
    if not _CODECS.fullmatch(name):
        raise LookupError
    # A declaration that can be read byte by byte is not in one of the wide encodings, whatever it says.
    return marked if name.startswith(("utf-16", "utf-32")) else name


def _allowed(found: re.Match[str]) -> str:
    decimal, hexadecimal = found.groups()
    if not (decimal or hexadecimal):
        return ""
    number = int(decimal) if decimal else int(hexadecimal, 16)
    return found[0] if any(number in part for part in _CHARACTERS) else ""
