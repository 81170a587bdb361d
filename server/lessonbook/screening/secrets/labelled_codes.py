"""Codes that their label gives away: keys that unseal, recovery codes, one-time codes, phrases of a wallet."""

import re
from collections.abc import Iterator
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.secrets.value_shape import is_hex, is_scattered, is_stand_in

Span = tuple[int, int, str]

_HINTS: Final = (
    *(
        "unseal",
        "recovery",
        "backup",
        "rescue",
        "scratch",
        "2fa",
        "mfa",
        "otp:",
        "otp=",
        "otp is",
        "two-factor",
        "two factor",
        "one-time",
        "one time",
    ),
    *(
        "verification",
        "pin:",
        "pin=",
        "pin is",
        "pin code",
        "bitlocker",
        "filevault",
        "mnemonic",
        "seed",
        "root token",
        "passcode",
        "security code",
    ),
)
_LABEL = lazy_pattern(
    r"(?<![a-z])(?:(?P<long>unseal[ _-]?keys?(?:_(?:b64|hex))?|initial root token|root token|recovery[ _-]?keys?"
    r"(?:_(?:b64|hex))?|(?:bitlocker|filevault)[^\n:=]{0,30}?key)"
    r"|(?P<phrase>mnemonic(?: phrase)?|(?:seed|recovery|backup|secret) (?:phrase|words))"
    r"|(?P<code>(?:recovery|backup|rescue|scratch|emergency|2fa|mfa|otp|two[ -]factor|one[ -]time|verification|security"
    r"|login|totp)(?: (?:recovery|backup|login|authentication))?[ _-](?:codes?|passcodes?|passwords?|pin)|otp"
    r"|pin(?: code)?))(?![a-z])"
)
_GAP = lazy_pattern(
    r"""(?:[ \t]\d{1,2})?(?:[ \t]{0,2}\([^()\n]{0,40}\))?["']?[ \t]{0,4}(?:[:=]|is\b|are\b)[ \t]{0,4}"""
    r"|[ \t]{0,4}\n"
)
_BETWEEN = lazy_pattern(r"""[\s,;"'\[\]•*|-]{0,12}(?:\d{1,2}[.):][ \t]{1,4})?["']?""")
_CODE = lazy_pattern(
    r"[A-Za-z0-9]{1,6}-\d{4,8}(?!\d)|\d{4} \d{4}(?!\d)"
    r"|(?<![A-Za-z0-9-])[A-Za-z0-9]++(?:-[A-Za-z0-9]++){0,11}+(?![/.:=@_+-]\w|\w)"
)
_LONG = lazy_pattern(r"[A-Za-z0-9+/_.-]{20,}+={0,2}")
_WORDS = lazy_pattern(r"""["']?(?P<words>[a-z]{3,10}(?: [a-z]{3,10}){11,23})(?![\w-])""")
_CODES_MAX: Final = 20
_LISTED_MIN: Final = 6
_ALONE_MIN: Final = 4


def labelled(text: str, small: str) -> Iterator[Span]:
    """Yield start, end and kind of the codes in `text` (`small` in small letters) that follow a label of theirs."""
    for hint in _HINTS:
        if hint in small:
            break
    else:
        return
    for match in _LABEL.finditer(small):
        gap = _GAP.match(text, match.end())
        if gap is None:
            continue
        if match["phrase"]:
            if (words := _WORDS.match(text, gap.end())) is not None:
                yield *words.span("words"), "token"
            continue
        yield from _codes(text, gap.end(), is_long=bool(match["long"]), is_listed="\n" in gap.group())


def _codes(text: str, position: int, *, is_long: bool, is_listed: bool) -> Iterator[Span]:
    pattern = _LONG if is_long else _CODE
    for number in range(_CODES_MAX):
        between = _BETWEEN.match(text, position)
        position = between.end() if between is not None else position
        found = pattern.match(text, position)
        least = _LISTED_MIN if number or is_listed else _ALONE_MIN
        if found is None or not (_is_key(found.group()) if is_long else _is_code(found.group(), least)):
            return
        yield *found.span(), "token"
        position = found.end()


def _is_key(value: str) -> bool:
    return not is_stand_in(value) and (is_hex(value, 20) or is_scattered(value) or value.replace("-", "").isdigit())


def _is_code(value: str, least: int) -> bool:
    core = re.sub(r"[ -]", "", value)
    digits = sum(char.isdigit() for char in core)
    if len(core) < least or len(set(core)) < 3 or digits == 0:  # noqa: PLR2004 - `0000` is an example
        return False
    return digits == len(core) or (len(core) >= 8 and digits > 1) or ("-" in value and digits > 1)  # noqa: PLR2004
