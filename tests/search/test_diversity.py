"""Of texts that say nearly the same the first stays."""

from hypothesis import given
from hypothesis import strategies as st

from lessonbook.search.diversity import ALIKE, Wording, first_of_alike, wording_of

WORDS = st.text(alphabet="abcdef", min_size=1, max_size=3)
TEXTS = st.lists(st.lists(WORDS, max_size=14).map(" ".join), max_size=12)


def by_comparing_all(wordings: list[Wording]) -> list[int]:
    kept: list[int] = []
    for position, wording in enumerate(wordings):
        near = (wordings[other] for other in kept)
        sizes = ((len(wording.words & one.words), max(len(wording.words), len(one.words))) for one in near)
        if not any(shared >= ALIKE * size for shared, size in sizes):
            kept.append(position)
    return kept


@given(TEXTS)
def test_the_same_texts_stay_as_where_each_is_compared_with_all(texts: list[str]) -> None:
    wordings = [wording_of(text) for text in texts]
    assert first_of_alike(wordings) == by_comparing_all(wordings)


def test_a_text_in_other_words_stays() -> None:
    texts = [
        "Close every file you open in the importer.",
        "Close every file you open in the exporter.",
        "Bind values as parameters of the statement.",
        "In the importer, close every file you open!",
    ]
    assert first_of_alike(map(wording_of, texts)) == [0, 1, 2]


def test_texts_without_words_say_the_same() -> None:
    assert first_of_alike(map(wording_of, ["", "…", "Close files."])) == [0, 2]
