"""Exact names: made, read and spelled in one place."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.lesson_names import (
    catalogue_name,
    content_hash,
    is_well_formed,
    issue_name,
    kind_of,
    name_of_issue,
    names_rule,
    rule_name,
    text_name,
    value_of,
)

SERVER = Path(__file__).parents[2] / "server" / "lessonbook"


def test_names_are_stored_so_they_stay_as_they_are() -> None:
    assert rule_name("bandit:B608") == "rule:bandit:B608"
    assert catalogue_name("sql-injection") == "catalogue:sql-injection"
    assert text_name("Close it, always!") == "text:f5dd1c59ec39c8a10391764a37fc9a16"
    assert issue_name("Order 17 hangs at api.py:33:7") == "issue:27588e57fcbf4adaf4ceaf8ee5006c3c"
    assert issue_name("42") == "issue:73475cb40a568e8da8a045ced110137e"


@given(st.text(max_size=80))
def test_a_name_says_its_kind_and_its_value(text: str) -> None:
    for make, kind in ((rule_name, "rule"), (catalogue_name, "catalogue")):
        assert (kind_of(make(text)), value_of(make(text))) == (kind, text)
    assert (kind_of(text_name(text)), value_of(text_name(text))) == ("text", content_hash(text))
    assert kind_of(issue_name(text)) == "issue"
    assert all(is_well_formed(make(text)) for make in (text_name, issue_name))


def test_an_issue_is_named_by_its_rule_before_its_words() -> None:
    assert name_of_issue("CWE-89", "It broke") == rule_name("CWE-89")
    assert name_of_issue("", "It broke") == issue_name("It broke")


def test_names_of_rules_are_told_from_names_of_words() -> None:
    made = [make("x") for make in (rule_name, catalogue_name, text_name, issue_name)]
    assert [names_rule(name) for name in made] == [True, True, False, False]


@pytest.mark.parametrize("name", ["", "junk", "rule", "rule:", "text:no-hash", "catalogue:a b", "lesson:x", "issue:12"])
def test_what_is_not_a_name_is_not_well_formed(name: str) -> None:
    assert not is_well_formed(name)


@pytest.mark.parametrize("name", ["rule:tool:X1", "catalogue:sql-injection", "text:" + "0a" * 16])
def test_what_another_database_exported_is_well_formed(name: str) -> None:
    assert is_well_formed(name)


@given(st.text(max_size=80))
def test_the_hash_of_a_text_ignores_case_punctuation_and_white_space(text: str) -> None:
    assert content_hash(text.lower()) == content_hash(f"  {text.lower()} !? \n")
    assert content_hash("Close it, always!") == content_hash("close   IT always")
    assert content_hash("Close it") != content_hash("Closeit")


def test_no_other_module_spells_a_prefix() -> None:
    spelt = re.compile(r"""["'](?:rule|catalogue|text|issue):""")
    found = [
        f"{file.relative_to(SERVER)}:{number}"
        for file in SERVER.rglob("*.py")
        if file.name != "lesson_names.py"
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if spelt.search(line)
    ]
    assert found == []
