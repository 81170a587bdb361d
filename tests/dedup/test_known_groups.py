"""Searching what was dealt with before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.dedup.known_groups import GROUPS_MAX, MEMBERS_MAX, MERGE, GroupMatch, Precedents, words_of_catalogue
from lessonbook.dedup.likeness import Corpus, terms_of
from lessonbook.machine import prepared

ROUNDING = "The invoice total is rounded to whole euros before tax is added\nbilling/totals.py: total = round(net)"
ROUNDING_AGAIN = "The order total is rounded to whole euros before tax is added\nshop/cart.py: amount = round(x)"
CACHE = "The cache key leaves out the tenant, so customers see each other's price lists"
COOKIE = "The session cookie is sent without the Secure attribute"


def filled() -> Precedents:
    precedents = Precedents(words_of_catalogue(load_catalogue()))
    for number, text in enumerate([ROUNDING, CACHE, COOKIE]):
        precedents.put(f"I{number}", f"L{number}", text)
    return precedents


def test_an_instance_of_the_same_thing_is_found() -> None:
    first, *_ = filled().matches(ROUNDING_AGAIN)
    assert (first.group, first.member) == ("L0", "I0")
    assert first.probability >= MERGE
    assert first.is_sure


def test_an_issue_of_another_kind_matches_nothing_surely() -> None:
    assert not [match for match in filled().matches("The login page is slow on Mondays") if match.is_sure]


def test_one_thing_that_shares_words_with_another_is_not_taken_for_it() -> None:
    other = "The cache key leaves out the locale, so pages come in the wrong language"
    assert not [match for match in filled().matches(other) if match.is_sure]


def test_the_same_weakness_in_the_fields_own_terms_is_enough() -> None:
    assert GroupMatch("L1", "I1", 0.2, same_weakness=True).is_sure
    assert not GroupMatch("L1", "I1", 0.2).is_sure


def test_what_is_added_to_a_child_is_seen_by_it_alone() -> None:
    parent = filled()
    child = Precedents(parent=parent)
    child.put("I9", "L9", "The retry loop of the mailer never gives up")
    assert child.matches("The retry loop of the mailer never gives up")[0].group == "L9"
    assert child.matches(ROUNDING_AGAIN)[0].group == "L0"
    assert not parent.matches("The retry loop of the mailer never gives up")
    assert (len(parent), len(child)) == (3, 4)


def test_a_child_adds_to_the_groups_of_its_parent() -> None:
    child = Precedents(parent=filled())
    child.put("I9", "L0", ROUNDING_AGAIN)
    assert child.members_of("L0") == ["I0", "I9"]


def test_a_text_put_anew_moves_to_its_new_group() -> None:
    precedents = filled()
    precedents.put("I0", "L7", ROUNDING)
    assert precedents.matches(ROUNDING_AGAIN)[0].group == "L7"
    assert precedents.members_of("L0") == []


def test_a_forgotten_group_is_not_found() -> None:
    precedents = filled()
    precedents.forget("L0")
    assert not [match for match in precedents.matches(ROUNDING_AGAIN) if match.group == "L0"]


def test_only_the_likeliest_groups_are_weighed() -> None:
    precedents = Precedents()
    for number in range(3 * GROUPS_MAX):
        precedents.put(f"I{number}", f"L{number}", f"{ROUNDING.splitlines()[0]} in module {number}")
    assert len(precedents.matches(ROUNDING_AGAIN)) == GROUPS_MAX


steps = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["L1", "L2", ""]), st.sampled_from([ROUNDING, CACHE, COOKIE])),
    max_size=20,
)


@given(steps)
def test_what_was_put_and_taken_back_leaves_no_trace(moves: list[tuple[str, str, str]]) -> None:
    lived, kept = Precedents(), dict[str, tuple[str, str]]()
    for member, group, text in moves:
        if group:
            lived.put(member, group, text)
            kept[member] = (group, text)
        else:
            lived.discard(member)
            kept.pop(member, None)
    fresh = Precedents()
    for member, (group, text) in kept.items():
        fresh.put(member, group, text)
    assert len(lived) == len(fresh)
    for text in (ROUNDING_AGAIN, CACHE):
        assert {match.group for match in lived.matches(text)} == {match.group for match in fresh.matches(text)}


def test_the_latest_texts_of_a_large_group_speak_for_it() -> None:
    precedents = Precedents(words_of_catalogue(load_catalogue()))
    precedents.put("I0", "L0", ROUNDING)
    assert precedents.matches(ROUNDING_AGAIN)[0].is_sure
    for number in range(1, MEMBERS_MAX + 1):
        precedents.put(f"I{number}", "L0", f"{COOKIE} on page {number}")
    assert not [match for match in precedents.matches(ROUNDING_AGAIN) if match.is_sure]


def test_as_likely_as_not_is_not_sure() -> None:
    assert not GroupMatch("L1", "I1", 0.5).is_sure
    assert GroupMatch("L1", "I1", 0.75).is_sure


def test_the_words_of_the_catalogue_are_the_same_from_the_cache(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "user_cache_path", lambda _name: tmp_path)
    catalogue = load_catalogue()
    counted = Corpus()
    for rule in catalogue.rules:
        counted.add(terms_of(rule.text))
    made, kept = words_of_catalogue.__wrapped__(catalogue), words_of_catalogue.__wrapped__(catalogue)
    assert [file.name for file in tmp_path.iterdir()] == ["catalogue_words.bin"]
    some = sorted({term for rule in catalogue.rules[:300] for term in terms_of(rule.text)} | {"unheard of"})
    assert made.size == kept.size == counted.size
    assert (
        [made.idf(term) for term in some] == [kept.idf(term) for term in some] == [counted.idf(term) for term in some]
    )
