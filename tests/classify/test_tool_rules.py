"""The tables of scanners' rules are whole, and name entries that the catalogue has."""

from collections import Counter
from importlib import resources

import pytest

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.classify.tool_rules import NO_LESSON, all_tool_rules, entries_of, id_of_today
from lessonbook.classify.tools import load_tools, tool_named

FILES = sorted(
    (file for file in (resources.files("lessonbook") / "data" / "rules").iterdir()), key=lambda file: file.name
)
RULES = list(all_tool_rules())


def test_every_rule_names_an_entry_of_the_catalogue_or_none():
    entries = {rule.id for rule in load_catalogue().rules} | {NO_LESSON}
    assert {(rule.tool, rule.id, rule.entry) for rule in RULES if rule.entry not in entries} == set()


def test_no_rule_stands_twice():
    counts = Counter((rule.tool, rule.id.casefold()) for rule in RULES)
    assert {rule: count for rule, count in counts.items() if count > 1} == {}


def test_every_rule_says_in_a_few_words_what_it_finds():
    assert [rule for rule in RULES if not 1 <= len(rule.finds.split()) <= 14] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_table_begins_with_the_version_it_was_taken_from(file):
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    assert first.startswith("# ")
    assert len(first.split()) > 2
    tool = file.name.removesuffix(".tsv")
    assert tool_named(tool) == tool


def test_every_rule_is_found_by_its_id_with_the_tool_before_it():
    catalogue = load_catalogue()
    missing = [
        (rule.tool, rule.id)
        for rule in RULES
        if rule.entry != NO_LESSON and catalogue.find(f"{rule.tool}:{rule.id}") is None
    ]
    assert missing == []


def test_every_tool_that_answers_with_one_entry_names_one_that_there_is():
    for name, tool in load_tools().tool.items():
        assert not tool.entry or load_catalogue().entry(tool.entry), name


def test_an_older_id_leads_to_the_one_of_today():
    assert id_of_today("eslint", "@typescript-eslint/no-throw-literal") == "@typescript-eslint/only-throw-error"
    assert id_of_today("eslint", "no-eval") == "no-eval"
    assert entries_of("a-tool-of-our-own") == {}
