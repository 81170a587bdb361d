import marshal

from hypothesis import given
from hypothesis import strategies as st

from lessonbook.machine.packed_words import NumbersByWord, WordTable, pack_numbers, pack_words

WORDS = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=6)


@given(st.dictionaries(WORDS, st.floats(allow_nan=False), max_size=60), st.lists(st.text(max_size=6)))
def test_each_word_has_its_number_and_no_other_has_one(numbers: dict[str, float], others: list[str]) -> None:
    packed = NumbersByWord(marshal.loads(marshal.dumps(pack_numbers(numbers, "d"))), "d")
    assert packed == numbers
    assert [packed.get(word) for word in (*numbers, *others)] == [numbers.get(word) for word in (*numbers, *others)]
    assert [word in packed for word in others] == [word in numbers for word in others]


@given(st.sets(WORDS, max_size=60))
def test_words_are_numbered_in_order(words: set[str]) -> None:
    table = WordTable(pack_words(sorted(words)))
    assert list(table) == sorted(words)
    assert [table.place(word) for word in table] == list(range(len(words)))


def test_two_words_with_an_end_of_line_between_are_no_word() -> None:
    table = WordTable(pack_words(["one", "two"]))
    assert table.place("one\ntwo") is None
    assert table.place("") is None
