"""The lessons that the catalogue keeps for its rules: what they offer an agent, and whose words a text has."""

from dataclasses import replace
from functools import cache, lru_cache
from typing import Final

from lessonbook.classify.catalogue import Catalogue, CatalogueRule
from lessonbook.domain.lesson import LessonWords
from lessonbook.domain.lesson_names import content_hash
from lessonbook.domain.where_it_holds import Holds
from lessonbook.screening.lint.rules import one_line
from lessonbook.screening.offer import Offer, screened_offer

_KEPT: Final = 2_000
"""Rules of which the offer is kept."""


@lru_cache(_KEPT)
def offer_of_rule(rule: CatalogueRule) -> Offer | None:
    """Return the lesson that the catalogue keeps for `rule`.

    The words of a catalogue that replaces the packaged one pass the lint as an import does: None where they are no
    rule at all.
    """
    key = rule.keys[0] if rule.keys else ""
    if rule.trust != "curated":
        words = LessonWords(rule.text, rule.why, rule.severity, rule.category)
        offer, _ = screened_offer(words, rule.trust, key)
        return offer and replace(offer, catalogue_id=rule.id, holds=Holds(rule.languages))
    return Offer(
        text=one_line(rule.text),
        why=one_line(rule.why),
        severity=rule.severity,
        category=rule.category,
        trust="curated",
        status="probation",
        rule_key=key,
        catalogue_id=rule.id,
        holds=Holds(rule.languages),
    )


def rule_worded(text: str, catalogue: Catalogue) -> CatalogueRule | None:
    """Return the rule of the catalogue whose lesson has these words, or None."""
    return _by_words(catalogue).get(content_hash(text))


@cache
def _by_words(catalogue: Catalogue) -> dict[str, CatalogueRule]:
    """Return the rules by the hashes of their lessons' texts."""
    return {content_hash(rule.text): rule for rule in catalogue.rules}
