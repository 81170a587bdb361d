"""A severity and a category from the words of an issue."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.classify.severity import category_of, severity_of
from lessonbook.domain.vocabulary import CATEGORIES, SEVERITIES

SENTENCES = tomllib.loads((Path(__file__).parent / "category_sentences.toml").read_text(encoding="utf-8"))


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
        ("The migration deletes all customer rows", "critical"),
        ("Orders are lost when the queue restarts", "critical"),
        ("The private key is committed to the repository", "critical"),
        ("Anyone can delete invoices of other customers", "critical"),
        ("The checkout fails in production", "high"),
        ("The customer is charged twice", "high"),
        ("Requests hang forever when the cache is down", "high"),
        ("The process runs out of memory at night", "high"),
        ("The flaky test fails on Mondays", "medium"),
        ("The list is sorted by the wrong column", "medium"),
        ("The page is slow with many entries", "medium"),
        ("No retry when the connection drops", "medium"),
        ("The README still names the old command", "low"),
        ("Misspelled word in the dialog", "low"),
        ("Rename the variable to something readable", "low"),
        ("Dead code in the parser", "low"),
        ("The total is off by one", "medium"),
        ("", "medium"),
    ],
)
def test_the_gravest_word_tells_the_severity(text: str, severity: str) -> None:
    assert severity_of(text) == severity_of(text.upper()) == severity


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("Typo. CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "critical"),
        ("SQL injection, AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", "low"),
        ("The scanner gives it security-severity: 7.5", "high"),
        ("Rated with a CVSS v3.1 base score of 5.3", "medium"),
    ],
)
def test_a_score_in_the_text_decides(text: str, severity: str) -> None:
    assert severity_of(text) == severity


@pytest.mark.parametrize(("text", "severity"), [("See CWE-89 in the form", "high"), ("See CWE-79 there", "medium")])
def test_a_named_weakness_has_the_severity_such_weaknesses_mostly_have(text: str, severity: str) -> None:
    assert severity_of(text) == severity


@pytest.mark.parametrize(
    ("report", "severity"),
    [
        ("A timing side-channel in the comparison of tokens may let a local attacker guess it before 1.2.", "medium"),
        ("Reflected cross-site scripting vulnerability: a victim who clicks a crafted link runs a script.", "medium"),
        ("A crafted header leads to a use-after-free in the parser of versions before 3.4 of this library.", "high"),
        (
            "Remote attackers execute arbitrary code via a crafted request to versions before 2.3.",
            "critical",
        ),
    ],
)
def test_reports_of_vulnerabilities_have_the_usual_severity_of_the_weakness_they_speak_of(report: str, severity: str):
    assert severity_of(report) == severity


def test_categories_of_sentences_are_mostly_those_a_person_gives() -> None:
    pairs = [(text, category) for category, texts in SENTENCES.items() for text in texts]
    assert len(pairs) >= 80
    assert sum(category_of(text) == category for text, category in pairs) / len(pairs) >= 0.7


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
def test_words_of_a_field_tell_the_category(text: str, category: str) -> None:
    assert category_of(text) == category_of(text.upper()) == category


@given(st.text(max_size=300))
def test_any_text_has_a_severity_and_a_category(text: str) -> None:
    assert severity_of(text) in SEVERITIES
    assert category_of(text) in CATEGORIES
