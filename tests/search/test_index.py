"""The relevance index: what it finds, in which order, and that changes leave no trace."""

from collections import Counter
from math import log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.search.document import document_of, fields_of, with_issue
from lessonbook.search.index import (
    CANDIDATES,
    COMMON_FROM,
    K1,
    KIN_WEIGHT,
    LEAD_WEIGHT,
    PARTS_MAX,
    B,
    DocumentFrequencies,
    RelevanceIndex,
    parts_of,
)
from lessonbook.search.relevance import Compared, RelevanceModel, likely_by_words, load_relevance_model, relevance_for
from lessonbook.search.tokenizer import words_of
from lessonbook.search.vectors import Meanings, cosine, cosines

WORDS = ["timeout", "request", "file", "query", "index", "cache", "parseXml", "retry", "upload", "worker", "uploader"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
SUBJECTS = st.dictionaries(st.sampled_from(["cwe79", "cwe89", "cwe20"]), st.floats(0.1, 1.0), max_size=3)
BODIES = st.builds(
    lambda text, issue, of_text, of_issue: with_issue(
        document_of(text, "", "", "other", of_text), text, issue, "", of_issue
    ),
    TEXTS,
    TEXTS,
    SUBJECTS,
    SUBJECTS,
)
CORPUS = st.dictionaries(st.integers(0, 40), TEXTS, max_size=30)
NO_MEANING = Meanings({}, 4)


def index_of(corpus: dict[int, str]) -> RelevanceIndex[int]:
    index: RelevanceIndex[int] = RelevanceIndex()
    for key, text in corpus.items():
        index.put(key, text)
    return index


def bm25(corpus: dict[str, str], query: str) -> dict[str, float]:
    """Score every document from scratch, between a share and a sum; no word here has kin or is a lead."""
    documents = {key: Counter(words_of(text)) for key, text in corpus.items()}
    for terms in documents.values():
        for term in terms:
            terms[term] *= 1 + int(LEAD_WEIGHT)
    mean = sum(terms.total() for terms in documents.values()) / len(documents)
    asked = set(words_of(query))
    idf = {}
    for term in asked:
        count = sum(term in terms for terms in documents.values())
        idf[term] = log(1 + (len(documents) - count + 0.5) / (count + 0.5))
    known = max(weight for term, weight in idf.items() if any(term in terms for terms in documents.values()))
    idf = {term: min(weight, known) for term, weight in idf.items()}
    scores: dict[str, float] = {}
    for key, terms in documents.items():
        for term in asked & terms.keys():
            norm = K1 * (1 - B + B * terms.total() / mean)
            scores[key] = scores.get(key, 0.0) + idf[term] * terms[term] * (K1 + 1) / (terms[term] + norm)
    rarest = log(1 + (len(documents) - 0.5) / 1.5)
    return {key: score / sqrt(sum(idf.values()) * 10 * rarest) for key, score in scores.items()}


def test_words_weigh_as_in_bm25() -> None:
    corpus = {"a": "timeout request", "b": "timeout upload timeout", "c": "cache worker index retry", "d": "retry"}
    index: RelevanceIndex[str] = RelevanceIndex(NO_MEANING)
    for key, text in corpus.items():
        index.put(key, text)
    for query in ("timeout", "timeout retry", "cache nowhere", "request upload worker"):
        compared = {key: one.words for key, one in index.compared(query)}
        assert compared == pytest.approx(bm25(corpus, query)), query
    assert KIN_WEIGHT > 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8), BODIES), max_size=30), TEXTS, SUBJECTS)
def test_after_any_changes_the_index_is_as_if_built_anew(
    changes: list[tuple[bool, int, str]], query: str, subjects: dict[str, float]
) -> None:
    index: RelevanceIndex[int] = RelevanceIndex()
    corpus: dict[int, str] = {}
    for is_put, key, text in changes:
        if is_put:
            index.put(key, text)
            corpus[key] = text
        else:
            index.discard(key)
            corpus.pop(key, None)
        index.scores(query, subjects=subjects)
    assert len(index) == len(corpus)
    anew = index_of(corpus).scores(query, subjects=subjects)
    assert index.scores(query, subjects=subjects) == pytest.approx(anew)


@given(CORPUS, TEXTS)
def test_discarding_everything_leaves_nothing_to_find(corpus: dict[int, str], query: str) -> None:
    index = index_of(corpus)
    for key in corpus:
        index.discard(key)
        index.discard(key)
    assert len(index) == 0
    assert index.scores(query) == {}
    index.put(1, "timeout of a request")
    assert index.scores("timeout") == index_of({1: "timeout of a request"}).scores("timeout")


@given(CORPUS, TEXTS)
def test_scores_are_probabilities_in_falling_order(corpus: dict[int, str], query: str) -> None:
    scores = list(index_of(corpus).scores(query).values())
    assert all(0 <= score < 1 for score in scores)
    assert scores == sorted(scores, reverse=True)
    assert len(scores) <= CANDIDATES


def test_a_word_that_most_documents_hold_tells_nothing() -> None:
    index = index_of({key: "request timeout" if key else "request upload" for key in range(COMMON_FROM)})
    assert set(index.scores("request upload")) == {0}
    assert len(index.scores("request")) == COMMON_FROM


def test_a_document_is_found_by_other_forms_parts_and_kin_of_its_words() -> None:
    index: RelevanceIndex[str] = RelevanceIndex()
    index.put("a", "Cached queries in getExchangeRate")
    index.put("b", "Authenticate the caller")
    for query in ("caching", "query", "exchange", "GET_EXCHANGE_RATE", "rates"):
        assert set(index.scores(query)) == {"a"}, query
    assert set(index.scores("authentication")) == {"b"}
    assert index.scores("nothing of it") == {}
    assert index.scores("") == {}


def test_the_word_itself_goes_before_its_kin() -> None:
    index = index_of({1: "Check the authenticator", 2: "Check the authentication", 3: "Check the file"})
    assert list(index.scores("authentication")) == [2, 1]


def test_words_that_stand_together_in_both_go_first() -> None:
    index = index_of({1: "Pool of threads, connection kept", 2: "Connection pool of kept threads", 3: "Other"})
    assert next(iter(index.scores("connection pool"))) == 2


def test_the_first_line_of_a_query_says_what_it_is_about() -> None:
    index = index_of({1: "Close the file", 2: "Retry the upload", 3: "Cache it"})
    assert list(index.scores("file\nupload")) == [1, 2]
    assert list(index.scores("upload\nfile")) == [2, 1]


def test_an_issue_behind_a_lesson_finds_it() -> None:
    index: RelevanceIndex[str] = RelevanceIndex()
    body = document_of("Bound what a caller may ask for.", "", "", "reliability")
    index.put("a", body)
    index.put("b", document_of("Close what was opened.", "", "", "reliability"))
    assert "a" not in index.scores("pagination of orders")
    told = with_issue(body, "Bound what a caller may ask for.", "GET /orders has no pagination", "api/orders.py")
    index.put("a", told)
    assert list(index.scores("pagination of orders")) == ["a"]
    assert list(index.scores("orders.py")) == ["a"]


def test_what_was_found_out_about_a_word_is_found_out_again_when_a_document_changes() -> None:
    texts = {1: "upload retry of the worker", 2: "uploading a picture", 3: "cache the worker", 4: "retries"}
    index = index_of(texts)
    for key, text in ((2, "download a picture"), (5, "upload"), (1, ""), (3, "cache the uploads, retry")):
        assert index.scores("upload retry") == pytest.approx(index_of(texts).scores("upload retry"))
        texts[key] = text
        index.put(key, text)
    index.discard(5)
    del texts[5]
    assert index.scores("upload retry") == pytest.approx(index_of(texts).scores("upload retry"))


def test_little_is_kept_of_the_words_that_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of({number: f"upload retry cache{number}" for number in range(9)})
    monkeypatch.setattr("lessonbook.search.index.GAINS_MAX", 20)
    for number in range(9):
        assert index.scores(f"upload retry cache{number}")
        assert 0 < index.kept_gains <= 20


@given(st.floats(0.001, 0.999))
def test_the_relevance_for_a_probability_by_words_gives_that_probability(probability: float) -> None:
    assert likely_by_words(relevance_for(probability)) == pytest.approx(probability, abs=1e-6)
    assert likely_by_words(relevance_for(probability)) <= probability


def test_what_means_the_same_goes_before_what_shares_as_many_words() -> None:
    vectors = {"pars": bytes([100, 0]), "decod": bytes([100, 10]), "lunch": bytes([0, 100]), "fil": bytes([0, 0])}
    index: RelevanceIndex[int] = RelevanceIndex(Meanings(vectors, 2), RelevanceModel(Compared(1, 1, 1), 0, 0.5))
    index.put(1, "file of lunch")
    index.put(2, "file to decode")
    index.put(3, "another")
    assert list(index.scores("parse file")) == [2, 1]


@given(st.lists(st.builds(Compared, *[st.floats(0, 1)] * 7, similar=st.sampled_from([0.0, 0.5])), max_size=5))
def test_a_model_says_the_same_of_many_as_of_each(compared: list[Compared]) -> None:
    fit = load_relevance_model()
    columns = [[one[place] for one in compared] for place in range(len(Compared._fields))]
    assert fit.probabilities(columns) == pytest.approx([fit.probability(one) for one in compared])


@given(st.lists(st.one_of(st.just(()), st.just((0.6, 0.8)), st.just((1.0, 0.0))), max_size=4))
def test_cosines_are_those_of_each_pair(others: list[tuple[float, ...]]) -> None:
    for one in ((), (0.0, 1.0)):
        assert cosines(one, others) == [cosine(one, other) for other in others]


def test_a_document_about_the_same_subject_is_found_though_it_shares_no_word() -> None:
    index: RelevanceIndex[str] = RelevanceIndex(NO_MEANING)
    index.put("same", document_of("Escape what goes into a page.", "", "", "security", {"cwe79": 0.95, "cwe74": 0.6}))
    index.put("near", document_of("Bind values to statements.", "", "", "security", {"cwe89": 0.95, "cwe74": 0.6}))
    index.put("far", document_of("Close what was opened.", "", "", "reliability", {"cwe404": 0.9}))
    told = dict(index.compared("reflected scripting", subjects={"cwe79": 0.9, "cwe74": 0.6}))
    assert set(told) == {"same", "near"}
    assert told["same"].subjects > 0.99 > told["near"].subjects > 0.2
    assert index.compared("reflected scripting") == []


def test_what_an_issue_is_about_counts_for_its_lesson() -> None:
    index: RelevanceIndex[str] = RelevanceIndex(NO_MEANING)
    body = document_of("Check the caller's input.", "", "", "security")
    index.put("a", with_issue(body, "", "q is pasted into SQL", "", {"cwe89": 0.9}))
    assert dict(index.compared("injection", subjects={"cwe89": 0.4}))["a"].subjects == pytest.approx(1.0)


def test_a_lesson_that_begins_with_the_words_of_a_query_goes_first() -> None:
    index = index_of(
        {1: "Upload retry.\nCache the index of the worker", 2: "Cache the worker.\nIndex of upload retry", 3: ""}
    )
    assert next(iter(index.scores("upload retry"))) == 1
    assert next(iter(index.scores("cache worker"))) == 2


def test_the_more_issues_are_behind_a_lesson_the_sooner_it_comes() -> None:
    index: RelevanceIndex[str] = RelevanceIndex()
    once = often = document_of("Close the file.", "", "", "other")
    index.put("once", with_issue(once, "", "alpha left open beta gamma", ""))
    for told in ("alpha left", "open beta", "gamma"):
        often = with_issue(often, "", told, "")
    index.put("often", often)
    assert list(index.scores("close the file")) == ["often", "once"]


@pytest.mark.parametrize(
    "body", ["Close the file.", "Close\x1fwhy\x1frule\x1fother\x1fparts", "Close\x1ewhy\x1ffile\x1fparts"]
)
def test_documents_written_without_subjects_are_about_none(body: str) -> None:
    assert fields_of(body).subjects == {}
    assert "parts" not in fields_of(body).own


def test_a_collection_told_of_says_which_words_are_rare() -> None:
    index = index_of({1: "request upload", 2: "request timeout", 3: "request timeout", 4: "upload"})
    rare, common = (
        DocumentFrequencies(1_000, {"upload": 2, "timeout": 400}),
        DocumentFrequencies(1_000, {"upload": 400, "timeout": 2}),
    )
    assert next(iter(index.scores("upload timeout", rare))) in {1, 4}
    assert next(iter(index.scores("upload timeout", common))) in {2, 3}


def test_an_index_of_some_words_answers_for_them_as_one_of_all_words() -> None:
    corpus = {1: "request upload", 2: "uploader timeout", 3: "cache worker"}
    some: RelevanceIndex[int] = RelevanceIndex(only=words_of("upload request"))
    for key, text in corpus.items():
        some.put(key, text)
    assert some.scores("upload request") == index_of(corpus).scores("upload request")
    for key in corpus:
        some.discard(key)
    assert len(some) == 0


def test_a_task_that_names_several_things_is_taken_apart() -> None:
    task = "Add an export: query the database, run a subprocess on the rows and check a digest"
    assert parts_of(task) == ["Add an export", "query the database", "run a subprocess on the rows", "check a digest"]
    assert parts_of("Query the database with the text of the search form") == []
    assert parts_of("") == []
    assert len(parts_of("mend the upload form, " * 50)) == PARTS_MAX
