"""The lesson that the catalogue keeps for a rule, as it may be given to an agent."""

from dataclasses import replace

from lessonbook.classify.catalogue import CatalogueRule
from lessonbook.screening.lint.screen import one_line
from lessonbook.screening.offer import Offer, screened_offer


def offer_of_rule(rule: CatalogueRule) -> Offer | None:
    """Return the lesson that the catalogue keeps for `rule`.

    The words of a catalogue that replaces the packaged one pass the lint as an import does: None where they are no
    rule at all.
    """
    if rule.trust != "curated":
        key = rule.keys[0] if rule.keys else ""
        offer, _ = screened_offer(rule.text, rule.why, rule.severity, rule.category, rule.trust, key)
        return offer and replace(offer, catalogue_id=rule.id)
    return Offer(
        text=one_line(rule.text),
        why=one_line(rule.why),
        severity=rule.severity,
        category=rule.category,
        trust="curated",
        status="probation",
        rule_key=rule.keys[0] if rule.keys else "",
        catalogue_id=rule.id,
    )
