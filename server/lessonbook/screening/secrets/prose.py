"""Passwords that a sentence gives away: `password for user x is '…'`, `use … as the password`, `from … to …`."""

import re
from collections.abc import Iterator
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.secrets.value_shape import is_mixed, is_spoken, is_stand_in, is_template, is_worded

Span = tuple[int, int, str]

_NOUN = r"(?i:\b(?:password|passwort|passwd|passphrase|passcode|pwd))"
_WORD = r"""(?:["'`](?P<quoted>[^\s"'`]{4,100})["'`]|(?P<bare>[^\s"'`<>(){}\[\],;]{6,80}))"""
_OLD = r"""(?:["'`](?P<old>[^\s"'`]{4,100})["'`]|(?P<old_bare>[^\s"'`<>(){}\[\],;]{6,80}))"""

_SENTENCES: Final = (
    # `password for user x is '…'`, `password of root: …`, `password (for staging): …`
    lazy_pattern(
        rf"{_NOUN}[ \t](?:for|of|on)[ \t][^\n\"'`=:]{{1,60}}?"
        rf"(?:[ \t](?:is|was)[ \t:]{{1,3}}|[ \t]?[:=][ \t]{{1,4}}){_WORD}"
    ),
    lazy_pattern(rf"{_NOUN}[ \t]\([^()\n]{{1,40}}\)[ \t]?[:=][ \t]{{0,4}}{_WORD}"),
    lazy_pattern(
        rf"{_NOUN}[ \t](?:is|was|has been)[ \t](?:set|changed|reset|generated|created)[ \t]"
        rf"(?:for[ \t]\S{{1,80}}?|to)[: \t]{{1,4}}{_WORD}"
    ),
    lazy_pattern(
        rf"(?i:\b(?:use|uses|used|using|with|has|have|had))[ \t]{_WORD}[ \t](?i:as)[ \t]"
        rf"(?:\w{{1,12}}[ \t]){{0,3}}{_NOUN}(?![ \t-](?:hash|field|hint|policy))"
    ),
    lazy_pattern(rf"{_NOUN}(?:[ \t]\(|,[ \t]){_WORD}(?=\)|,[ \t](?:is|was|which|that|and)\b)"),
    lazy_pattern(
        r"(?i:\bsecret key|\bsigning key|\bsession secret|\bclient secret)[ \t](?:is|was)[ \t:]{1,3}"
        r"[\"'`](?P<quoted>[^\s\"'`]{6,100})[\"'`](?P<bare>)?"
    ),
    lazy_pattern(rf"{_NOUN}[ \t]from[ \t]{_OLD}[ \t]to[ \t]{_WORD}"),
    lazy_pattern(rf"(?i:hard[ -]?coded|default|leaked|plain[ -]?text)[ \t](?:\w{{1,12}}[ \t])?{_NOUN}:?[ \t]{_WORD}"),
)
_ENDS = ".:?!)"


def said(text: str, small: str) -> Iterator[Span]:
    """Yield start, end and kind of the passwords that sentences of `text` (`small` in small letters) say."""
    if "pass" not in small and "pwd" not in small and "secret" not in small and "signing key" not in small:
        return
    for sentence in _SENTENCES:
        for match in sentence.finditer(text):
            for quoted, bare in (("quoted", "bare"), ("old", "old_bare")):
                yield from _word_of(match, quoted, bare)


def _word_of(match: re.Match[str], quoted: str, bare: str) -> Iterator[Span]:
    groups = match.re.groupindex
    if quoted not in groups:
        return
    group = quoted if match[quoted] else bare
    word = (match[group] or "").rstrip(_ENDS)
    chosen = is_mixed(word) or (group == quoted and is_worded(word))
    if chosen and not (is_stand_in(word) or is_template(word) or is_spoken(word)):
        yield match.start(group), match.start(group) + len(word), "password"
