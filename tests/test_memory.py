"""What a server keeps of the packaged data is small: it is packed, and equal words are one object."""

import subprocess
import sys

import pytest

MAX_MB = 13.0
"""Where words were keys of dictionaries and phrases were objects, it was 28."""
_KEPT = """
import gc, tracemalloc
from lessonbook.classify import catalogue, task_rules, text_model
from lessonbook.dedup import known_groups
from lessonbook.screening.lint.harm import model, words
from lessonbook.search import hazard_model, vectors
from lessonbook.search.lexicon import weaknesses

def load():
    rules = catalogue.load_catalogue()
    task_rules.hazards_of(rules).likely("Add an endpoint that exports the orders as CSV")
    known_groups.words_of_catalogue(rules)
    text_model.load_model("category"), text_model.load_model("routing")
    model.load_harm_model(), words.vocabulary(), hazard_model.load_hazard_model(), vectors.load_meanings()
    weaknesses.weaknesses_in("A use after free"), weaknesses.guarded_against("Bind parameters against SQL injection")

load()  # it fills the cache folder, imports, and compiles patterns
for module in (catalogue, task_rules, text_model, known_groups, model, words, hazard_model, vectors, weaknesses):
    for function in vars(module).values():
        getattr(function, "cache_clear", int)()
gc.collect()
tracemalloc.start()
load()
gc.collect()
print(tracemalloc.get_traced_memory()[0] / 1e6)
"""


@pytest.mark.slow
def test_what_is_kept_of_the_packaged_data_is_small() -> None:
    done = subprocess.run([sys.executable, "-c", _KEPT], check=True, capture_output=True, text=True)
    assert float(done.stdout) <= MAX_MB
