"""Words in scripts other than ASCII's: full width folded, scripts without spaces cut into pairs of characters."""

import re
import unicodedata
from typing import Final

from lessonbook.machine.patterns import lazy_pattern

WORD_MAX: Final = 40
"""Characters of a word that are kept."""
_UNSPACED_RANGES: Final = (
    "\u0e01-\u0e4e\u0e80-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17d3\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
_MARKS: Final = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0981-\u0983"
    "\u09bc-\u09cd\u0a01-\u0a4d\u0a81-\u0acd\u0b01-\u0b57\u0b82-\u0bcd\u0c00-\u0c56\u0c81-\u0cd6\u0d00-\u0d4d"
    "\u0d82-\u0ddf\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ebc\u0ec8-\u0ecd\u102b-\u103e\u17b4-\u17d3\u3099\u309a\uff9e\uff9f"
)
_TOKEN: Final = lazy_pattern(rf"(?:\w|[{_MARKS}])+")
_PIECE: Final = lazy_pattern(rf"[{_UNSPACED_RANGES}]+|(?:(?![{_UNSPACED_RANGES}])(?:[^\W_]|[{_MARKS}]))+")
_UNSPACED: Final = lazy_pattern(rf"[{_UNSPACED_RANGES}]")


def split_scripts(text: str) -> tuple[str, list[str]]:
    """Return the ASCII words of `text` as a text, and the index terms of all others, in order.

    Terms are in NFKC and casefolded. Scripts without spaces, and Korean with its attached particles, give pairs of
    neighbouring characters, as Lucene's CJKBigramFilter does; other scripts give whole words.
    """
    if text.isascii():
        return text, []
    terms: list[str] = []

    def fold(found: re.Match[str]) -> str:
        token = found.group()
        if token.isascii():
            return token
        folded = unicodedata.normalize("NFKC", token).casefold()
        if folded.isascii():
            return folded
        for piece in _PIECE.findall(folded):
            if _UNSPACED.match(piece):
                terms.extend(piece[at : at + 2] for at in range(max(1, len(piece) - 1)))
            elif len(piece) > 1:
                terms.append(piece[:WORD_MAX])
        return " "

    return _TOKEN.sub(fold, text), terms
