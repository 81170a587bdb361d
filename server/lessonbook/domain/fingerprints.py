"""What stays the same of a text when its problem is reported again: the words behind fingerprints."""

import re
from typing import Final

from lessonbook.domain.lesson_names import general_words
from lessonbook.domain.places import without_users
from lessonbook.machine.patterns import lazy_pattern

_TEMPORARY_FOLDER: Final = (
    r"(?:(?:/private)?/var/folders/\w{1,4}/\w{1,60}/[TC0]|(?:/private)?/(?:var/)?tmp|/dev/shm"
    r"|(?:[a-z]:|~)[/\\]{1,2}(?:[^\s/\\]{1,100}[/\\]{1,2}){0,4}temp|%temp%|\$tmpdir)(?=[/\\])"
)
_TEMPORARY: Final = lazy_pattern(
    rf"{_TEMPORARY_FOLDER}(?:[/\\]{{1,2}}[^\s/\\:'\"<>,;()\[\]]+)+",
    re.IGNORECASE,
)
_MADE_ONCE: Final = lazy_pattern(rf"\A{_TEMPORARY_FOLDER}/[^/]+(?=/)", re.IGNORECASE)
"""A folder within that of temporary files, which has another name in each run."""
_UUID: Final = lazy_pattern(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)
_ADDRESS: Final = lazy_pattern(r"\b0x[0-9a-f]+\b", re.IGNORECASE)
_HEX: Final = lazy_pattern(r"\b(?=[0-9a-f]{0,63}\d)(?=[0-9a-f]{0,63}[a-f])[0-9a-f]{8,64}\b", re.IGNORECASE)
_MOMENT: Final = lazy_pattern(
    r"\b\d{4}[-/]\d{2}[-/]\d{2}(?:[t ]\d{2}:\d{2}(?::\d{2})?(?:[.,]\d{1,9})?(?:z|[+-]\d{2}:?\d{2})?)?"
    r"|\b\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,9})?\b",
    re.IGNORECASE,
)
_DURATION: Final = lazy_pattern(
    r"\b\d+(?:[.,]\d+)?\s?(?:ns|[uµμ]s|ms|msecs?|s|secs?|seconds?|milliseconds?|m|mins?|minutes?|h|hours?)\b",
    re.IGNORECASE,
)
_OBJECT_ID: Final = lazy_pattern(r"\b(id|pid|port|process|thread)([ =:'\"]{1,3})\d+", re.IGNORECASE)


def lasting_words(description: str) -> str:
    """Return a description without what differs between reports of one problem.

    Left out are places and counts (`general_words`), addresses, durations, moments, hexadecimal ids, temporary paths
    and the names of users.
    """
    text = _TEMPORARY.sub("#", without_users(description))
    for pattern in (_MOMENT, _UUID, _ADDRESS, _DURATION, _HEX):
        text = pattern.sub("#", text)
    return general_words(_OBJECT_ID.sub(r"\1\2#", text))


def lasting_name(name: str) -> str:
    """Return a test's name without addresses, ids and temporary paths; numbers stay, which tell cases apart."""
    name = _TEMPORARY.sub("#", without_users(name))
    return _ADDRESS.sub("#", _UUID.sub("#", name))


def lasting_path(path: str) -> str:
    """Return a path without the temporary folder that it is in."""
    return _MADE_ONCE.sub("#", path)
