"""Words that are not a finished sentence: markup, text that breaks off or repeats itself, as small models write."""

import re
from collections import Counter
from typing import Final

from lessonbook.machine.patterns import lazy_pattern

_SPAN: Final = lazy_pattern(r"`[^`]*`|\"[^\"]{1,200}\"|“[^”]{1,200}”")
_MARKUP: Final = lazy_pattern(
    r"</[a-z][a-z0-9]{0,9}\s*>|<(?:br|hr|p|b|i|em|strong|ul|ol|li|h[1-6]|span|div|font|table|tr|td)\b[^<>]{0,100}>"
    r"|<(?:a|img)\s+(?:href|src)\b",
    re.I,
)
_OPEN_END: Final = lazy_pattern(r"(?:[(\[{,;&/\\|]|(?<![=!<>:+-])=|(?<!<)<|\s[+-]|\.\.\.|…)\s*\Z")
_OPEN_WORD: Final = lazy_pattern(
    r"\b(?:the|a|an|and|or|of|than|because|if|whose|your|their|its|every|each|between|into)\s*\Z", re.I
)
_WORD: Final = lazy_pattern(r"[^\W_]+(?:['’-][^\W_]+)*")
_STATING: Final = lazy_pattern(
    r"\W{0,20}(?:the|a|an|this|that|these|those|it|there|here|we|they|he|she|no|some|most|many|what|which)\b", re.I
)
_OBLIGING: Final = lazy_pattern(
    r"\b(?:must|should|shall|never|always|need(?:s|ed)? to|ha(?:s|ve) to|may not|cannot|can['’]t|do not|don['’]t"
    r"|is to be|are to be|ought|avoid|only|instead|use|prefer|ensure|make sure|require[sd]?|belongs?)\b",
    re.I,
)

BREAKS_OFF: Final = "it breaks off"
HEADING_WORDS_MAX: Final = 6
"""Words of a heading; what ends in a colon after more is a sentence, complete without the list that followed it."""
RUN: Final = 3
"""Words in a row that count as one phrase."""
PHRASE_MAX: Final = 2
"""How often a phrase may occur."""
DISTINCT_MIN: Final = 0.45
"""The least share of different words in a text of `REPEATED_MIN` words or more."""
REPEATED_MIN: Final = 12


def wordings(text: str) -> list[str]:
    """Return why `text` is no finished sentence, as parts of a sentence. Quotations and code spans do not count."""
    prose = _SPAN.sub("`", text)
    found: list[str] = []
    if _MARKUP.search(prose):
        found.append("it holds markup")
    if _OPEN_END.search(prose) or _OPEN_WORD.search(prose) or _is_heading(prose):
        found.append(BREAKS_OFF)
    if _repeats(prose):
        found.append("it repeats itself")
    return found


def states_only(text: str) -> bool:
    """Return whether `text` begins as a statement of how things are, and says nowhere what to do."""
    return _STATING.match(text) is not None and _OBLIGING.search(text) is None


def _is_heading(text: str) -> bool:
    return text.rstrip().endswith(":") and len(text.split()) <= HEADING_WORDS_MAX


def _repeats(text: str) -> bool:
    words = [word.lower() for word in _WORD.findall(text)]
    phrases = Counter(tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1))
    if any(count > PHRASE_MAX for count in phrases.values()):
        return True
    return len(words) >= REPEATED_MIN and len(set(words)) < DISTINCT_MIN * len(words)
