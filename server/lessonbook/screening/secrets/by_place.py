"""Secrets that their place gives away: in an address, in a command, behind a mark such as `hvs.` that issuers add."""

import re
from collections.abc import Iterator
from typing import Final

from lessonbook.domain.vocabulary import words
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.secrets.value_shape import (
    UUID,
    decoded,
    has_mixture,
    holds_user,
    is_hex,
    is_mixed,
    is_scattered,
    is_stand_in,
    is_template,
    is_token,
    is_word,
    is_wordless,
    unlike_words,
)

Span = tuple[int, int, str]

_ADDRESS = lazy_pattern(
    r"""(?<=://)[^\s/:"'`<>?#]{0,100}:(?P<password>(?!\d{2,5};)[^\s/"'`<>?#]{1,200})@(?=[\w\[%$.{(*-])"""
)
_ADDRESS_TOKEN = lazy_pattern(r"(?<=://)[\w-]{20,200}(?=@[\w.-])")
_EXAMPLES: Final = frozenset({"user:pass@", "user:password@", "username:password@", "user:passwd@", "login:password@"})
_WORD_OF_SHELL = r"""(?:"[^"\n]{0,200}"|'[^'\n]{0,200}'|[^\s"'\\]{1,200}){1,4}"""
_CURL = lazy_pattern(rf"(?<=\s)(?:-u|-U|-a|--auth|--user|--proxy-user)[ \t=]{{0,4}}(?P<word>{_WORD_OF_SHELL})")
_CURL_NAMES: Final = lazy_pattern(r"\b(?:curl|wget|http)\s")


def _statement(*hints: str, pattern: str) -> tuple[tuple[str, ...], re.Pattern[str]]:
    return hints, lazy_pattern(pattern)


_STATEMENTS: Final = (
    _statement(
        "login",
        pattern=r"\b(?:machine\s{1,20}\S{1,100}|default)\s{1,20}login\s{1,20}\S{1,100}\s{1,20}password\s{1,20}(?P<word>\S{4,200})",
    ),
    _statement(
        "SecureString",
        pattern=r"""ConvertTo-SecureString\s{1,4}(?:-String\s{1,4})?["'](?P<word>[^"'\s$]{4,200})["']""",
    ),
    _statement(
        *("IDENTIFIED", "identified", "PASSWORD '", "password '"),
        pattern=r"""\b(?:IDENTIFIED (?:WITH \w{1,40} )?BY(?: PASSWORD)? ["']|(?i:identified (?:with \w{1,40} )?by"""
        r"""(?: password)?|(?:role|user) [^\n;]{1,100} password) ')(?P<word>[^"'\s]{4,200})["']""",
    ),
    _statement(
        *("SET PASSWORD", "set password"),
        pattern=r"(?i:\bset password)(?: (?i:for) [^\n=]{1,80}?)? ?= ?(?i:password\()?"
        r"[\"'](?P<word>[^\"'\s]{4,200})[\"']",
    ),
    _statement(
        "BUNDLE_",
        pattern=r"""\bBUNDLE_[A-Z0-9_]{2,80}__[A-Z]{2,10}"?\s{0,4}[=:]\s{0,4}["']?(?P<word>[^\s:"'$]{2,100}:[^\s"';$]{4,100})""",
    ),
    _statement("::add-mask::", pattern=r"::add-mask::(?P<word>[^\s\"'$`%<{][^\n\"'`$]{3,200})"),
    _statement("issecret=true", pattern=r"issecret=true[^\]\n]{0,40}\](?P<word>[^\s\"'$`<{][^\n\"'`$]{3,200})"),
    _statement(":1521", pattern=r"\b[A-Za-z]\w{1,30}/(?P<word>[^\s/@\"']{4,60})@[\w.-]{1,80}:1521"),
    _statement("/bot", pattern=r"/bot(?P<word>\d{8,10}:[\w-]{35})(?![\w-])"),
    _statement("snmp-server community", pattern=r"snmp-server community (?P<word>[^\s<$]{4,60})"),
    _statement("isakmp key", pattern=r"isakmp key (?:\d )?(?P<word>[^\s<$]{4,60})"),
    _statement(" password 7 ", " secret 4 ", pattern=r" (?:password 7|secret 4) (?P<word>[0-9A-Za-z./]{8,60})"),
)
_SIGNATURE = lazy_pattern(r"[?&](?:sig|X-Amz-Signature|X-Goog-Signature|Signature)=(?P<word>[\w%+/=-]{20,400}+)")
_BASIC = lazy_pattern(r"(?i)(?<=\bbasic )[A-Za-z0-9+/]{8,400}+={0,2}")
_ORACLE = lazy_pattern(r"(?<=jdbc:oracle:)\w{2,10}:[^/@\s\"']{1,60}/(?P<word>[^@\s\"']{2,100})@")
_COOKIE = lazy_pattern(r"(?i)\bcookie:[^\n]{1,4000}")
_COOKIE_VALUE = lazy_pattern(r"""[\w.-]{1,100}=(?P<word>[^;\s"']{16,4000}+)""")
_WEB_KEY = lazy_pattern(r"""["'](?:d|p|q|dp|dq|qi|k)["']\s{0,4}:\s{0,4}["'](?P<word>[\w-]{16,2000})["']""")
_MANIFEST = lazy_pattern(r"""\bkind["']?:[ \t]{0,4}["']?Secret\b""")
_MANIFEST_VALUE = lazy_pattern(
    r"""^[ \t]{1,40}["']?(?!name|kind|type|apiVersion)[\w.-]{1,80}["']?:[ \t]{0,4}["']?"""
    r"""(?P<word>[A-Za-z0-9+/]{8,4000}+={0,2})["']?,?[ \t]{0,4}$""",
    re.M,
)
_PLAIN_VALUE = lazy_pattern(
    r"""^[ \t]{1,40}["']?(?!name|kind|type|apiVersion|user|host|port)[\w.-]{1,80}["']?:[ \t]{1,4}["']?"""
    r"""(?P<word>[^\s"'|>#&*{\[]{6,200})["']?[ \t]{0,4}$""",
    re.M,
)
_MARKED = lazy_pattern(r"(?<![\w./+=%@#$&\\-])[A-Za-z][A-Za-z0-9]{0,11}[_.~-][\w.~-]{16,400}+")
_ID = lazy_pattern(
    r"(?:(?<![A-Za-z])(?:id|ID)|[a-z]Id)s?\b[^\w\n]{0,6}(?:for example[^\w\n]{1,6}|e\.g\.[^\w\n]{1,6})?\Z"
)
_PASSWORD_MIN: Final = 4
_HEX_MIN: Final = 32
_HEX_MARK_MAX: Final = 4
_PART_MIN: Final = 20
_WHOLE_MIN: Final = 30
_LONGEST_MIN: Final = 12
_ENDING = lazy_pattern(r"\.[a-z][a-z0-9]{0,4}$")
_PARTS = lazy_pattern(r"[_.~=-]+")
_MARKS_OF_NAMES: Final = words(
    "sha sha1 sha224 sha256 sha384 sha512 md5 blake2b commit commits rev ref build chunk bundle img image index node"
    " pod uuid urn guid cve ghsa id test tests fix bug issue release version python py cp lib request trace span"
    " session app main vendor static style css js svg div class anonymous lambda docker container layer tmp temp file"
    " pip npm yarn pnpm deps cache node linux macos windows go cargo gradle maven gem gems composer mod nuget setup key"
    " cus price prod sub acct evt seti req org team proj"
    " blob resolved integrity checksum hash etag digest pkg com org net io www http https self this z zn"
)


def placed(text: str) -> Iterator[Span]:
    """Yield start, end and kind of the secrets in `text` that stand where only secrets do."""
    if "://" in text:
        yield from _in_addresses(text)
    yield from _in_requests(text)
    yield from _in_statements(text)
    if '"kty"' in text:
        for match in _WEB_KEY.finditer(text):
            yield *match.span("word"), "private-key"
    if "Secret" in text and _MANIFEST.search(text) is not None:
        yield from _in_manifest(text)
        yield from _in_plain_manifest(text)
    yield from _marked(text)


def _in_addresses(text: str) -> Iterator[Span]:
    for match in _ADDRESS.finditer(text):
        if not _is_filled_in(match["password"]) and match.group().casefold() not in _EXAMPLES:
            yield *match.span("password"), "url-password"
    for match in _ADDRESS_TOKEN.finditer(text):
        if is_hex(match.group(), 32) or is_scattered(match.group()):
            yield *match.span(), "url-password"


def _is_filled_in(value: str) -> bool:
    return is_template(value) or len(set(value) - set("*xX.")) == 0


def _in_statements(text: str) -> Iterator[Span]:
    if ("-u" in text or "-U" in text or "-a" in text or "--" in text) and _CURL_NAMES.search(text) is not None:
        for match in _CURL.finditer(text):
            if _CURL_NAMES.search(text, max(0, match.start() - 600), match.start()) is not None:
                yield from _after_user(*match.span("word"), match["word"])
    for hints, pattern in _STATEMENTS:
        if any(hint in text for hint in hints):
            for match in pattern.finditer(text):
                if not is_stand_in(match["word"]) and not is_word(match["word"]):
                    yield *match.span("word"), "password"


def _in_manifest(text: str) -> Iterator[Span]:
    for match in _MANIFEST_VALUE.finditer(text):
        word = match["word"]
        if word.endswith("=") or is_scattered(word) or decoded(word) != "":
            yield *match.span("word"), "token"


def _in_plain_manifest(text: str) -> Iterator[Span]:
    """Yield the values below `stringData:`, which stand there as they are."""
    begin = text.find("stringData:")
    for match in _PLAIN_VALUE.finditer(text, begin) if begin >= 0 else ():
        word = match["word"]
        if has_mixture(word) and not is_stand_in(word) and "://" not in word and "/" not in word[:1]:
            yield *match.span("word"), "token"


def _in_requests(text: str) -> Iterator[Span]:
    if "sig=" in text or "ignature=" in text:
        for match in _SIGNATURE.finditer(text):
            yield *match.span("word"), "token"
    for match in _BASIC.finditer(text) if "asic " in text or "ASIC " in text else ():
        if holds_user(match.group()):
            yield *match.span(), "basic-auth"
    for match in _ORACLE.finditer(text) if "jdbc:oracle:" in text else ():
        if not _is_filled_in(match["word"]):
            yield *match.span("word"), "url-password"
    for line in _COOKIE.finditer(text) if "ookie:" in text or "OOKIE:" in text else ():
        for match in _COOKIE_VALUE.finditer(text, line.start(), line.end()):
            if is_token(match["word"]):
                yield *match.span("word"), "token"


def _after_user(start: int, end: int, word: str) -> Iterator[Span]:
    """Yield the password of `user:password`, or the user where that is all there is."""
    user, colon, password = word.partition(":")
    if password.strip("\"'"):
        start, secret = start + len(user) + 1, password
    else:
        end, secret = start + len(user), user
    start, end = start + len(secret) - len(secret.lstrip("\"'")), end - len(secret) + len(secret.rstrip("\"'"))
    secret = secret.strip("\"'")
    if secret.isupper() and secret.replace("_", "").isalpha():
        return  # `USER:API_TOKEN`
    if not colon or len(secret) < _PASSWORD_MIN or secret == user.strip("\"'") == password.strip("\"'"):
        return
    if not (
        is_word(secret.strip("{}"))
        or is_stand_in(secret.strip("{}"))
        or is_template(word)
        or secret.startswith(("$", "["))
        or (secret[0] == "{" and not is_mixed(secret.strip("{}")))
    ):
        yield start, end, "password"


def _marked(text: str) -> Iterator[Span]:
    for match in _MARKED.finditer(text):
        value = match.group()
        if _ENDING.search(value):
            continue
        mark, *parts = _PARTS.split(value)
        if mark.lower() in _MARKS_OF_NAMES or is_stand_in(value) or UUID.search(value) is not None:
            continue
        if _ID.search(text, max(0, match.start() - 40), match.start()) is not None:
            continue
        if _is_drawn(value, mark, max(parts, key=len, default="")):
            yield *match.span(), "token"


def _is_drawn(value: str, mark: str, longest: str) -> bool:
    if is_hex(longest, _PART_MIN):
        if len(longest) < _HEX_MIN:
            return False
        return len(mark) <= _HEX_MARK_MAX or f"_{longest}" in value
    return is_wordless(longest, _PART_MIN) or (
        len(longest) >= _LONGEST_MIN
        and is_wordless(value[len(mark) :], _WHOLE_MIN)
        and unlike_words(value[len(mark) :]) > 0.3  # noqa: PLR2004
    )
