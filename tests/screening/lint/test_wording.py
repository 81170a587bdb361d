"""Words that are not a finished sentence wait for a person; whole sentences of people and of the catalogue do not."""

import pytest

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.screening.lint.rules import screen
from lessonbook.screening.lint.wording import states_only, wordings

UNFINISHED = {
    "Test for <a href=": "markup",
    "Close the file<br/> after use and never before.": "markup",
    "<strong>Exceptions</strong> are not allowed in code.": "markup",
    "Check every value of the": "breaks off",
    "Handle each of these errors and": "breaks off",
    "Pass the value of name =": "breaks off",
    "Check these things first:": "breaks off",
    "Never swallow errors…": "breaks off",
    "Fix the code. Fix the code. Fix the code.": "repeats itself",
    "The problem is in the code, the problem is in the code, the problem is in the code": "repeats itself",
    "test test test test test test": "repeats itself",
}
FINISHED = """
Compare signatures in constant time, never with `==`.
Compare with ==
Write the extension in C++
Put every tag into a template, never `<b>` into a string.
Never put user input into a <script> element without encoding it.
Declare the list as List<String>, not as a raw type.
Check the length, then the type, then the value of each field before the field is used.
Return early: it keeps the nesting low.
Where a system command cannot be avoided, use the two layers of defence that follow:
""".strip().splitlines()
STATEMENTS = """
The caught exception is swallowed.
This is a problem in the code
No reason for this issue
There is an error in the test
It was not found in the list
""".strip().splitlines()
ADVICE = """
The caller must close the file.
A test should fail for one reason.
Give each outgoing request a timeout.
Every migration needs to be tried on a copy.
No request may go out without a timeout; always set one.
Secrets belong into a vault.
""".strip().splitlines()


@pytest.mark.parametrize(("text", "word"), UNFINISHED.items())
def test_what_is_not_a_finished_sentence_waits(text: str, word: str) -> None:
    judged = screen(text)
    assert judged.verdict == "risky"
    assert any(word in reason for reason in judged.reasons)


@pytest.mark.parametrize("text", FINISHED)
def test_a_finished_sentence_is_not_held(text: str) -> None:
    assert wordings(text) == []


@pytest.mark.parametrize("text", ["issue_with-no-data", "src/main/java/Test.java", "fix_the_bug.now please"])
def test_an_identifier_is_not_a_rule_however_many_words_it_has(text: str) -> None:
    assert screen(text).verdict == "unfit"


def test_the_catalogue_is_in_finished_sentences_that_say_what_to_do() -> None:
    for rule in load_catalogue().rules:
        assert wordings(rule.text) == []
        assert wordings(rule.why) == []
        assert not states_only(rule.text)


@pytest.mark.parametrize("text", STATEMENTS)
def test_a_statement_is_no_advice(text: str) -> None:
    assert states_only(text)


@pytest.mark.parametrize("text", ADVICE)
def test_what_obliges_or_begins_with_a_verb_is_advice(text: str) -> None:
    assert not states_only(text)
