"""Which of a scanner's own words about a rule are advice.

Scanners describe a rule in up to three texts: a title ("Use of `assert` detected"), a description of what is checked,
and a help page in Markdown. Only a sentence that says what to do is advice. This module finds it; it writes no words of
its own.
"""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from lessonbook.domain.vocabulary import words
from lessonbook.machine.patterns import lazy_pattern

MAX_CHARS: Final = 500
"""Longest advice or reason kept of a rule."""

_MAX_SOURCE_CHARS: Final = 20_000
_MIN_WORDS: Final = 3
_MAX_WORDS: Final = 60
"""Words of a sentence of advice: fewer say nothing, more tell a story."""
_HEADING = lazy_pattern(r"#{1,6}\s+(.*)|\*\*([^*]{1,80})\*\*:?\s*\Z")
_LINK = lazy_pattern(r"\[([^\[\]]+)\]\([^()\s]*\)|(?<![\w`])\[([^\[\]]+)\](?=[\s.,;:]|$)")
_TAG = lazy_pattern(r"</?[a-zA-Z][a-zA-Z0-9]{0,15}(?:\s[^<>]{0,200})?/?>")
_PLACEHOLDER = lazy_pattern(r"\{[\w.:#!]*\}|\{\{|%[sd]\b|<[\w -]{1,40}>")
_SENTENCE_END = lazy_pattern(r"(?<=[.!?])\s+(?=[A-Z`\"'])")
_ITEM = lazy_pattern(r"(?:[-*\u2022]|\d{1,2}[.)])\s+")
_LEAD_IN = lazy_pattern(
    r"(?:(?:you can|to) (?:resolve|fix|address|remediate|solve|prevent|mitigate|avoid) (?:this|it"
    r"|the (?:issue|problem|finding|vulnerability))(?: by)?|the impact (?:is|of)|(?:recommendation"
    r"|remediation|recommended(?: fix| action)?|fix|how to fix(?: it)?|solution|mitigation|resolution"
    r"|resolve|suggestion|action|guidance|instead(?! of)|please|note|therefore|thus|otherwise|so"
    r"|always remember to|it is (?:strongly |highly )?recommended (?:to|that you)"
    r"|we (?:strongly )?recommend (?:to|that you)|you (?:should|must|need to|have to"
    r"|may want to))(?=\W))(?:\s*(?:\.{3}|\u2026|[:,\u2013-]))?\s+",
    re.IGNORECASE,
)
"""Words before advice that are no part of it."""
_POINTS_ELSEWHERE = lazy_pattern(
    r"https?://|www\.|\b(?:see|refer to|read|visit|click|consult) (?:also |the |our |this |here|more"
    r"|https?)|\bmore (?:information|details|info)\b|\b(?:CVE|GHSA|OSV|RUSTSEC|SNYK|PYSEC)-"
    r"|\b(?:documentation|changelog|release notes)\b[^.]{0,20}\Z|\?\s*\Z",
    re.IGNORECASE,
)
_ABOUT_THE_TOOL = lazy_pattern(
    r"(?:this|the|each|every|any|a|an) (?:rule|check|checker|query|audit|lint|linter|plugin|test|detector"
    r"|inspection|policy|analy[sz]er|pattern|diagnostic)\b|(?:rule|checks?|query|lint|detector|option"
    r"|example|default|note|configuration|deprecated|since|warning|error)\b(?!s\b)|(?:emitted|reported"
    r"|raised|triggered|identified|detected|found|used|looks|verif(?:y|ies) (?:that )?no|aims|enforces?"
    r"|disallows?|forbids?|bans?|finds?|flags?|reports?|detects?|warns?|searches|identifies|highlights"
    r"|validates|ensures|requires?|discourages|encourages|suggests|reported) ?\b",
    re.IGNORECASE,
)
"""Beginnings of a sentence that says what the tool does. "Require" and "Disallow" are how linters title their rules."""
_OBLIGED = lazy_pattern(
    r"\b(?:should|must|ought to|(?:has|have|needs?) to (?:be )?|(?:is|are) (?:strongly "
    r"|highly )?(?:recommended|preferred|required to)|had better|may not|(?:is|are) better (?:to"
    r"|off))\b(?! have\b)",
    re.IGNORECASE,
)
_CONDITION = lazy_pattern(
    r"(?:instead of|rather than|when|whenever|if|for|in|to|where|unless|before|after|by default)\b[^,]{0,120},\s+",
    re.IGNORECASE,
)
_IN_QUOTES = lazy_pattern(r"(?<!\w)'[^'\s][^']{0,80}'(?!\w)|\"[^\"]{1,80}\"|\u201c[^\u201d]{1,80}\u201d")
_FIRST = lazy_pattern(
    r"(?:always |never |do not |don't |don\u2019t |only |also |simply |be sure to |make sure (?:to|that) "
    r"|try to |first,? )*",
    re.IGNORECASE,
)
_WORD = lazy_pattern(r"[A-Za-z][A-Za-z'-]*")
_VERBS: Final = words(
    "abort accept access acquire add adjust adopt align allocate allow allowlist annotate append apply ask assert"
    " assign attach audit authenticate authorise authorize avoid await back base begin bind block bound break"
    " bring build bump cache call cap capture cast catch centralise centralize change check choose clean clear"
    " close collapse combine commit compare compute condense configure confirm connect consider constrain"
    " construct consume contain convert copy create cut decide declare decode decouple decrease dedupe default"
    " defer define delegate delete deny deploy derive describe design destroy determine disable discard dispose"
    " document drop eliminate embed enable encapsulate encode encourage encrypt end ensure enumerate escape"
    " evaluate examine exclude execute exit expire explain explicitly export expose extend extract fail favor"
    " favour fetch filter finish fix follow force format free generate give grant group guarantee guard handle"
    " harden hash have hide hold implement import include increase indent inherit init initialise initialize"
    " inject inline insert inspect install instantiate instrument introduce invert invoke isolate iterate join"
    " keep label launch leave let limit link list load lock log lower make manage map mark mask match merge"
    " migrate minimise minimize modify mount move name narrow negate nest neutralize normalise normalize note"
    " obtain omit open order organise organize override pad parameterise parameterize parse pass perform pick pin"
    " place point prefer prefix prepare preserve prevent process produce prohibit protect provide pull push put"
    " quote raise read rebuild reduce refactor refer register reject release rely remove rename reorder repeat"
    " replace request require reserve reset resolve restrict restructure rethrow return reuse review revoke"
    " rewrite rotate round run sanitise sanitize save scan schedule scope secure segment select send separate"
    " serialise serialize set shorten shut sign simplify skip sort specialize specify split start state stop store"
    " strip substitute supply surround swap switch tag take terminate test throttle throw tie track treat trim"
    " trust try turn type unify unlock unset update upgrade use validate verify wait watch whitelist wrap write"
    " yield"
)
"""Verbs with which advice to a programmer begins."""
_NOT_VERBS_BEFORE: Final = words("of by in on for is are was were can may has have with without and or to")
"""Words after which the word before them was a noun: "Use of", "Call to"."""
_NOUN_PHRASE = lazy_pattern(
    r"\A(?!(?:ensure|verify|confirm|validate|make|consider|check)\b)[\w-]+ (?:(?!(?:the|a|an|what|how|whether|that"
    r"|which|if|when|where|to|it|this|these|all|any|each|every|your|its|only|not)\b)[\w-]+ ){0,5}(?:is|are|was|were"
    r"|has|have|can|may|might|could|will|does|but|found|used|detected|missing|made)\b",
    re.IGNORECASE,
)
"""A subject with its verb: "Return value of the call is ignored"."""
_ADVICE_HEADINGS: Final = frozenset(
    [
        *("recommendation", "recommendations", "remediation", "how to fix", "how to fix it", "solution", "mitigation"),
        *("fix", "recommended secure coding practices", "use instead", "what to do", "suggested fix"),
    ]
)
_REASON_HEADINGS: Final = frozenset(
    {"why is this bad?", "why is this bad", "rationale", "risk", "impact", "overview", "why is this an issue?"}
)
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
    """Return the advice in a rule's help, short and full description, and the reason for it.

    Preferred is what stands under a heading such as "Recommendation". Titles, descriptions of what the tool reports,
    references and templates with unfilled places (`{name}`) are no advice.
    """
    paragraphs = [paragraph for source in (help_text, short, full) for paragraph in _paragraphs(source)]
    first = [paragraph for paragraph in paragraphs if paragraph.heading in _ADVICE_HEADINGS]
    rest = [paragraph for paragraph in paragraphs if paragraph.heading not in _ADVICE_HEADINGS]
    text = next((found for paragraph in (*first, *rest) if (found := advice_in(paragraph.text))), "")
    return Words(text, _reason(rest, text)) if text else Words()


def advice_in(paragraph: str) -> str:
    """Return the first sentence of a paragraph that is advice, with further ones that follow it; empty without one."""
    chosen: list[str] = []
    for sentence in _SENTENCE_END.split(paragraph):
        plain = _without_lead_in(sentence.strip())
        if is_advice(plain):
            chosen.append(plain)
        elif chosen:
            break
    text = " ".join(chosen)
    while len(text) > MAX_CHARS and len(chosen) > 1:
        chosen.pop()
        text = " ".join(chosen)
    return text if len(text) <= MAX_CHARS else ""


def is_advice(sentence: str) -> bool:
    """Return whether a sentence says what to do: in the imperative, or with an obligation.

    What the tool does ("Reports …", "Disallow …"), names of problems, references and questions are no advice.
    """
    count = len(sentence.split())
    if not _MIN_WORDS <= count <= _MAX_WORDS or _POINTS_ELSEWHERE.search(sentence) or _PLACEHOLDER.search(sentence):
        return False
    if _ABOUT_THE_TOOL.match(sentence):
        return False
    return _is_imperative(sentence) or _OBLIGED.search(sentence) is not None


def names_instance(text: str) -> bool:
    """Return whether a text quotes a name, as messages about one place do."""
    return _IN_QUOTES.search(text) is not None


def _is_imperative(sentence: str) -> bool:
    if (condition := _CONDITION.match(sentence)) is not None:
        sentence = sentence[condition.end() :]
    start = _FIRST.match(sentence)
    rest = sentence[start.end() :] if start else sentence
    opening = start[0].strip().lower() if start else ""
    if opening.startswith(("make sure", "be sure")):
        return True
    is_forbidding = bool(opening)
    found = [word.lower() for word in _WORD.findall(rest[:60])[:2]]
    if not found:
        return False
    is_noun = len(found) > 1 and found[1] in _NOT_VERBS_BEFORE
    is_noun = is_noun or _NOUN_PHRASE.match(rest) is not None
    return (found[0] in _VERBS and not is_noun) or (is_forbidding and not is_noun and len(found) > 1)


def _without_lead_in(sentence: str) -> str:
    plain = _ITEM.sub("", sentence, count=1) if _ITEM.match(sentence) else sentence
    while (found := _LEAD_IN.match(plain)) is not None:
        plain = plain[found.end() :]
    return plain[:1].upper() + plain[1:]


def _reason(paragraphs: Iterable[_Paragraph], text: str) -> str:
    """Return the first paragraph that explains the rule without the advice itself; empty where there is none."""
    plain = [one for one in paragraphs if not _PLACEHOLDER.search(one.text) and text not in one.text]
    ranked = sorted(plain, key=lambda one: one.heading not in _REASON_HEADINGS)
    return next((one.text for one in ranked if len(one.text) <= MAX_CHARS and len(one.text.split()) > _MIN_WORDS), "")


def _paragraphs(source: str) -> Iterator[_Paragraph]:
    """Yield the prose of a Markdown, HTML or plain text, without code, tables, examples and references."""
    heading, lines, fenced, is_first = "", list[str](), False, True
    for line in [*html.unescape(source[:_MAX_SOURCE_CHARS]).splitlines(), ""]:
        stripped = _TAG.sub("", line).strip()
        is_fence = stripped.startswith("```")
        title = _HEADING.match(stripped) if not fenced else None
        if lines and (not stripped or is_fence or title or _ITEM.match(stripped) or _LEAD_IN.match(stripped)):
            if heading in _PROSE_HEADINGS:
                yield _Paragraph(heading, _LINK.sub(_label, " ".join(lines)))
                is_first = False
            lines = []
        if stripped and not is_fence and not title and not fenced and not stripped.startswith("|"):
            lines.append(stripped)
        fenced ^= is_fence
        if title:
            heading = _heading(title[1] or title[2], first=is_first)


def _heading(title: str, *, first: bool) -> str:
    """Return a heading in lower case; the title of a page counts as none, so that its opening is read."""
    name = title.strip().rstrip(":").casefold()
    return name if name in _PROSE_HEADINGS or not first else ""


def _label(link: re.Match[str]) -> str:
    return link[1] or link[2]
