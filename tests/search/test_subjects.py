"""Lessons and issues meet by what they are about, though they share no word."""

from lessonbook.search.document import fields_of
from lessonbook.search.subjects import BROADER, document_of, subjects_of, subjects_of_lesson, with_issue


def test_an_issue_is_about_its_weakness_and_less_about_the_broader_one() -> None:
    subjects = subjects_of("SQL injection via user name")

    assert subjects["cwe74"] == BROADER * subjects["cwe89"]


def test_a_lesson_is_about_the_weakness_that_its_control_averts() -> None:
    text = "Use parameterized queries"

    assert subjects_of(text) == {}
    assert max(subjects_of_lesson(text), key=lambda name: subjects_of_lesson(text)[name]) == "cwe89"


def test_a_lesson_and_an_issue_about_the_same_weakness_meet() -> None:
    body = document_of("Set HttpOnly on session cookies", "", "", "security")

    assert fields_of(body).subjects.keys() & subjects_of("Script can read the cookie: no HttpOnly flag") >= {"cwe1004"}


def test_the_weakness_named_by_a_rule_key_is_a_subject_of_the_lesson() -> None:
    assert fields_of(document_of("Do it properly.", "", "cwe:CWE-79", "security")).subjects["cwe79"] == 1.0


def test_the_rationale_of_a_lesson_tells_subjects_too() -> None:
    assert "cwe352" in fields_of(document_of("Send the hidden value.", "It prevents CSRF.", "", "security")).subjects


def test_an_issue_is_not_about_what_controls_avert() -> None:
    body = document_of("Do it properly.", "", "", "security")

    assert fields_of(with_issue(body, "", "Prepared statements are slow here", "")).subjects == {}


def test_a_lesson_about_nothing_in_particular_has_no_subjects() -> None:
    assert subjects_of_lesson("Sort imports by name") == {}
