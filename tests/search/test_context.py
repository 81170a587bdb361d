"""Where a task takes place, and how often issues came there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.search.context import IssueCounts, Place, language_of, likely_by_history, place_of, recurring, unseen


@pytest.mark.parametrize(
    ("file", "language"),
    [
        ("src/app.py", "python"),
        ("SRC\\App.PY", "python"),
        ("web/Cart.tsx", "typescript"),
        ("Dockerfile", "dockerfile"),
        ("docker-compose.yml", "dockerfile"),
        (".github/workflows/ci.yml", "github-actions"),
        ("deploy/app.yaml", "yaml"),
        ("README", ""),
        ("notes.unknown", ""),
        ("", ""),
    ],
)
def test_a_files_name_tells_its_language(file: str, language: str) -> None:
    assert language_of(file) == language


@pytest.mark.parametrize(
    ("task", "language"),
    [
        ("Write a C++ class for a queue", "cpp"),
        ("Write a C function that joins strings", "c"),
        ("in Python, parse a date", "python"),
        ("Vitamin C is fine", "c"),
        ("Go on with the shell", ""),
        ("objective-c bridge", ""),
    ],
)
def test_without_files_a_language_that_the_task_names_counts(task: str, language: str) -> None:
    assert place_of(task, []).language == language


def test_files_count_before_words() -> None:
    place = place_of("Rewrite the Python script in Rust", ["src/main.rs", "tests/test_main.rs"])
    assert (place.language, place.languages, place.is_test) == ("rust", frozenset({"rust"}), True)


def test_issues_count_by_language_more_in_the_same_folder_and_less_with_age() -> None:
    counts = IssueCounts(
        [
            ("A", "shop/orders/a.py", 0.0),
            ("B", "shop/users/b.py", 0.0),
            ("C", "shop/orders/c.py", 90.0),
            ("D", "d.rs", 0),
        ]
    )
    here = counts.here(place_of("", ["shop/orders/new.py"]))
    assert here == {"A": 4.0, "B": 2.0, "C": 2.0}
    assert counts.here(Place()) == {}


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1), st.floats(0, 1))
def test_more_of_a_lessons_issues_and_better_words_make_it_likelier(
    count: float, others: float, words: float, better: float
) -> None:
    low, high = sorted((words, better))
    assert 0 <= likely_by_history(count, count + others, low) <= likely_by_history(count, count + others, high) <= 1
    assert likely_by_history(count, count + others, low) <= likely_by_history(count + 1, count + others, low)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_more_issues_show_none_of_a_lesson_the_less_the_catalogue_counts(one: float, other: float) -> None:
    few, many = sorted((one, other))
    assert 0 < unseen(many) <= unseen(few) <= 1


@given(st.floats(0, 1), st.integers(0, 10_000), st.integers(0, 10_000))
def test_what_came_here_is_likelier_to_come_again(probability: float, one: int, other: int) -> None:
    few, many = sorted((one, other))
    assert probability - 1e-9 <= recurring(probability, few) <= recurring(probability, many) + 1e-9 <= 1 + 1e-9
    assert recurring(0.2, 1) > 0.3
