"""Comparing an issue with what others described."""

from hypothesis import given
from hypothesis import strategies as st

from lessonbook.dedup.likeness import FEATURES, HEADLINE_MAX, Corpus, Sketch, headline, load_likeness, sketch

WORDS = ["cache", "tenant", "invoice", "rounded", "total", "socket", "retry", "pool", "session", "cookie", "locale"]
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)


def probability(issue: str, *members: str, collection: Corpus | None = None) -> float:
    among = collection or Corpus()
    features = among.features(sketch(issue), [sketch(member) for member in members])
    return load_likeness().probability(features)


def test_the_headline_is_the_first_line() -> None:
    assert headline("\n  The pool runs dry.\nStack trace follows") == "The pool runs dry."


def test_the_headline_of_a_long_line_is_its_first_sentence() -> None:
    first = "The connection pool runs dry when a request is cancelled while it waits."
    assert headline(f"{first} {'More is told here. ' * 30}") == first


def test_the_headline_of_a_long_line_without_an_end_is_cut() -> None:
    assert len(headline("word " * 200)) == HEADLINE_MAX


def test_a_rare_shared_word_tells_more_than_a_common_one() -> None:
    collection = Corpus()
    for text in ["cache miss", "cache hit", "cache key", "cache size", "tenant left out"]:
        collection.add(sketch(text).words)
    assert collection.idf("tenant") > collection.idf("cach")
    assert collection.cosine(sketch("tenant pool"), sketch("tenant socket")) > collection.cosine(
        sketch("cache pool"), sketch("cache socket")
    )


def test_a_text_taken_back_counts_no_more() -> None:
    collection, other = Corpus(), Corpus()
    collection.add(sketch("cache key").words)
    collection.add(sketch("tenant left out").words)
    collection.add(sketch("tenant left out").words, -1)
    other.add(sketch("cache key").words)
    assert collection.size == other.size
    assert collection.idf("tenant") == other.idf("tenant")


def test_the_same_words_about_other_code_are_more_likely_one_thing_than_other_words_about_the_same_code() -> None:
    known = "First argument of a static method should not be named `self`\nmodel.py: def load(self, path):"
    same = "First argument of a static method should not be named `self`\nviews.py: def render(self, page):"
    other = "Return type of `load` is missing\nmodel.py: def load(self, path):"
    assert probability(same, known) > 0.5 > probability(other, known)


def test_several_instances_of_one_thing_make_a_further_one_more_likely() -> None:
    one = "The invoice total is rounded before tax is added"
    two = "The order amount is rounded before tax is added"
    issue = "The refund sum is rounded before tax is added"
    assert probability(issue, one, two) > probability(issue, one)


def test_a_weakness_told_in_other_words_makes_likeness_likelier() -> None:
    known = "SQL injection via the user name"
    told = "The sort column of the report goes into the SQL statement, so SQL injection is possible"
    untold = "The sort column of the report goes into the heading, so the heading is wrong"
    assert probability(told, known) > probability(untold, known)


@given(texts, st.lists(texts, min_size=1, max_size=8))
def test_every_feature_is_a_number_and_the_probability_between_zero_and_one(issue: str, members: list[str]) -> None:
    features = Corpus().features(sketch(issue), [sketch(member) for member in members])
    assert len(features) == len(FEATURES)
    assert 0 <= load_likeness().probability(features) <= 1


@given(texts, texts)
def test_cosines_are_symmetric_and_at_most_one(one: str, other: str) -> None:
    collection = Corpus()
    there, back = collection.cosine(sketch(one), sketch(other)), collection.cosine(sketch(other), sketch(one))
    assert abs(there - back) < 1e-9
    assert -1e-9 <= there <= 1 + 1e-9
    assert collection.cosine(sketch(one), sketch(one)) > 1 - 1e-9


# --- each feature says what its name says -----------------------------------------------------------------------------


def feature(name: str, issue: str, *members: str) -> float:
    return Corpus().features(sketch(issue), [sketch(member) for member in members])[FEATURES.index(name)]


def test_a_text_is_wholly_like_itself_however_much_the_collection_has_grown() -> None:
    collection, text = Corpus(), sketch("The invoice total is rounded")
    assert collection.cosine(text, text) > 1 - 1e-9
    for number in range(50):
        collection.add(sketch(f"The invoice number {number} is missing").words)
    assert 1 - 1e-9 < collection.cosine(text, text) < 1 + 1e-9


def test_quoted_code_is_left_out_of_what_is_compared_plainly() -> None:
    one, other = "Argument `self` of `load` is never used", "Argument `page` of `render` is never used"
    assert feature("plain", one, other) > 1 - 1e-9
    assert feature("words", one, other) < 1 - 1e-9
    assert feature("has_code", one, "Argument is never used") == 1
    assert feature("has_code", "Argument is never used", "It is never used") == 0


def test_what_most_members_of_a_group_have_in_common_is_its_theme() -> None:
    members = ["invoice rounded before tax", "order rounded before tax", "refund rounded before tax"]
    assert feature("theme", "total rounded before tax", *members) > 0.3
    assert feature("theme", "invoice order refund", *members) == 0


def test_the_same_weakness_and_another_one_are_told_apart() -> None:
    known = "SQL injection via the user name"
    assert feature("same_weakness", "SQL injection via the sort column", known) == 1
    assert feature("other_weakness", "SQL injection via the sort column", known) == 0
    assert feature("same_weakness", "Path traversal via the file name", known) == 0
    assert feature("other_weakness", "Path traversal via the file name", known) == 1
    assert feature("other_weakness", "The page is slow", known) == 0


def test_a_weakness_is_told_by_the_beginning_of_a_report_though_its_headline_is_silent() -> None:
    told = "SQL injection via the sort column"
    assert sketch(f"The report page has a fault.\n{'It was seen on a Monday. ' * 30}\n{told}").surely_tells == "CWE-89"
    assert sketch(f"The report page has a fault.\n{'It was seen on a Monday. ' * 300}\n{told}").surely_tells == ""


def test_the_strongest_weakness_is_told_and_a_doubtful_one_is_not() -> None:
    nothing = frozenset[str]()
    assert Sketch("", nothing, "", {"CWE-20": 0.91, "CWE-89": 0.95}).surely_tells == "CWE-89"
    assert Sketch("", nothing, "", {"CWE-89": 0.75}).surely_tells == ""
    assert Sketch("", nothing, "", {}).surely_tells == ""
