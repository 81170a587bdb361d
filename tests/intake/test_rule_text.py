"""Only a sentence that says what to do is advice; titles, reports of the tool and references are not."""

import pytest

from lessonbook.intake.rule_text import choose_words, is_advice, names_instance


@pytest.mark.parametrize(
    "sentence",
    [
        "Avoid the spread operator, since it copies the whole array before a method is called.",
        "Add HEALTHCHECK instruction to the container image",
        "Pin actions to a full commit hash",
        "Firewall should not allow port 22 from any address",
        "Never use eval on user input",
        "Make sure that the certificate is verified",
        "Instead of catching all exceptions, catch only those that are expected",
        "A class should not have more than ten methods",
    ],
)
def test_an_imperative_or_an_obligation_is_advice(sentence: str):
    assert is_advice(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "overly broad permissions",
        "Reliance on default encoding.",
        "Request validation is disabled.",
        "Emitted when user-controlled input can be passed into a query.",
        "Verifies no untrusted data is used in database queries.",
        "Reports magic numbers.",
        "Disallow missing React when using JSX",
        "This rule checks that a name must be short",
        "Use of assert detected.",
        "Return value of function is ignored",
        "Switch statement found where default case is missing.",
        "For more information see CVE-2031-1001.",
        "Rename `{name}` to something that is used",
        "Add the annotation `app/<container-name>` to the pod",
    ],
)
def test_what_the_tool_does_a_problem_or_a_reference_is_no_advice(sentence: str):
    assert not is_advice(sentence)


def test_the_words_before_advice_are_left_out():
    page = "The issue is... The container runs as root.\nYou can resolve this by... Set `runAsNonRoot` to `true`"
    assert choose_words(help_text=page, short="Container runs as root", full="").text == "Set `runAsNonRoot` to `true`"


def test_a_text_that_quotes_a_name_is_of_one_place():
    assert names_instance("Rename the variable 'total' to snake case")
    assert not names_instance("Rename the variable to snake case, don't abbreviate")
