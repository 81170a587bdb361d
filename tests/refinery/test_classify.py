"""A severity and a category from the words of an issue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.models.vocabulary import CATEGORIES, SEVERITIES
from lessonbook.refinery.classify import category_of, severity_of


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("SQL injection in the report query", "critical"),
        ("Hard-coded password in settings.py", "critical"),
        ("Production is down since noon", "critical"),
        ("XSS in the comment field", "high"),
        ("The worker crashes on an empty list", "high"),
        ("Race condition between two writers", "high"),
        ("Typo in the docstring", "low"),
        ("Unused import of os", "low"),
        ("A crash because of a typo", "high"),
        ("The total is off by one", "medium"),
        ("", "medium"),
    ],
)
def test_the_gravest_word_tells_the_severity(text: str, severity: str) -> None:
    assert severity_of(text) == severity_of(text.upper()) == severity


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("SQL injection in the report query", "security"),
        ("The flaky test fails on Mondays", "testing"),
        ("N+1 queries make the list slow", "performance"),
        ("No retry after a timeout", "reliability"),
        ("The migration drops a column", "data"),
        ("The Helm chart has no limits", "infrastructure"),
        ("The endpoint answers 200 on failure; wrong status code", "api-design"),
        ("The contrast of the button is too low", "ui"),
        ("The README is out of date", "documentation"),
        ("Duplicated code in two modules", "maintainability"),
        ("The total is wrong", "correctness"),
        ("Something odd", "other"),
    ],
)
def test_the_first_field_that_fits_tells_the_category(text: str, category: str) -> None:
    assert category_of(text) == category_of(text.upper()) == category


@given(st.text(max_size=300))
def test_any_text_has_a_severity_and_a_category(text: str) -> None:
    assert severity_of(text) in SEVERITIES
    assert category_of(text) in CATEGORIES
