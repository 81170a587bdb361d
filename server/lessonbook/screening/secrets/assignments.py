"""Secrets that a name gives away: `password = "…"`, `--token …`, `Authorization: Basic …`, `<password>…</password>`."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from typing import Final, NamedTuple

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.secrets.secret_names import NAMING, Promise, promise
from lessonbook.screening.secrets.unquoted import (
    Surroundings,
    is_code,
    is_given,
    is_mentioned,
    is_passphrase,
    is_said,
    place,
)
from lessonbook.screening.secrets.value_shape import (
    TOKEN_MIN,
    UUID,
    has_mixture,
    holds_user,
    is_hex,
    is_jumble,
    is_mixed,
    is_noise,
    is_phrase,
    is_scattered,
    is_spoken,
    is_stand_in,
    is_token,
    is_word,
    is_worded,
    is_wordless,
)

Span = tuple[int, int, str]

_KEYS: Final = frozenset({"key", "keys", "Key", "KEY"})
_NAME_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
_NAME_MAX: Final = 80
_BESIDE_MAX: Final = 160
_NEAR_MAX: Final = 60
_PASSWORD_MIN: Final = 4
_PASSWORD_BARE_MIN: Final = 6
_PHRASE_MIN: Final = 12
_DRAWN_MIN: Final = 20

# Between a name and its value stands …
_SIGN: Final = lazy_pattern(  # … a sign, with or without a type: `=`, `:`, `:=`, `=>`, `?=`, `: str =`
    r"""\\?["'`]?[\])]{0,2}\s{0,40}"""
    r"(?::{0,3}={1,3}>?|(?:[.+?]|\?\?|\|\|)=|!==?|->|(?:\|\||\?\?|or\b)(?=\s{1,4}[\"'`])|:\s{0,4}[A-Za-z][\w.\[\]|?]{0,30}\s{0,4}=(?!=)|:(?!:))"
    r"[ \t]{0,40}\n?[ \t]{0,40}"
    r"(?:[|>][-+]?[ \t]{0,4}\n[ \t]{1,40})?"  # `password: |`
    r"""(?:["']\s{0,4}\+\s{0,4}(?=["']))?"""  # `"token=" + "…"`
)
_BLANK = lazy_pattern(r"[ \t]{1,4}(?![-|&<>])")  # … a blank, after a flag: `--password x`
_SPEECH = lazy_pattern(
    r"(?:[ \t]{1,20}|[ \t]{1,4}(?P<verb>is|was|to|be)[ \t:]{1,4})(?=[\"'][^\s\"']{4,200}[\"'])"
)  # … `password is "x"`
_PAIR = lazy_pattern(  # … what parts the items of a list, or a key's attributes: `"token", "x"`, `key="x" value="y"`
    r"""\\?["'`]\s{0,4}[,>})]{1,3}\s{0,40}(?:(?:\\?["'])?(?:[vV]alue|default|content)(?:\\?["'])?\s{0,4}[:=]\s{0,4})?(?=\\?["'`])"""
    r"""|\\?["'][\s{]{1,20}(?:(?:type\s{0,4}=\s{0,4}\w{1,20}|description\s{0,4}=\s{0,4}"[^"\n]{0,200}")\s{0,20}){0,2}"""
    r"""(?:[vV]alue|default)\s{0,4}=\s{0,4}(?=["'])"""
)
_ELEMENT = lazy_pattern(r"[\"']?>(?:\s{0,8}<value>)?(?=[^<>\n]{1,400}</)")  # … the end of a tag
_ELEMENT_TEXT = lazy_pattern(r"[^<>\n]{1,400}")
_BELOW = lazy_pattern(r"[\"']?[ \t]{0,4}\n[ \t]{0,40}value[ \t]{0,4}:[ \t]{0,4}")  # … the next line, as in Kubernetes
_DIRECTIVE = lazy_pattern(r"[ \t]{1,8}(?=[^\s=:]{4,80}[ \t]{0,8}$)", re.M)  # … a blank, where that is all of the line
_MENTION = lazy_pattern(  # … a verb, or nothing, in prose: `the password is x1y2z3`
    r"[ \t]{1,4}(?:(?:is|was|to|be|lautet)[ \t:]{1,4})?(?=[^\s\"'<>$({\[]{6,80})"
)
_CONSTANT_PAIR = lazy_pattern(r"[ \t]{0,4},[ \t]{0,4}(?=[\"'])")  # … a comma, after a constant: `CURLOPT_PASSWORD, "x"`
_CALL = lazy_pattern(  # … the bracket of a call, and perhaps who logs in: `NetworkCredential("user", "x")`
    r"""(?:\s{0,4}=\s{0,4}[\w.]{0,40})?\(\s{0,8}(?P<first>["'][^"'\n]{0,80}["']\s{0,4},\s{0,8}){0,2}(?=["'`])"""
)
# Before a value may stand …
_SCHEME = lazy_pattern(
    r"(?i)(?:basic|bearer|token|apikey|api-token|api-key|key|ssws|digest|splunk|negotiate|oauth|jwt)\s{1,4}"
)
_FALLBACK = lazy_pattern(
    r"""[A-Za-z_][\w.\[\]]{0,60}\s{0,4}(?:\|\||\?\?|or)\s{0,4}(?=["'`])"""
    r"""|[A-Za-z_][\w.]{0,60}\(\s{0,4}["'][\w.-]{1,80}["']\s{0,4},\s{0,4}(?=["'`])"""
)
_QUOTED = lazy_pattern(
    r"""[bBrRuUfF@$]{0,2}(\\?["'`])(?P<value>(?:(?!\1)[^\n\\]|\\(?!["'])[^\n]|(?!\1)\\["']){1,2000}+)(?:\1|$)""", re.M
)
_BARE = lazy_pattern(r"""[^\s"'`<>,;(\[{=&][^\s"'`<>,;()\[\]=]{0,2000}+={0,3}+""")
_BARE_PASSWORD = lazy_pattern(r"""[^\s"'`<>,;(\[{][^\s"'`<>,;]{0,1999}+""")
_NEAR = lazy_pattern(r"""(?<![\w/.+-])[A-Za-z0-9][\w.+/=~!-]{19,400}+""")
_WORD_BEFORE = lazy_pattern(r"\b([A-Za-z]{3,10}) \Z")
_CHECKSUM = lazy_pattern(
    r"(?i)sha-?\d|hash|integrity|checksum|digest|md5|commit|revision|public|fingerprint|\bid\b|_id\b"
)
_BESIDE = lazy_pattern(
    r"(?i)(?:user(?:name|[ _-]?id)?|uid|login|host(?:name)?|server|machine)[\"']?\s{0,20}(?:=>|[:=]|[\"' ])"
)
_QUERY = lazy_pattern(r"&[\w.-]{1,40}=")
_NAMED_HASH = lazy_pattern(r"\A(?:[A-Za-z][\w.]{0,20}-){1,8}[0-9a-f]{32,128}\Z")
_MARKED = lazy_pattern(r"\[redacted:|ENC[\[(]")
_SEPARATED = lazy_pattern(r"[_./]")
_SECRETS_NAME = lazy_pattern(r"(?i)(?:\A|[_.-]|[a-z])secret(?:[_-]?key(?:[_-]?base)?)?[\"'\]]{0,2}\Z")
_SAYS_WHERE = lazy_pattern(
    r"secret|token|key|passw|vault|portal|name|client|insert|from|here|your|store|ref\b|prod|stag"
)
_HYPHENS_MIN: Final = 2
_LABEL = lazy_pattern(r"[ \t>*-]{0,12}(?:[A-Za-z]{1,12} ){0,3}")
_MENTIONED: Final = frozenset({"password", "passwd", "pwd", "pw", "passphrase", "passcode", "passwort", "kennwort"})
_CALLABLE = lazy_pattern(r"[A-Za-z_][\w.]*")


class Value(NamedTuple):
    """A value that was given to a name, and how it is bound to it."""

    start: int
    end: int
    text: str
    quoted: bool
    loose: bool
    """Whether what binds it could stand in prose or between two things that have nothing to do with each other."""
    beside_user: bool
    """Whether a user or a server is named close by, as in a connection string."""
    at: Surroundings


class _NamedText:
    """A text with what is looked for around many of its names, found once."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _users(self) -> list[int]:
        return [match.start() for match in _BESIDE.finditer(self.text)]

    @cached_property
    def _drawn(self) -> list[Span]:
        return [span for match in _NEAR.finditer(self.text) if (span := _drawn_span(self.text, match)) is not None]

    def names_user(self, start: int, end: int) -> bool:
        """Return whether a user or a server is named within `start` and `end`."""
        at = bisect_left(self._users, start)
        return at < len(self._users) and self._users[at] < end

    def drawn_after(self, position: int) -> Span | None:
        """Return where something that can only be drawn stands, at most 60 characters after `position`."""
        at = bisect_left(self._drawn, (position, 0, ""))
        if at == len(self._drawn) or (start := self._drawn[at][0]) - position > _NEAR_MAX:
            return None
        return None if _MARKED.search(self.text, position, start) is not None else self._drawn[at]


def assigned(text: str, small: str) -> Iterator[Span]:
    """Yield start, end and kind of the secrets that names in `text` are given, in the order of the names.

    `small` is `text` in small letters, character by character.
    """
    reading = _NamedText(text)
    done = 0
    for anchor in _anchors(small, NAMING):
        if anchor < done:
            continue
        start, done = _name_around(text, anchor)
        if text.startswith("[redacted:", max(0, start - 10)):
            continue  # the name of a mark
        name = text[start:done].rstrip(".-")
        means = promise(name)
        if name in _KEYS and (before := _WORD_BEFORE.search(text, max(0, start - 12), start)) is not None:
            means = promise(before[1] + "_key")
        if means == "none":
            continue
        value = _value_of(reading, start, done, means)
        if value is not None and _is_secret(value, means, name):
            yield value.start, value.end, "password" if means == "password" else "token"
            done = max(done, value.end)
        elif means != "key" and (drawn := reading.drawn_after(done)) is not None:
            yield drawn
        elif means == "password" and (span := _mentioned(text, start, done, name)) is not None:
            yield span


def _mentioned(text: str, start: int, end: int, name: str) -> Span | None:
    """Return where a password stands that follows its name without a sign, if one does."""
    gap = _DIRECTIVE.match(text, end)
    accepts = is_given
    if gap is None or name.lower() in _MENTIONED:
        gap, accepts = _MENTION.match(text, end), is_mentioned
        if name.lower() not in _MENTIONED:
            return None
    word = _BARE_PASSWORD.match(text, gap.end()) if gap is not None else None
    if word is None:
        return None
    value = word.group().rstrip(".:?)") if accepts is is_mentioned else word.group()
    span = (word.start(), word.start() + len(value))
    at = place(text, (start, end), span, users=False)
    if not (accepts(value, at) or (accepts is is_given and at.starts_line and is_mixed(value))):
        return None
    return *span, "password"


def _drawn_span(text: str, match: re.Match[str]) -> Span | None:
    start, value = match.start(), match.group().rstrip(".")
    if (
        "/" in value
        or is_stand_in(match.group())
        or not is_wordless(value, _DRAWN_MIN)
        or UUID.search(value) is not None
    ):
        return None
    if _CHECKSUM.search(text, max(0, start - 24), start + 8) is not None:
        return None
    return start, start + len(value), "token"


def _anchors(small: str, texts: tuple[str, ...]) -> list[int]:
    found: list[int] = []
    for word in texts:
        at = small.find(word)
        while at >= 0:
            found.append(at)
            at = small.find(word, at + len(word))
    return sorted(found)


def _name_around(text: str, anchor: int) -> tuple[int, int]:
    start = end = anchor
    first, last = max(0, start - _NAME_MAX), min(len(text), end + _NAME_MAX)
    while start > first and text[start - 1] in _NAME_CHARS:
        start -= 1
    while end < last and text[end] in _NAME_CHARS:
        end += 1
    return start, end


def _value_of(reading: _NamedText, start: int, end: int, means: Promise) -> Value | None:
    text = reading.text
    name = (start, end)
    users = means == "password" and reading.names_user(start - _BESIDE_MAX, end + _BESIDE_MAX // 2)
    if (gap := _BELOW.match(text, end)) is not None:
        return _value_at(text, gap.end(), means, name, loose=False, users=users)
    if (gap := _SIGN.match(text, end)) is not None and text[gap.end() : gap.end() + 1] != "(":
        colon = "=" not in gap.group() and gap.group()[:1] not in "\"'`\\"
        spaced = gap.group()[:1].isspace() and gap.group()[-1:].isspace()
        return _value_at(text, gap.end(), means, name, loose=colon, users=users, spaced=spaced)
    if text[start : start + 1] == "-" and (gap := _BLANK.match(text, end)) is not None:
        return _value_at(text, gap.end(), means, name, loose=False, users=users)
    if text[end - 1] != "." and (gap := _SPEECH.match(text, end)) is not None:
        users = users and not text[text.rfind("\n", max(0, start - 40), start) + 1 : start].strip()
        return _value_at(text, gap.end(), means, name, loose=not gap["verb"] and not users, users=users)
    if (gap := _ELEMENT.match(text, end)) is not None:
        match = _ELEMENT_TEXT.match(text, gap.end())
        return match and Value(
            *match.span(), match.group(), True, False, users, place(text, name, match.span(), users=users)
        )
    if (gap := _PAIR.match(text, end)) is not None:
        listed = text[max(0, start - 2) : start - 1] == "(" and ")" not in gap.group()
        bound = listed or "value" in gap.group().lower() or "default" in gap.group()
        return _value_at(text, gap.end(), means, name, loose=not bound, users=users)
    if text[start:end].isupper() and "_" in text[start:end] and (gap := _CONSTANT_PAIR.match(text, end)) is not None:
        return _value_at(text, gap.end(), means, name, loose=False, users=users)
    if (gap := _CALL.match(text, end)) is not None:
        return _value_at(text, gap.end(), means, name, loose=not gap["first"], users=False)
    return None


def _value_at(
    text: str,
    position: int,
    means: Promise,
    name: tuple[int, int],
    *,
    loose: bool,
    users: bool,
    spaced: bool = False,
) -> Value | None:
    for before in (_SCHEME, _FALLBACK):
        if (match := before.match(text, position)) is not None:
            position = match.end()
    if (match := _QUOTED.match(text, position)) is not None:
        start, end = match.span("value")
        scheme = _SCHEME.match(text, start, end)
        start = scheme.end() if scheme is not None and scheme.end() < end else start
        at = place(text, name, (start, end), users=users)
        return Value(start, end, text[start:end], quoted=True, loose=loose, beside_user=users, at=at)
    match = (_BARE_PASSWORD if means == "password" else _BARE).match(text, position)
    if match is None or match.group().endswith(".."):
        return None
    value = match.group()
    if text[match.end() : match.end() + 1] in {"(", "["} and _CALLABLE.fullmatch(value) is not None:
        return None
    if "&" in value and ("?" in text[max(0, position - 200) : position].rsplit("\n", 1)[-1] or _QUERY.search(value)):
        value = value.partition("&")[0]
    value = value.rstrip(".)}]\\:")
    start, end = match.start(), match.start() + len(value)
    listed = users and not spaced and text[end : end + 1] in {";", '"', "'"}
    at = place(text, name, (start, end), users=users)
    if " " in at.after and at.starts_line and _is_phrase(whole := value + at.after.rstrip(), means, at):
        return Value(start, start + len(whole), whole, quoted=True, loose=False, beside_user=users, at=at)
    return Value(start, end, value, quoted=False, loose=loose, beside_user=listed, at=at)


def _is_secret(value: Value, means: Promise, name: str) -> bool:
    text = value.text
    if len(text) < (_PASSWORD_MIN if means == "password" else TOKEN_MIN) or "[redacted:" in text:
        return False
    if value.quoted and text.lstrip()[:1] == "+":
        return False  # what stands between two texts that are joined
    if value.quoted and is_noise(text):
        return True
    if is_stand_in(text):
        return False
    if means == "password":
        return _is_password(value, name)
    text = text.strip()
    if _is_secrets_name(name) and _is_phrased(value):
        return True
    if " " in text:
        return False
    if not value.quoted and is_code(text):
        return False
    if means == "key":
        return (UUID.search(text) is not None or is_hex(text, 32) or is_scattered(text)) and not _NAMED_HASH.search(
            text
        )
    return is_token(text) or holds_user(text) or _is_stated(value, name)


def _is_phrase(whole: str, means: Promise, at: Surroundings) -> bool:
    """Return whether a line of settings gives several words without quotes."""
    if means == "password":
        return is_passphrase(whole, at)
    return at.name.isupper() and at.sign == "=" and _is_secrets_name(at.name) and is_phrase(whole, 2)


def _is_secrets_name(name: str) -> bool:
    """Return whether a name is of what a program signs with: `SESSION_SECRET`, `secret_key`, `secret_key_base`."""
    return _SECRETS_NAME.search(name) is not None


def _is_phrased(value: Value) -> bool:
    """Return whether a program's secret is words that somebody chose: `keyboard cat`, `do-not-tell-anyone`.

    Names of stored secrets are words with hyphens as well, so those count in quotes or as a setting alone.
    """
    text, at = value.text, value.at
    if " " in text:
        return value.quoted and is_phrase(text, 2)
    if text.count("-") < _HYPHENS_MIN or not is_worded(text) or _SAYS_WHERE.search(text) is not None:
        return False
    return (value.quoted and not value.loose) or at.name.isupper()


def _is_stated(value: Value, name: str) -> bool:
    """Return whether a line says `Secret: …` and nothing else."""
    at = value.at
    if not (name.lower().endswith("secret") and at.ends_line and _LABEL.fullmatch(at.before)):
        return False
    return (is_mixed(value.text) and not _SEPARATED.search(value.text)) or (name.isupper() and is_given(value.text, at))


def _is_password(value: Value, name: str) -> bool:
    text = value.text
    if value.beside_user and not value.loose and (value.quoted or not is_code(text)):
        return text.casefold() not in {"none", "null", "true", "false"}
    if text.casefold() == name.casefold() or is_word(text) or (promise(text) != "none" and "_" in text):
        return False
    if value.quoted:
        if " " in text:
            return is_passphrase(text, value.at)
        if (
            text[0] in "/#."
            or (not text.islower() and is_spoken(text))
            or (text.isalpha() and text.istitle() and promise(text) != "none")
        ):
            return False
        return not value.loose or has_mixture(text) or is_said(text, value.at)
    if is_code(text) or (name in {"pass", "PASS"} and not (value.at.starts_line or value.at.users)):
        return False
    return (len(text) >= _PASSWORD_BARE_MIN and (has_mixture(text) or is_jumble(text))) or is_given(text, value.at)
