"""Whether a word without quotes, which could be prose or a variable, is the password that a name is given."""

import re
from typing import Final, NamedTuple

from lessonbook.domain.vocabulary import words
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.secrets.value_shape import (
    is_mixed,
    is_phrase,
    is_scattered,
    is_spoken,
    is_template,
    is_worded,
)

_LINE_MAX: Final = 200
_ABOVE_MAX: Final = 600
_NUMBER_MIN: Final = 6
_LINE_STARTS: Final = words("export set setx env local declare readonly - * # // > | $ echo let arg")
_OBJECTS: Final = words(
    "self this cls user req request res response args opts options params form data props obj event"
)
_PAIR_BEFORE = lazy_pattern(r"(?:^|[\s;&?,:@{|(\"'`])[\w.-]{1,40}=[^\s=,;&\"'()]{1,80}[,;&\s:]{0,2}\Z")
_PAIR_AFTER = lazy_pattern(r"[,;&\s]\s?[\w.-]{1,40}=[^\s=,;&\"'()]{1,80}")
_SECTION = lazy_pattern(r"^\[[\w .:-]{1,60}\]\s*$", re.M)
_EXPRESSION = lazy_pattern(r"\A(?:[$&*@(\[{!/~]|[A-Za-z_][\w.]*(?:[(\[]|::|->|\?\.))")
_DOTTED = lazy_pattern(r"\A[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_COMMENT = lazy_pattern(r"\A\s*(?:#.*)?\Z")


class Surroundings(NamedTuple):
    """Where a value stands: the line before its name and after itself, and what binds the two."""

    before: str
    name: str
    sign: str
    after: str
    users: bool
    """Whether a user is named close by."""
    section: bool
    """Whether the head of a section of settings stands before: `[database]`."""

    @property
    def starts_line(self) -> bool:
        """Whether nothing but what begins a line of settings stands before the name."""
        return all(word in _LINE_STARTS for word in self.before.strip(" \t\"'").lower().split())

    @property
    def ends_line(self) -> bool:
        """Whether nothing but a comment stands after the value."""
        return _COMMENT.match(self.after.rstrip(" \t\"'\\")) is not None


def place(text: str, name: tuple[int, int], value: tuple[int, int], *, users: bool) -> Surroundings:
    """Return the place of the value that stands at `value`, for the name at `name`."""
    first = text.rfind("\n", max(0, name[0] - _LINE_MAX), name[0]) + 1 or max(0, name[0] - _LINE_MAX)
    last = text.find("\n", value[1], value[1] + _LINE_MAX)
    after = text[value[1] : last if last >= 0 else value[1] + _LINE_MAX]
    above = text[max(0, name[0] - _ABOVE_MAX) : first]
    section = "[" in above and _SECTION.search(above) is not None
    return Surroundings(text[first : name[0]], text[name[0] : name[1]], text[name[1] : value[0]], after, users, section)


def is_code(text: str) -> bool:
    """Return whether `text` is an expression, a path, a small number or a template."""
    if is_template(text) or _EXPRESSION.match(text) is not None or (text.isdigit() and len(text) < _NUMBER_MIN):
        return True
    return _DOTTED.fullmatch(text) is not None and not is_scattered(text)


def is_given(value: str, at: Surroundings) -> bool:
    """Return whether `value`, which looks like a word, stands where only a password would."""
    if not is_worded(value) or at.after[:1] in {"(", ".", "[", ":"}:
        return False
    sign = at.sign.strip()
    if at.name.startswith("-"):
        return True
    if sign == "=" and sign == at.sign:
        return _is_given_tightly(at)
    if sign == "=":
        return at.starts_line and at.ends_line and _is_setting(at)
    if sign == ":":
        return (at.starts_line or (at.users and at.before.rstrip()[-1:] in {",", ";"})) and _ends_pair(value, at)
    if sign in {"", "|", ">"}:
        return at.starts_line and at.ends_line and _is_directive(at)
    return False


def is_said(value: str, at: Surroundings) -> bool:
    """Return whether `value`, in quotes and without a mixture of characters, is given by a line of settings."""
    in_object = at.users and at.before.rstrip()[-1:] in {",", "{"}
    return (at.starts_line or in_object) and not is_spoken(value) and (value.islower() or at.users)


def is_passphrase(value: str, at: Surroundings) -> bool:
    """Return whether `value` is several words that are given as a password."""
    bound = "=" in at.sign or at.sign[:1] in {'"', "'"} or at.name.startswith("-") or at.starts_line
    return bound and is_phrase(value, 2 if "phrase" in at.name.lower() else 3)


def is_mentioned(value: str, at: Surroundings) -> bool:
    """Return whether `value` follows the bare word `password`, perhaps with a verb between, and looks chosen."""
    return is_mixed(value) and at.after[:1] not in {"(", "=", "[", "/"}


def _is_given_tightly(at: Surroundings) -> bool:
    if at.before[-1:] in {"&", "?"} or at.after[:1] == "&":
        return True
    quoted = at.before[-1:] in {'"', "'", "`"} and at.before[-1:] == at.after[:1]
    if "(" in at.before and at.after.rstrip()[-1:] in {")", ","} and not quoted:
        return False  # an argument of a call
    if at.name.isupper():
        return True
    if quoted or (at.starts_line and at.ends_line):
        return True
    return _PAIR_BEFORE.search(at.before) is not None or _PAIR_AFTER.match(at.after) is not None


def _is_setting(at: Surroundings) -> bool:
    """Return whether `name = word` is a setting and no assignment of a variable."""
    first, dot, _ = at.name.partition(".")
    return (
        at.name.isupper()
        or at.users
        or at.section
        or (bool(dot) and first not in _OBJECTS)
        or "_" in at.name
        or "-" in at.name
    )


def _ends_pair(value: str, at: Surroundings) -> bool:
    return at.ends_line and (value.islower() or at.users or at.name.isupper())


def _is_directive(at: Surroundings) -> bool:
    """Return whether the line is a setting's name and its value: `requirepass x`, `ENV DB_PASSWORD x`."""
    return at.sign.strip() != "" or at.name.lower() not in {
        "password",
        "passwords",
        "pass",
        "passphrase",
        "pwd",
        "passcode",
    }
