"""The relevance index, against BM25 written out by hand."""

from collections import Counter
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.learning.relevance import COMMON_FROM, COMMON_SHARE, K1, B, RelevanceIndex
from lessonbook.learning.words import words_of

WORDS = ["timeout", "request", "file", "query", "index", "cache", "parseXml", "retry", "upload", "worker"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
CORPUS = st.dictionaries(st.integers(0, 40), TEXTS, max_size=30)


def bm25(corpus: dict[int, str], query: str) -> dict[int, float]:
    """Score every document from scratch."""
    documents = {key: Counter(words_of(text)) for key, text in corpus.items()}
    if not documents:
        return {}
    mean = sum(terms.total() for terms in documents.values()) / len(documents) or 1.0
    frequency = {term: sum(term in terms for terms in documents.values()) for term in set(words_of(query))}
    wanted = {term for term, count in frequency.items() if count}
    if len(documents) >= COMMON_FROM:
        telling = {term for term in wanted if frequency[term] <= COMMON_SHARE * len(documents)}
        wanted = telling or wanted
    scores: dict[int, float] = {}
    for key, terms in documents.items():
        for term in wanted & terms.keys():
            idf = log(1 + (len(documents) - frequency[term] + 0.5) / (frequency[term] + 0.5))
            norm = K1 * (1 - B + B * terms.total() / mean)
            scores[key] = scores.get(key, 0.0) + idf * terms[term] * (K1 + 1) / (terms[term] + norm)
    return scores


@given(CORPUS, TEXTS)
def test_scores_are_those_of_bm25(corpus: dict[int, str], query: str) -> None:
    index: RelevanceIndex[int] = RelevanceIndex()
    for key, text in corpus.items():
        index.put(key, text)
    assert index.scores(query) == pytest.approx(bm25(corpus, query))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8), TEXTS), max_size=30), TEXTS)
def test_after_any_changes_the_index_is_as_if_built_anew(changes: list[tuple[bool, int, str]], query: str) -> None:
    index: RelevanceIndex[int] = RelevanceIndex()
    corpus: dict[int, str] = {}
    for is_put, key, text in changes:
        if is_put:
            index.put(key, text)
            corpus[key] = text
        else:
            index.discard(key)
            corpus.pop(key, None)
    assert len(index) == len(corpus)
    assert index.scores(query) == pytest.approx(bm25(corpus, query))


@given(CORPUS)
def test_discarding_everything_leaves_no_residue(corpus: dict[int, str]) -> None:
    index: RelevanceIndex[int] = RelevanceIndex()
    for key, text in corpus.items():
        index.put(key, text)
        index.put(key, text)
    for key in corpus:
        index.discard(key)
        index.discard(key)
    fresh: RelevanceIndex[int] = RelevanceIndex()
    assert vars(index) == vars(fresh)


def test_a_word_that_most_documents_hold_tells_nothing() -> None:
    index: RelevanceIndex[int] = RelevanceIndex()
    for key in range(COMMON_FROM):
        index.put(key, "request timeout" if key else "request upload")
    assert set(index.scores("request upload")) == {0}
    assert len(index.scores("request")) == COMMON_FROM


def test_a_document_is_found_by_other_forms_and_parts_of_its_words() -> None:
    index: RelevanceIndex[str] = RelevanceIndex()
    index.put("a", "Cached queries in getExchangeRate")
    for query in ("caching", "query", "exchange", "GET_EXCHANGE_RATE", "rates"):
        assert set(index.scores(query)) == {"a"}, query
    assert index.scores("nothing of it") == {}
    assert index.scores("") == {}
