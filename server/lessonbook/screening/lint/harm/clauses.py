"""A lesson's clauses: which tell what to do, which tell why or when, and whether they are for it or against it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.lint.harm.words import HarmWords, WordSpan, pieces_of, stem_of, stems_of

Role = Literal["order", "reason", "condition"]

_SENTENCE_END: Final = lazy_pattern(
    r"(?<=[.;!?]) |(?<=[.!?][)\"']) |(?<=[\w)`'\"%][.!?])(?=[A-Z][a-z]+ \S)|: (?=[a-z])| [-–—] "
)
"""Also where the blank before the next sentence is missing."""
_FOR_EASE: Final = r"for (?:convenience|easier|speed|simplicity|smoother|faster|quicker|better|richer)"
_TO_EASE: Final = r"to (?:avoid|keep|save|make|help|speed|spare|gain|support|simplify|reduce|prevent|allow|ease)"
_PAUSE: Final = lazy_pattern(
    rf", | (?=(?:{_FOR_EASE}|{_TO_EASE}|because|since|so that|so as to|in order to|which|while|when|whenever|if|where"
    r"|until|unless|once|rather than|instead of|but|as (?:it|they|our|its|their|users?|only|we|most|all|those|these"
    r"|older|newer|no|his|every|engineers|encryption|services|nobody))\b)",
    re.I,
)
_REASON: Final = lazy_pattern(
    rf"(?:because|since|so that|so as to|in order to|so|as(?! (?:soon|well|long|a|an|they are|it is)\b)|for the sake"
    rf"|which|{_TO_EASE}|{_FOR_EASE})\b",
    re.I,
)
_CONDITION: Final = lazy_pattern(
    r"(?:while|when|whenever|if|where|until|unless|once|in case|on|after|before|for|in)\b", re.I
)
_ALTERNATIVE: Final = lazy_pattern(r"(?:rather than|instead of)\b", re.I)
_SPAN: Final = lazy_pattern(r"`[^`]*`")
_FRESH: Final = lazy_pattern(r"(?:but|then|and then|and) ", re.I)
_CONCLUSION: Final = lazy_pattern(
    r"so (?=(?:just |simply )?(?:take|skip|use|let|trust|leave|turn|accept|allow|drop|merge)\b)", re.I
)
"""What begins an order that follows from the clause before: "…, so take the user id from the header"."""
_BARE_ORDER_STEMS: Final = 4
_JOINED: Final = lazy_pattern(r"(,? (?:and then|and|but|then|or)|,) (?:also |just |simply |always |please )*", re.I)
"""What may join two orders."""
_UNREFUSED: Final = "but"
"""What ends a refusal: "never log it, but …"."""
_VERBS: Final = ("weaken", "adopt", "protect", "refuse", "disclose", "commit", "grant", "destroy")
_JOINED_VERBS: Final = (*_VERBS, "acquire", "hold_version", "quieten", "proceed", "evade", "tell")
_VERB_STEMS: Final = 3
_VERB_LENGTH: Final = 60
"""Characters behind a joint in which its verb stands."""


@dataclass(frozen=True, slots=True)
class LessonClause:
    """A clause: what it is for, its words and their stems, where it has words of which class, whether it is negated."""

    role: Role
    text: str
    stems: tuple[str, ...]
    words: tuple[str, ...]
    mentions: Mapping[str, list[WordSpan]]
    is_negated: bool

    def has(self, name: str) -> bool:
        """Return whether the clause has a word of a class."""
        return bool(self.mentions.get(name))

    def of(self, name: str) -> list[WordSpan]:
        """Return where the clause has words of a class."""
        return self.mentions.get(name, [])

    def follows_comma(self, at: int) -> bool:
        """Return whether the word at `at` stands behind a comma."""
        return at > 0 and f", {self.words[at]}" in self.text.lower()

    def is_code(self, at: int) -> bool:
        """Return whether the word at `at` stands in a code span and nowhere else in the clause."""
        return "`" in self.text and self.words[at] not in _SPAN.sub(" ", self.text).lower()

    def is_against(self, at: int) -> bool:
        """Return whether what stands at stem `at` is refused: an odd number of refusals stand before it."""
        last_end, count = 0, int(self.is_negated)
        for one in self.of("refuse"):
            if one.end <= at and one.start >= last_end and self.stems[one.start] != "nor":
                last_end, count = one.end, count + 1
        return count % 2 == 1


def clauses_of(text: str, words: HarmWords) -> list[LessonClause]:
    """Return the clauses of `text`. What follows a comma and does not begin with a verb belongs to what is before."""
    return [clause for _, clauses in sentences_of(text, words) for clause in clauses]


def sentences_of(text: str, words: HarmWords) -> list[tuple[str, list[LessonClause]]]:
    """Return the sentences of `text`, each with its clauses; what follows a semicolon or a dash is a sentence too."""
    text = _SPAN.sub(lambda span: span.group().replace(": ", "=").replace(", ", " ").replace("; ", " "), text)
    found: list[tuple[str, list[LessonClause]]] = []
    for sentence in _SENTENCE_END.split(text):
        parts = [part.strip() for part in _PAUSE.split(sentence) if part and part.strip()]
        if parts:
            found.append((sentence, _clauses(parts, words)))
    return found


def _clauses(parts: list[str], words: HarmWords) -> list[LessonClause]:
    joined: list[tuple[Role, str]] = []
    for spoken in parts:
        part = spoken
        role: Role = "reason" if _REASON.match(part) else "condition" if _CONDITION.match(part) else "order"
        if role == "reason" and _CONCLUSION.match(part) and _begins_with_verb(_CONCLUSION.sub("", part), words):
            role, part = "order", _CONCLUSION.sub("", part)
        begins = role != "order" or _ALTERNATIVE.match(part) or _begins_with_verb(part, words)
        if joined and not begins and joined[-1][0] == "order" and not _FRESH.match(part):
            joined[-1] = (joined[-1][0], f"{joined[-1][1]}, {part}")
        else:
            joined.append((role, part))
    found: list[LessonClause] = []
    for role, part in joined:
        pieces = pieces_of(_ALTERNATIVE.sub("", part, count=1))
        before = found[-1] if found else None
        carries = before is not None and before.role == "order" and len(before.stems) <= _BARE_ORDER_STEMS
        negated = bool(_ALTERNATIVE.match(part)) or (carries and before is not None and before.has("refuse"))
        stems = tuple(map(stem_of, pieces))
        spelt = tuple(piece.lower() for piece in pieces)
        found.append(LessonClause(role, part, stems, spelt, words.mentions(stems), negated))
    return found


def _begins_with_verb(part: str, words: HarmWords, verbs: Sequence[str] = _VERBS) -> bool:
    first = " ".join(_FRESH.sub("", part, count=1).split(" ", _VERB_STEMS)[:_VERB_STEMS])
    mentions = words.mentions(stems_of(first)[:_VERB_STEMS])
    return any(one.start == 0 for name in verbs for one in mentions.get(name, ()))


def joined_orders(sentence: str, words: HarmWords) -> list[str]:
    """Return the orders that a sentence joins by a conjunction or a comma; none where it does not join any.

    A refusal holds for all that is joined to it, so what follows it is no order of its own.
    """
    found: list[str] = []
    start = 0
    for joint in _JOINED.finditer(sentence):
        behind = sentence[joint.end() : joint.end() + _VERB_LENGTH]
        if joint.start() <= start or not _begins_with_verb(behind, words, _JOINED_VERBS):
            continue
        order = sentence[start : joint.start()]
        if words.mentions(stems_of(order)).get("refuse") and _UNREFUSED not in joint[0]:
            break
        found.append(order)
        start = joint.end()
    return [*found, sentence[start:]] if found else []
