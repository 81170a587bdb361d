"""The lesson for a rule that no table names: rules of other tools that are called nearly the same."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from lessonbook.classify.rule_keys import tool_of
from lessonbook.classify.tool_rules import NO_LESSON, all_tool_rules
from lessonbook.search.tokenizer import words_of

SURE: Final = 0.62
"""The cosine from which a rule is taken for the same as another tool's."""
MARGIN: Final = 0.10
"""How much nearer the rules of one lesson have to be than those of any other."""
_TITLE_MAX: Final = 200

Weights = dict[str, float]


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule that is known: its tool, the words of its id and of what it finds, and the id of its lesson."""

    tool: str
    entry: str
    words: frozenset[str]


class RuleNames:
    """The known rules, found by the words of their names."""

    def __init__(self, rules: Iterable[NamedRule]) -> None:
        self._rules = tuple(rules)
        frequency = Counter(word for rule in self._rules for word in rule.words)
        self._idf = {word: math.log((1 + len(self._rules)) / (1 + count)) for word, count in frequency.items()}
        self._unknown = math.log(1 + len(self._rules))
        self._with_word: dict[str, list[int]] = defaultdict(list)
        self._lengths = [self._length(rule.words) for rule in self._rules]
        for number, rule in enumerate(self._rules):
            for word in rule.words:
                self._with_word[word].append(number)

    def nearest(self, words: frozenset[str], without_tool: str = "") -> list[tuple[float, str]]:
        """Return the entries whose rules are called most like `words`, with the cosine of the nearest, best first."""
        products: dict[int, float] = defaultdict(float)
        for word in words:
            weight = self._idf.get(word, 0.0) ** 2
            for number in self._with_word.get(word, ()):
                products[number] += weight
        length = self._length(words)
        best: dict[str, float] = {}
        for number, product in products.items():
            rule = self._rules[number]
            if without_tool and rule.tool == without_tool:
                continue
            cosine = product / (length * self._lengths[number])
            if cosine > best.get(rule.entry, 0.0):
                best[rule.entry] = cosine
        return sorted(((cosine, entry) for entry, cosine in best.items()), reverse=True)

    def _length(self, words: frozenset[str]) -> float:
        return math.sqrt(sum(self._idf.get(word, self._unknown) ** 2 for word in words)) or 1.0


def name_words(rule_id: str, title: str) -> frozenset[str]:
    """Return the words of a rule's id, without the tool, and of its title."""
    return frozenset(words_of(f"{rule_id} {title[:_TITLE_MAX]}"))


def likely_entry(key: str, title: str) -> str:
    """Return the id of the catalogue's entry for a rule that is called as rules of other tools are; else nothing."""
    tool = tool_of(key)
    rule_id = key.removeprefix(f"{tool}:")
    near = packaged_names().nearest(name_words(rule_id, title))
    if not near or near[0][0] < SURE or near[0][1] == NO_LESSON:
        return ""
    return near[0][1] if len(near) == 1 or near[0][0] - near[1][0] >= MARGIN else ""


@cache
def packaged_names() -> RuleNames:
    """Return the rules of the packaged tables."""
    return RuleNames(NamedRule(rule.tool, rule.entry, name_words(rule.id, rule.finds)) for rule in all_tool_rules())
