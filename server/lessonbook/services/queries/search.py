"""Search over the lessons of all agents: the database finds candidates, the scorer of serving orders them."""

from collections.abc import Callable, Mapping
from heapq import nlargest
from typing import Final

from sqlalchemy import Connection

from lessonbook.domain.lesson import Lesson
from lessonbook.search.index import SIMILAR, DocumentFrequencies, RelevanceIndex, asked_words
from lessonbook.search.subjects import subjects_of
from lessonbook.store import lessons as lesson_rows

FOUND_MAX: Final = 1_000
COMPARED_MAX: Final = 100
"""Lessons that are scored against the query: reading and indexing one takes 0.1 ms."""
MATCHED_MAX: Final = 4_000
"""Documents that the database may have to rank: the query's rarest words are looked up until they match this many."""
LEAST_WORDS: Final = 4
_READ_AT_ONCE: Final = 150


def search(
    connection: Connection,
    project: str,
    query: str,
    wanted: Callable[[Lesson], bool],
    least: int,
    similar: Mapping[str, float] | None = None,
) -> list[Lesson]:
    """Return lessons that are `wanted` and share a rare word with `query` or are `similar`, most relevant first.

    At least `least` are returned where the database finds that many among its best `FOUND_MAX`. `similar` has cosine
    similarities from an embedding model, by lesson id.
    """
    subjects = subjects_of(query)
    words = [*asked_words(query), *subjects]
    size, frequency = lesson_rows.frequencies(connection, project, words)
    found = list(lesson_rows.search(connection, project, _telling(frequency), FOUND_MAX))
    if similar:
        found = list(dict.fromkeys([*nlargest(SIMILAR, similar, key=similar.__getitem__), *found]))
    kept: dict[str, Lesson] = {}
    for start in range(0, len(found), _READ_AT_ONCE):
        part = found[start : start + _READ_AT_ONCE]
        lessons = lesson_rows.find(connection, project, part)
        kept |= {lesson_id: lessons[lesson_id] for lesson_id in part if wanted(lessons[lesson_id])}
        if len(kept) >= max(least, COMPARED_MAX):
            break
    index: RelevanceIndex[str] = RelevanceIndex(only=words)
    for lesson_id, body in lesson_rows.documents(connection, project, list(kept)[:COMPARED_MAX]).items():
        index.put(lesson_id, body)
    ranked = index.scores(query, DocumentFrequencies(size, frequency), similar=similar, subjects=subjects)
    return [kept[lesson_id] for lesson_id in dict.fromkeys([*ranked, *kept])]


def _telling(frequency: Mapping[str, int]) -> list[str]:
    """Return the rarest words that some document holds: as many as `MATCHED_MAX` allows, at least `LEAST_WORDS`."""
    telling: list[str] = []
    matched = 0
    for word in sorted(filter(frequency.get, frequency), key=lambda word: (frequency[word], word)):
        matched += frequency[word]
        if matched > MATCHED_MAX and len(telling) >= LEAST_WORDS:
            break
        telling.append(word)
    return telling
