"""Which of a scanner's own words about a rule read like advice.

Scanners describe a rule in up to three texts: a title ("Use of `assert` detected"), a description of what is checked,
and a help page in Markdown. This module finds the sentence in them that says what to do; it writes no words of its own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_CHARS: Final = 2_000
"""Longest text or reason kept of a rule."""

_MAX_SOURCE_CHARS: Final = 20_000
_MIN_WORDS: Final = 10
"""The fewest words of advice, cut from the end of a paragraph, that are understood without the words before it."""
_HEADING = re.compile(r"#{1,6}\s+(.*)")
_LINK = re.compile(r"\[([^\[\]]+)\]\([^()\s]*\)|(?<![\w`])\[([^\[\]]+)\](?=[\s.,;:]|$)")
_PLACEHOLDER = re.compile(r"\{[\w.:#!]*\}|\{\{")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")
_CONNECTIVE = re.compile(r"(?:instead|please),\s+", re.IGNORECASE)
_CONNECTIVE_LEFT = re.compile(r"\b(?:instead|please),\Z", re.IGNORECASE)
_IMPERATIVE = re.compile(
    r"(?:always|never|avoid|do not|don't|use(?! of\b| after\b)|prefer|favou?r|ensure|make sure|consider|replace"
    r"|validate|saniti[sz]e|escape|verify|specify|store|bind|catch|pass|keep|enable|disable|restrict|require|remove|move|add"
    r"|raise|instead of)\b",
    re.IGNORECASE,
)
_ADVICE_HEADINGS: Final = frozenset(
    {"recommendation", "recommendations", "remediation", "how to fix", "how to fix it", "solution", "mitigation", "fix"}
)
_REASON_HEADINGS: Final = frozenset({"why is this bad?", "why is this bad", "rationale", "risk", "impact", "overview"})
_PROSE_HEADINGS: Final = _ADVICE_HEADINGS | _REASON_HEADINGS | {"", "what it does", "description", "summary", "details"}


@dataclass(frozen=True, slots=True)
class Words:
    """A rule's advice and the reason for it, each at most `MAX_CHARS` long; empty where the scanner gives none."""

    text: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Paragraph:
    heading: str
    text: str


def choose_words(*, help_text: str, short: str, full: str) -> Words:
    """Return the text among a rule's help, short and full description that reads most like a rule, and its reason.

    Preferred, in this order: what stands under a heading such as "Recommendation"; sentences in the imperative; the
    first paragraph of any text. Templates with unfilled places (`{name}`) and code are left out.
    """
    texts = [_paragraphs(source) for source in (help_text, short, full)]
    everything = [paragraph for paragraphs in texts for paragraph in paragraphs]
    usable = [paragraph for paragraph in everything if not _PLACEHOLDER.search(paragraph.text)]
    text = next(_candidates(usable), "")
    return Words(text[:MAX_CHARS].rstrip(), _reason(texts[2] or texts[0], text)[:MAX_CHARS].rstrip())


def _candidates(usable: list[_Paragraph]) -> Iterator[str]:
    yield from (paragraph.text for paragraph in usable if paragraph.heading in _ADVICE_HEADINGS)
    yield from (advice for paragraph in usable if (advice := _advice_in(paragraph.text)))
    yield from (paragraph.text for paragraph in usable)


def _advice_in(paragraph: str) -> str:
    """Return the paragraph from its first imperative sentence on, whole where little would be left, or nothing."""
    if _IMPERATIVE.match(paragraph):
        return paragraph
    sentences = _SENTENCE_END.split(paragraph)
    for position, sentence in enumerate(sentences):
        plain = _CONNECTIVE.sub("", sentence, count=1) if _CONNECTIVE.match(sentence) else sentence
        if _IMPERATIVE.match(plain):
            advice = " ".join([plain[0].upper() + plain[1:], *sentences[position + 1 :]])
            return paragraph if position and len(advice.split()) < _MIN_WORDS else advice
    return ""


def _reason(paragraphs: list[_Paragraph], text: str) -> str:
    plain = [paragraph for paragraph in paragraphs if not _PLACEHOLDER.search(paragraph.text)]
    reasons = (paragraph.text for paragraph in plain if paragraph.heading in _REASON_HEADINGS)
    why = next(reasons, "") or " ".join(paragraph.text for paragraph in plain)
    if not why.casefold().endswith(text.casefold()):
        return why
    return _CONNECTIVE_LEFT.sub("", why[: -len(text)].rstrip()).rstrip()


def _paragraphs(source: str) -> list[_Paragraph]:
    """Return the prose of a Markdown or plain text, without code, tables, examples and references."""
    found: list[_Paragraph] = []
    heading, lines, fenced = "", list[str](), False
    for line in [*source[:_MAX_SOURCE_CHARS].splitlines(), ""]:
        stripped = line.strip()
        is_fence = stripped.startswith("```")
        title = _HEADING.match(stripped) if not fenced else None
        if stripped and not is_fence and not title and not fenced:
            lines.append(stripped)
            continue
        if lines and heading in _PROSE_HEADINGS:
            found.append(_Paragraph(heading, _LINK.sub(_label, " ".join(lines))))
        lines = []
        fenced ^= is_fence
        if title:
            heading = _heading(title[1], first=not found)
    return found


def _heading(title: str, *, first: bool) -> str:
    """Return a heading in lower case; the title of a page counts as none, so that its opening is read."""
    name = title.strip().rstrip(":").casefold()
    return name if name in _PROSE_HEADINGS or not first else ""


def _label(link: re.Match[str]) -> str:
    return link[1] or link[2]
