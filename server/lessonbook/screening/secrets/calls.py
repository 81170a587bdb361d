"""Secrets that a call gives away: `jwt.sign(payload, "…")`, `hmac.new(b"…")`, `"…".toCharArray()`, `.type('…')`."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.secrets.value_shape import has_mixture, is_spoken, is_stand_in

Span = tuple[int, int, str]

_STRING = r"""[bB]?(?P<quote>["'`])(?P<word>[^"'`\n]{4,200})(?P=quote)"""
_BYTES = rf"(?:\[\]byte\(|(?:\w{{1,20}}\.){{0,4}}GetBytes\(|Buffer\.from\()?{_STRING}"
"""A text, or its bytes: `[]byte("…")`, `Encoding.UTF8.GetBytes("…")`, `Buffer.from("…")`."""
_OTHER = r"[^,\n\"'`]{1,80},[ \t\n]{0,20}"
_ANY = r"[^,\n]{1,80},[ \t\n]{0,20}"
_FIELD_END = (
    r"(?i:\b(?:name|id|type|data-[\w-]{1,20})[*^$~|]?=[\"']?(?:current-|new-|user)?password[\"']?\][\"'`]"
    r"|\(By\.\w{1,12},[ ]?[\"']password[\"']|\((?:\w{1,12}\.)?\w{0,12}\(?[\"']#?password[\"'])"
)
"""The end of a selector of a form's field for the password."""
_TYPES = r"\)?\)?(?:,[ \t]{0,4}|\)?[ \t]{0,4}\.(?:type|fill|sendKeys|send_keys|setValue|set_value)\([ \t]{0,4})"


class _SecretCall(NamedTuple):
    """A text that every match has, the pattern, and whether the word has to look chosen."""

    hint: str
    pattern: re.Pattern[str]
    is_certain: bool = True


def _call(hint: str, pattern: str, *, is_certain: bool = True) -> _SecretCall:
    return _SecretCall(hint, lazy_pattern(pattern), is_certain)


_CALLS: Final = (
    # … that signs or encrypts,
    _call("hmac", rf"(?i:\bhmac\.new|\bhmac\.digest|\bhmac_sha256|hash_hmac)\([ \t]{{0,4}}{_BYTES}"),
    _call("Hmac(", rf"\bcreateHmac\({_ANY}{_BYTES}"),
    _call("Fernet(", rf"\bFernet\([ \t]{{0,4}}{_STRING}"),
    _call("jwt", rf"(?i:\bjwt(?:\.|::)(?:sign|encode|verify|decode))\({_ANY}{_BYTES}"),
    _call("JWT", rf"(?i:\bjwt(?:\.|::)(?:sign|encode|verify|decode))\({_ANY}{_BYTES}"),
    _call("SignedString(", rf"\bSignedString\({_BYTES}"),
    _call("signWith(", rf"\bsignWith\((?:{_OTHER})?{_STRING}"),
    _call("KeySpec(", rf"\b(?:SecretKeySpec|PBEKeySpec)\([ \t]{{0,4}}{_STRING}"),
    _call("SecurityKey(", rf"\bSymmetricSecurityKey\({_BYTES}"),
    _call("CryptoJS", rf"\bCryptoJS\.\w{{1,12}}\.(?:encrypt|decrypt)\({_ANY}{_STRING}"),
    _call("CryptoJS", rf"\bCryptoJS\.Hmac\w{{1,12}}\({_ANY}{_STRING}"),
    _call(".new(", rf"\b(?:AES|DES3?|ARC4|Blowfish|ChaCha20)\.new\([ \t]{{0,4}}(?:key=)?{_STRING}"),
    _call("Cipher", rf"\bcreate(?:C|Dec)ipher(?:iv)?\({_ANY}{_BYTES}"),
    _call("Serializer(", rf"\b(?:URLSafe)?(?:Timed)?(?:JSONWebSignature)?Serializer\([ \t]{{0,4}}{_STRING}"),
    _call("CookieStore(", rf"\bNewCookieStore\({_BYTES}"),
    _call("cookieParser(", rf"\bcookieParser\([ \t]{{0,4}}{_STRING}"),
    _call("Protect(", rf"\bcsrf\.Protect\({_BYTES}"),
    _call(
        "[]byte(", rf"(?i:\b\w{{0,20}}(?:secret|jwt|signing|hmac|session)\w{{0,12}})[ \t]{{0,4}}:?=[ \t]{{0,4}}{_BYTES}"
    ),
    # … that logs in,
    _call("toCharArray", rf"{_STRING}\.toCharArray\(", is_certain=False),
    _call(".auth(", rf"\.auth\({_STRING}[ \t]{{0,4}}\)", is_certain=False),
    _call("FTP", rf"\bFTP(?:_TLS)?\({_ANY}{_ANY}{_STRING}"),
    _call("Client.new(", rf"\bTwilio::REST::Client\.new\({_ANY}{_STRING}"),
    _call("ilio", rf"\b(?:twilio|Client)\([\"']AC[0-9a-f]{{32}}[\"'],[ ]?{_STRING}"),
    _call("connect(", rf"\b(?:cx_Oracle|oracledb)\.connect\({_ANY}{_STRING}"),
    _call("uthenticator(", rf"\b\w{{0,20}}Authenticator\({_ANY}{_STRING}"),
    _call("asic.encode(", rf"\b(?:Basic|Credentials\.basic)\.?(?:encode)?\({_ANY}{_STRING}"),
    # … that fills in a form.
    _call("password", rf"{_FIELD_END}{_TYPES}{_STRING}"),
    _call("Password", rf"{_FIELD_END}{_TYPES}{_STRING}"),
)


def called(text: str) -> Iterator[Span]:
    """Yield start, end and kind of the secrets of `text` that a call takes where nothing but a secret stands."""
    if "(" not in text:
        return
    for hint, pattern, is_certain in _CALLS:
        if hint in text:
            for match in pattern.finditer(text):
                if _is_chosen(match["word"], is_certain=is_certain):
                    yield *match.span("word"), "password"


def _is_chosen(word: str, *, is_certain: bool) -> bool:
    """Return whether a word is a secret and no stand-in; where the call may take other things, it has to be mixed."""
    if is_stand_in(word) or is_spoken(word) or word.isupper() or not (is_certain or has_mixture(word)):
        return False
    return "://" not in word
