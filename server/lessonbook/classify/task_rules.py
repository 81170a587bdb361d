"""The catalogue's rules as `search/hazards` knows them: which kinds of task raise which rule's issue."""

from functools import lru_cache
from itertools import chain
from pathlib import Path

from lessonbook.classify.catalogue import Catalogue, CatalogueRule
from lessonbook.machine.prepared import prepared
from lessonbook.search import hazards, tokenizer
from lessonbook.search.hazards import Hazard, Hazards, ordinary_tasks, packed_index

_CATALOGUES_MAX = 4
_WEAKNESS = "CWE-"


@lru_cache(maxsize=_CATALOGUES_MAX)
def hazards_of(catalogue: Catalogue) -> Hazards:
    """Return the index over a catalogue's tasks. Made once and kept: it takes a quarter of a second."""
    rules, ordinary = [*map(hazard_of, catalogue.rules)], ordinary_tasks()
    code = [Path(module.__file__).read_bytes() for module in (hazards, tokenizer) if module.__file__]
    sources = chain(code, (text.encode() for text in chain(map(repr, rules), ordinary)))
    index = prepared("hazards", sources, lambda: packed_index(rules, ordinary))
    return Hazards(rules, ordinary, index=index)


def is_loaded() -> bool:
    """Tell whether `hazards_of` has been asked for, so that it answers at once."""
    return bool(hazards_of.cache_info().currsize)


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
