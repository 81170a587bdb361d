"""Which lessons the assistant names in a session's transcript as followed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from lessonbook.hooks.json_parts import list_of, object_of, read_object, text_of

READ_BYTES_MAX = 1024 * 1024
"""Read of a transcript: its end."""
CITED_MAX = 100
_LESSON_ID = re.compile(r"\bL[a-z2-7]{10}\b")
_LESSON_ID_BYTES = re.compile(rb"\bL[a-z2-7]{10}\b")
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")
_DENIED = re.compile(
    r"\bn[o']t\b|n't\b|\bnever\b|\bno\b|\bnone\b|\bignor|\bskip|\birrelevant|\bunrelated|\bmislead|\bwrong|\bflag|\binapplicable",
    re.IGNORECASE,
)
"""A sentence with such a word may say that a lesson was not followed."""


def cited_lessons(transcript: str, last_message: str) -> list[str]:
    """Return the ids of lessons that the assistant's own words name, in order, without those it may deny to have used.

    Only what the assistant wrote counts: tool calls, tool results and what hooks added hold ids as well. `transcript`
    is a path; one that cannot be read counts as empty.
    """
    found: dict[str, None] = {}
    for text in (*_assistant_texts(transcript), last_message):
        for sentence in _SENTENCE_END.split(text):
            ids = _LESSON_ID.findall(sentence)
            if ids and not _DENIED.search(sentence):
                found.update(dict.fromkeys(ids))
    return list(found)[:CITED_MAX]


def _assistant_texts(path: str) -> Iterator[str]:
    """Yield what the assistant wrote: entries of Claude Code (`type: assistant`) and of Codex (`role: assistant`)."""
    for line in _last_lines(path):
        if b"assistant" not in line or not _LESSON_ID_BYTES.search(line):
            continue  # most lines are results of tools: reading them as JSON would take long
        entry = read_object(line)
        message = object_of(entry.get("message" if entry.get("type") == "assistant" else "payload"))
        if message.get("role") == "assistant":
            for part in map(object_of, list_of(message.get("content"))):
                if part.get("type") in {"text", "output_text"}:
                    yield text_of(part.get("text"))


def _last_lines(path: str) -> list[bytes]:
    """Return the last whole lines of a regular file, at most `READ_BYTES_MAX` bytes of them."""
    if not os.path.isabs(path):
        return []
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as handle:
            found = os.fstat(handle.fileno())
            if not stat.S_ISREG(found.st_mode):
                return []
            skipped = max(found.st_size - READ_BYTES_MAX, 0)
            handle.seek(skipped)
            lines = handle.read(READ_BYTES_MAX).splitlines()
    except OSError:
        return []
    return lines[1:] if skipped else lines
