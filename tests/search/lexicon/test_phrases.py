"""Phrases are found where they stand: within a sentence, whatever the inflection, in any order of adding."""

import pytest

from lessonbook.domain.errors import ConfigError
from lessonbook.search.lexicon.phrases import Index, Phrasebook, PhrasedText, pack_phrases
from lessonbook.search.lexicon.spelling import Spelling

FRUIT = {"fruit": ["apple", "pear", "@berry"], "berry": ["cherry"]}


def read(text: str, *phrases: str) -> PhrasedText:
    book = Phrasebook(Spelling([("pine", "apple")], {"pear": ["quince"]}), FRUIT)
    for phrase in phrases:
        book.add(phrase, "here")
    return Index(book.spelling, pack_phrases(book.phrases)).read(text)


def found(text: str, *phrases: str) -> dict[int, list[tuple[int, int]]]:
    return {number: list(spans) for number, spans in read(text, *phrases).spans.items()}


def test_a_phrase_stands_where_its_words_stand() -> None:
    assert found("We ate a red apple, then red apples", "red apple") == {0: [(2, 4), (5, 7)]}


def test_a_word_alone_is_found_at_each_place() -> None:
    assert found("pear, plum, pears", "pear", "plum") == {0: [(0, 1), (2, 3)], 1: [(1, 2)]}


def test_synonyms_groups_and_joined_words_are_understood() -> None:
    assert found("red quince", "red @fruit") == found("red cherries", "red @fruit") == {0: [(0, 2)]}
    assert found("pine apple", "pineapple") == {0: [(0, 1)]}
    assert found("pine apple", "apple") == {}


def test_three_words_of_which_each_two_are_one_become_one() -> None:
    spelling = Spelling([("time", "out"), ("out", "side")], {})

    assert spelling.join(["a", "time", "out", "side", "b"]) == ["a", "outside", "b"]


def test_a_gap_ends_with_the_sentence() -> None:
    assert found("red and ripe apple", "red ~ apple") == {0: [(0, 4)]}
    assert found("It is red. An apple", "red ~ apple") == {}
    assert found("red one two three four five apple", "red ~ apple") == {}


def test_sentences_are_numbered() -> None:
    assert list(read("It is red. Eat it", "red").sentences) == [0, 0, 0, 1, 1, 1]


def test_words_that_say_nothing_do_not_count_as_between() -> None:
    reading = read("red of the ripe apple", "red ~ apple")

    assert reading.words_between(0, (0, 4)) == 1


def test_brackets_make_a_phrase_of_each_choice_of_several_words() -> None:
    book = Phrasebook(Spelling([], {}), {})

    assert book.add("(red apple|pear|plum) pie", "here") == (0, 1)
    assert book.add("red apple pie", "there") == (2,)


def test_a_phrase_added_twice_keeps_its_number() -> None:
    book = Phrasebook(Spelling([], {}), {})

    assert book.add("red apple", "here") == book.add("red apple", "there") == (0,)


def test_a_phrase_repeated_endlessly_is_kept_a_few_times() -> None:
    spans = found("red apple " * 500 + ". " + "pear " * 500, "red apple", "pear")

    assert {number: len(places) for number, places in spans.items()} == {0: 24, 1: 24}


@pytest.mark.parametrize(
    "phrase", ["", "red ~", "red?", "the", "Red", "red,", "@nuts", "()", "(red|)", "red|pine apple"]
)
def test_what_can_match_nothing_is_refused(phrase: str) -> None:
    with pytest.raises(ConfigError, match=r"here has "):
        read("red", phrase)


def test_only_phrases_whose_words_a_text_has_are_unpacked() -> None:
    book = Phrasebook(Spelling([], {}), {})
    for phrase in ("red apple", "green pear ~ pie?", "blue plum"):
        book.add(phrase, "here")
    index = Index(book.spelling, pack_phrases(book.phrases))

    assert index._phrase.cache_info().currsize == 0
    assert index.read("A green pear").spans == {1: [(0, 2)]}
    assert index._phrase.cache_info().currsize == 1
