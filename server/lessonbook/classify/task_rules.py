"""The catalogue's rules as `search/hazards` knows them: which kinds of task raise which rule's issue."""

from functools import lru_cache

from lessonbook.classify.catalogue import Catalogue, CatalogueRule
from lessonbook.search.hazards import Hazard, Hazards, ordinary_tasks

_CATALOGUES_MAX = 4
_WEAKNESS = "CWE-"


@lru_cache(maxsize=_CATALOGUES_MAX)
def hazards_of(catalogue: Catalogue) -> Hazards:
    """Return the index over a catalogue's tasks. Made once: it takes a tenth of a second."""
    return Hazards(map(hazard_of, catalogue.rules), ordinary_tasks())


def hazard_of(rule: CatalogueRule) -> Hazard:
    """Return what the catalogue knows of a rule before anything was reported."""
    return Hazard(
        id=rule.id,
        phrases=rule.tasks,
        words=" ".join([rule.text, rule.why, *rule.words, *rule.keys, rule.id]),
        languages=rule.languages,
        common=rule.common,
        weaknesses=[key for key in rule.keys if key.startswith(_WEAKNESS)],
    )
