"""Passwords that stand beside a user: in a call that logs in, after a label of credentials, in a line of `.pgpass`."""

import re
from collections.abc import Iterator
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.secrets.value_shape import is_mixed, is_spoken, is_stand_in, is_template, is_token

Span = tuple[int, int, str]

_STRING = r"""(?:"[^"\n]{0,100}"|'[^'\n]{0,100}')"""
_CALL = lazy_pattern(
    rf"\(\s{{0,8}}(?P<first>[A-Za-z$&][\w.$&:>-]{{0,60}}\s{{0,8}},\s{{0,8}})?"
    rf"(?P<arguments>{_STRING}(?:\s{{0,8}},\s{{0,8}}(?:Some\()?{_STRING}){{1,3}})"
)
_CALLED = lazy_pattern(
    r"(?i)(?:(?P<third>connect|connection|plainauth|mongocredential|logon|create_user|create_superuser|\bpdo)|wifi\.begin|login|log_in|signin|sign_in|auth|credentials?"
    r"|authentication|authenticate|passwordtoken)[ \t]{0,2}(?:=[ \t]{0,2})?\Z"
)
_CALLED_MAX: Final = 40
_ARGUMENT = lazy_pattern(_STRING)
_LABELS: Final = (
    "cred",
    "login",
    "log in",
    "account",
    "reached with",
    "admin",
    "root",
    "id/p",
    "id / p",
    "id pw",
    "user/",
)
_SAYING_BOTH: Final = (
    *("logged in with", "log in with", "login with", "logged in as", "signed in with", "sign in with"),
    "credentials are",
)
"""Labels after which a user and a password stand, whatever the password looks like."""
_LABEL_MAX: Final = 90
_PAIR = lazy_pattern(
    r"(?:\A|(?<=[\s(\"'`:>,]))(?P<user>[A-Za-z][\w.@\\-]{1,40})(?::|[ \t]?(?:/{1,2}|\|)[ \t]?|\()"
    r"(?P<word>[^\s/|,;\"'`():]{5,64})(?=[\s,;\"'`)]|\Z)"
)
_PGPASS = lazy_pattern(r":(?:\d{4,5}|\*):[^\s:/]{1,60}:[A-Za-z*][^\s:]{0,60}:(?P<word>[^\s:][^\s]{3,100})$", re.M)
_VERBOSE: Final = frozenset("-_./\\")


def paired(text: str, small: str) -> Iterator[Span]:
    """Yield start, end and kind of the passwords of `text` (`small` in small letters) that stand beside a user."""
    if ":" in text:
        for match in _PGPASS.finditer(text):
            if not is_stand_in(match["word"]) and not match["word"].startswith("$"):
                yield *match.span("word"), "password"
    if "(" in text:
        for match in _CALL.finditer(text):
            called = _CALLED.search(text[max(0, match.start() - _CALLED_MAX) : match.start()])
            if called is not None:
                yield from _argument(text, match, is_third=bool(called["third"]))
    yield from _after_labels(text, small)


def _after_labels(text: str, small: str) -> Iterator[Span]:
    for label in (*_SAYING_BOTH, *_LABELS):
        at = small.find(label)
        while at >= 0:
            for match in _PAIR.finditer(text[at : at + _LABEL_MAX].partition("\n")[0]):
                word = match["word"].rstrip(".")
                separator = text[at + match.end("user") : at + match.start("word")]
                is_said = label in _SAYING_BOTH and " " in separator and is_mixed(word)
                if is_said or _is_chosen(word, separator=separator):
                    start = at + match.start("word")
                    yield start, start + len(word), "password"
            at = small.find(label, at + _LABEL_MAX)


def _is_chosen(word: str, *, separator: str) -> bool:
    """Return whether `word` is a password and no part of a path or an address."""
    if not is_mixed(word) or _VERBOSE.intersection(word):
        return False
    if "/" not in separator:
        return True
    is_strong = any(char in "!#$%^&*?" for char in word) or not (word.islower() or word.isupper())
    return is_strong and (" " in separator or (any(char.isdigit() for char in word) and "@" not in word[1:-1]))


def _argument(text: str, call: re.Match[str], *, is_third: bool) -> Iterator[Span]:
    arguments = list(_ARGUMENT.finditer(text, *call.span("arguments")))
    at = 2 if is_third or len(arguments) > 3 else 1  # noqa: PLR2004 - the host or the identity comes first
    if call["first"]:
        at = min(at, len(arguments) - 1)  # the address is no text of its own: `getConnection(url, "user", "x")`
    if at >= len(arguments):
        return
    word = arguments[at].group()[1:-1]
    if len(word) < 4 or " " in word or word[0] in "/$<{%" or "_" in word.strip("_"):  # noqa: PLR2004
        return
    if not (is_spoken(word) or is_stand_in(word) or is_template(word)):
        yield arguments[at].start() + 1, arguments[at].end() - 1, "token" if is_token(word) else "password"
