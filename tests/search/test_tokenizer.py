"""Index terms of developer text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.search.tokenizer import stem, words_of

NAMES = st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=12)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("getUserName", ["getusername", "nam"]),
        ("HTTPServer", ["httpserver", "http", "server"]),
        ("parse_xml_file", ["parsexmlfile", "pars", "xml", "fil"]),
        ("SQL", ["sql"]),
        ("the user is not in it", []),
        ("N+1 queries in 42 calls at 7", ["query", "42", "call"]),
        ("src/api/orders.py", ["src", "api", "order", "py"]),
        ("größe", ["grösse"]),
        ("ＡＰＩ 検索機能 と index", ["api", "index", "検索", "索機", "機能", "と"]),
        ("проверка getUserName", ["getusername", "nam", "проверка"]),
        ("", []),
    ],
)
def test_an_identifier_gives_itself_and_its_parts(text: str, terms: list[str]) -> None:
    assert words_of(text) == terms


@pytest.mark.parametrize(
    "forms",
    [
        ["query", "queries"],
        ["cache", "caches", "cached", "caching"],
        ["retry", "retries"],
        ["log", "logs", "logged", "logging"],
        ["call", "calls", "called", "calling"],
        ["timeout", "timeouts"],
        ["exact", "exactly"],
        ["file", "files"],
    ],
)
def test_inflections_of_a_word_are_one_term(forms: list[str]) -> None:
    assert len({stem(form) for form in forms}) == 1


@pytest.mark.parametrize("word", ["class", "status", "redis", "string", "thing", "bus", "ring", "bed", "fly"])
def test_words_that_only_look_inflected_stay_whole(word: str) -> None:
    assert stem(word) == word


@given(NAMES)
def test_a_stem_is_never_longer_and_never_empty(word: str) -> None:
    assert 0 < len(stem(word)) <= len(word)


@given(st.text(max_size=300))
def test_terms_are_short_plain_words_whatever_the_text(text: str) -> None:
    for term in words_of(text):
        assert 0 < len(term) <= 40
        assert " " not in term
        assert term == term.casefold() or not term.isascii()


@given(st.lists(NAMES, min_size=1, max_size=6))
def test_camel_case_and_snake_case_give_the_same_terms(parts: list[str]) -> None:
    camel = "".join([parts[0], *(part.capitalize() for part in parts[1:])])
    assert words_of("_".join(parts)) == words_of(camel)


@given(st.lists(NAMES, max_size=8), st.sampled_from([" ", ", ", "\n", " - ", "/"]))
def test_what_stands_between_words_does_not_matter(parts: list[str], between: str) -> None:
    assert words_of(between.join(parts)) == words_of(" ".join(parts))
