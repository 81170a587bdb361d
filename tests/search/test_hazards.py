"""Which rules a task is likely to break."""

from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.classify.task_rules import hazards_of
from lessonbook.search.context import Place
from lessonbook.search.hazard_model import THRESHOLD, Line
from lessonbook.search.hazards import Hazard, Hazards, packed_index, set_bits, shared_bits
from lessonbook.search.task import read_task

HAZARDS = hazards_of(load_catalogue())
SMALL = Hazards(
    [
        Hazard("search", ["add a search box over the products table", "filter orders by a text"], "bind SQL values"),
        Hazard("upload", ["let users upload a profile picture"], "check the type of an uploaded file"),
        Hazard("page", ["build a list page of orders in React"], "limit the rows of a list", ["react"]),
    ],
    ["change the colour of a heading", "rename a file"],
)


@pytest.mark.parametrize(
    ("task", "files", "rule"),
    [
        ("Add a search box over the products table", [], "sql-injection"),
        ("Let the members upload a photo of themselves", [], "unrestricted-upload"),
        ("Store the passwords of the new accounts", [], "password-hashing"),
        ("Write a Dockerfile for the billing service", ["Dockerfile"], "container-root-user"),
        ("Hole die Datei von der Adresse, die der Benutzer angibt", [], "ssrf"),
    ],
)
def test_a_task_finds_the_rule_that_such_tasks_break(task: str, files: list[str], rule: str) -> None:
    assert rule in read_task(task, files, lambda: HAZARDS).likely.rules


@pytest.mark.parametrize(
    "task",
    [
        "",
        "?",
        "thanks, that helps",
        "correct the spelling of the heading in the README",
        "what do you think?",
        "よろしくお願いします",
    ],
)
def test_talk_and_ordinary_work_make_no_rule_likely(task: str) -> None:
    assert dict(read_task(task, ["src/app.py"], lambda: HAZARDS).likely.rules) == {}


def test_a_language_alone_makes_no_rule_likely() -> None:
    assert dict(read_task("", ["src/main.c"], lambda: HAZARDS).likely.rules) == {}
    assert dict(read_task("Go on with it", ["src/main.c"], lambda: HAZARDS).likely.rules) == {}


def test_the_best_phrase_within_a_sentence_counts() -> None:
    together = SMALL.matches("Add a search box over the products").rules["search"]
    apart = SMALL.matches("Add a box. Search it. Do products. And a table.").rules["search"]
    assert together.phrase > apart.phrase


def test_a_rule_is_about_its_languages_and_about_no_others() -> None:
    task = "build a list page of orders"
    found = [
        SMALL.matches(task, Place(frozenset({language}), language)).rules["page"].language
        for language in ("react", "rust", "typescript")
    ]
    assert found == [1.0, -1.0, 0.0]
    assert SMALL.matches(task).rules["page"].language == 0.0


def test_ordinary_work_is_told_by_its_own_phrases() -> None:
    assert SMALL.matches("change the colour of the heading").ordinary > 0
    assert SMALL.matches("let users upload").ordinary == 0


@given(st.text(max_size=300) | st.lists(st.sampled_from(["upload", "orders", "React", ".", "table"])).map(" ".join))
def test_probabilities_are_between_the_threshold_and_one_whatever_the_task(task: str) -> None:
    likely = SMALL.likely(task)
    assert all(THRESHOLD <= value <= 1 for value in likely.rules.values())
    assert all(isfinite(value) and 0 <= value <= 1 for value in likely.considered.values())
    assert 0 <= likely.need <= 1


def test_every_rule_names_tasks_of_its_own() -> None:
    phrases = [phrase for rule in load_catalogue().rules for phrase in rule.tasks]
    assert len(phrases) == len(set(phrases))
    assert all(len(rule.tasks) >= 3 for rule in load_catalogue().rules if rule.common or rule.tasks)


@given(st.lists(st.sets(st.integers(0, 70)), max_size=9), st.integers(1, 5))
def test_what_several_sets_hold_is_counted_as_bits(sets: list[set[int]], least: int) -> None:
    found = shared_bits([sum(1 << number for number in one) for one in sets], least)
    held = {number for number in set[int]().union(*sets) if sum(number in one for one in sets) >= least}
    assert list(set_bits(found)) == sorted(held)


@given(st.lists(st.tuples(*[st.floats(-10, 10)] * 3), max_size=5))
def test_a_line_says_the_same_of_many_as_of_each(features: list[tuple[float, float, float]]) -> None:
    line = Line([1.5, -2.0, 0.25], -0.5)
    columns = [[one[place] for one in features] for place in range(3)]
    assert line.probabilities(columns) == pytest.approx([line.probability(one) for one in features])


def test_an_index_that_was_kept_finds_what_a_fresh_one_finds() -> None:
    hazards = [Hazard("search", ["add a search box", "filter a list"], "bind values"), Hazard("upload", [], "a file")]
    ordinary = ["rename a file"]
    kept = Hazards(hazards, ordinary, index=packed_index(hazards, ordinary))
    for task in ("add a search box over files", "rename the search file", "nothing known"):
        assert kept.matches(task) == Hazards(hazards, ordinary).matches(task)
        assert kept.nearest_phrase("search", "a box to search") == "add a search box"


def test_a_task_is_compared_with_each_phrase_as_if_there_were_no_index() -> None:
    """A rule's `covered` is what the task's terms that its phrases hold weigh, of all of them."""
    for task in ("add a search box over the products", "let users upload a list of orders"):
        matches = SMALL.matches(task)
        for name, match in matches.rules.items():
            assert 0.0 <= match.covered <= 1.0, name
    assert SMALL.matches("add a search box over the products table").rules["search"].covered == pytest.approx(1.0)
