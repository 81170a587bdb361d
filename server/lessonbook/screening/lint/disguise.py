"""What hides words from readers or from the lint: invisible characters, look-alike letters, encodings."""

import base64
import binascii
import re
import unicodedata
from typing import Final

from lessonbook.machine.patterns import lazy_pattern

_HIDDEN: Final = lazy_pattern(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e01ef]|[\ufe00-\ufe0f]{2,}"
)
_LOOKALIKES: Final[dict[int, str]] = {
    ord(strange): plain
    for strange, plain in zip(
        "абвгдеһкмнорстухіјѕԁԛԝьАВЕКМНОРСТУХІЈЅαβεηικνορτυχωγΑΒΕΖΗΙΚΜΝΟΡΤΥΧıɡɑʋɘᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ",
        "abbrdehkmhopctyxijsdqwbABEKMHOPCTYXIJSabenikvoptuxwyABEZHIKMNOPTYXigaveabcdefghijklmnoprstuvwyz",
        strict=True,
    )
}
_STRANGE: Final = lazy_pattern("[\u0370-\u03ff\u0400-\u052f\u0250-\u02af\u1d00-\u1d2b\ua730\ua731]")
_LEET: Final = str.maketrans("0134578@$!", "oieastbasi")
_SPELT: Final = lazy_pattern(r"[0134578@$!][^\W\d_]|[^\W\d_][134578@$](?!\w)")
"""A digit or symbol among letters, as in `1gn0re` and `p@ssword`; also in `base64url`, where it does no harm."""

_WORD: Final = lazy_pattern(r"[^\W_]+")
_SPACED: Final = lazy_pattern(r"(?<![^\W_])(?:[^\W\d_][ ._*|\-]{1,2}){5,}[^\W\d_](?![^\W_])")
_BASE64: Final = lazy_pattern(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/_\-]{16,}={0,2}")
_HEX: Final = lazy_pattern(r"(?<![0-9a-f])(?:(?:0x)?[0-9a-f]{2}[ ,:]?){10,}", re.I)
_BYTES: Final = lazy_pattern(
    r"[A-Za-z0-9+/]{48}|(?:\\x[0-9a-fA-F]{2}){4}|(?:%[0-9a-fA-F]{2}){6}|(?:\\u[0-9a-fA-F]{4}){4}"
    r"|(?:&#x?[0-9a-fA-F]{2,6};){4}|(?<![01])(?:[01]{8} ?){4}(?![01])|(?<!\d)(?:\d{2,3}[ ,]{1,2}){8}"
    r"|(?<![^\s`\"'])(?:[.\-]{1,5}[ /]{1,3}){6}"
)
"""Base64 and other codes, long enough to say something; each alternative begins with another character."""

_ROTATED: Final = lazy_pattern(
    r"\b(?:naq|gur|gung|guvf|jvgu|lbh|lbhe|sebz|abg|nyy|cyrnfr|vafgehpgvbaf?|cebzcg)\b", re.I
)
_TURNED: Final = lazy_pattern(r"\b(?:eht|dna|uoy|ruoy|siht|taht|htiw|morf|lla|snoitcurtsni|tpmorp|erongi)\b", re.I)

LOOKALIKE_LETTERS_MIN: Final = 3
TELLING_WORDS_MIN: Final = 2
WORD_WITH_SYMBOL_MAX: Final = 3
DECODED_MIN: Final = 8
DECODED_READABLE: Final = 0.9


def visible(text: str) -> str:
    """Return `text` without characters that are not seen, or that reorder what is seen."""
    kept = _HIDDEN.sub("", text)
    if kept.isprintable():
        return kept
    return "".join(char for char in kept if char in "\n\t" or unicodedata.category(char) != "Cc")


def hides_characters(text: str) -> bool:
    """Return whether `text` holds characters that `visible` takes out because nobody sees them."""
    return _HIDDEN.search(text) is not None


def folded(text: str) -> str:
    """Return `text` as it looks to a reader: look-alike letters and letters with marks as plain Latin ones."""
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKD", text).translate(_LOOKALIKES)
    return "".join(char for char in plain if unicodedata.category(char) != "Mn")


def readings(text: str) -> list[str]:
    """Return the ways in which a model may read `text`: as it looks, and with letters for digits (`1gn0re`)."""
    plain = folded(text)
    if len(_SPELT.findall(plain)) < TELLING_WORDS_MIN:
        return [plain]
    return [plain, " ".join(word.translate(_LEET) if _SPELT.search(word) else word for word in plain.split(" "))]


def disguises(text: str) -> list[str]:
    """Return the ways in which visible `text` hides its words from a reader, as parts of a sentence."""
    found: list[str] = []
    if not text.isascii() and (_mixes_alphabets(text) or _imitates_letters(text)):
        found.append("it is written in look-alike letters")
    if _SPACED.search(text):
        found.append("it spells words out letter by letter")
    if _BYTES.search(text) or any(map(_decodes, (*_BASE64.findall(text), *_HEX.findall(text)))):
        found.append("it holds encoded data")
    if len(_ROTATED.findall(text)) >= TELLING_WORDS_MIN or len(_TURNED.findall(text)) >= TELLING_WORDS_MIN:
        found.append("it holds words in cipher")
    return found


def _mixes_alphabets(text: str) -> bool:
    """Return whether a word mixes Latin letters with look-alikes; short ones (Δt, kΩ) name quantities."""
    words = (word for word in _WORD.findall(text) if len(word) > WORD_WITH_SYMBOL_MAX)
    return any(_STRANGE.search(word) and any(char.isascii() and char.isalpha() for char in word) for word in words)


def _imitates_letters(text: str) -> bool:
    return sum(map(_is_imitation, text)) >= LOOKALIKE_LETTERS_MIN


def _is_imitation(char: str) -> bool:
    """Return whether `char` is a fullwidth, mathematical or encircled variant of a Latin letter."""
    plain = unicodedata.normalize("NFKC", char)
    return not char.isascii() and len(plain) == 1 and plain.isascii() and plain.isalpha()


def _decodes(blob: str) -> bool:
    """Return whether `blob` is text in Base64 or hexadecimal digits; names and hashes decode to noise."""
    try:
        if _HEX.fullmatch(blob):
            data = bytes.fromhex(re.sub(r"0x|[ ,:]", "", blob, flags=re.I))
        else:
            plain = blob.rstrip("=").replace("-", "+").replace("_", "/")
            data = base64.b64decode(plain + "=" * (-len(plain) % 4))
    except (ValueError, binascii.Error):
        return False
    readable = sum(32 <= byte < 127 for byte in data)  # noqa: PLR2004  # printable ASCII
    return len(data) >= DECODED_MIN and readable >= DECODED_READABLE * len(data)
