"""Which entries of the catalogue may be about an issue, though not surely enough for its lesson to be made."""

from collections.abc import Iterable
from functools import cache
from typing import Final

from lessonbook.classify.catalogue import Catalogue, CatalogueRule
from lessonbook.dedup.known_groups import AMBIGUOUS, Precedents, words_of_catalogue
from lessonbook.dedup.likeness import sketch

NEAR_MAX: Final = 2


def near_rules(texts: Iterable[str], catalogue: Catalogue) -> list[tuple[CatalogueRule, float]]:
    """Return at most `NEAR_MAX` rules near any of the texts, with a score from 0 to 1, the nearest first.

    A rule is near by the weakness that a text describes, or by the likeness of the rule's words and the text.
    """
    by_id, scores = _rules(catalogue), dict[str, float]()
    for text in texts:
        found = [
            (rule.id, strength) for cwe, strength in sketch(text).weaknesses.items() if (rule := catalogue.find(cwe))
        ]
        found += [(match.group, match.probability) for match in _worded(catalogue).matches(text)]
        for rule_id, score in found:
            scores[rule_id] = max(score, scores.get(rule_id, 0.0))
    ranked = sorted(
        (rule_id for rule_id in scores if scores[rule_id] >= AMBIGUOUS), key=lambda one: (-scores[one], one)
    )
    return [(by_id[rule_id], scores[rule_id]) for rule_id in ranked[:NEAR_MAX]]


@cache
def _rules(catalogue: Catalogue) -> dict[str, CatalogueRule]:
    return {rule.id: rule for rule in catalogue.rules}


@cache
def _worded(catalogue: Catalogue) -> Precedents:
    """Return the rules' lessons, each a group of its own."""
    precedents = Precedents(words_of_catalogue(catalogue))
    for rule in catalogue.rules:
        precedents.put(rule.id, rule.id, rule.text)
    return precedents
