"""The curated rules are well formed, cover what they promise and are found by any spelling."""

import re
from collections import Counter
from pathlib import Path

import pytest

from lessonbook.errors import ConfigError
from lessonbook.models.vocabulary import CATEGORIES, SEVERITIES, SEVERITY_RANK
from lessonbook.refinery.catalogue import CatalogueRule, canonical_key, load_catalogue, tool_of
from lessonbook.refinery.roster import load_roster
from lessonbook.refinery.screen import screen, screen_why

RULES = load_catalogue().rules
KEYS = [key for rule in RULES for key in rule.keys]

CWE_TOP_25 = {
    2023: "787 79 89 416 78 20 125 22 352 434 862 476 287 190 502 77 119 798 918 306 362 269 94 863 276",
    2024: "79 787 89 352 22 125 78 416 862 434 94 20 77 287 269 502 200 863 918 119 476 798 190 400 306",
    2025: "79 89 352 862 787 22 416 125 78 94 120 434 476 121 502 122 863 20 284 200 306 918 77 639 770",
}
KEY_FORMS = {
    "CWE": r"CWE-[1-9]\d{0,3}",
    "bandit": r"bandit:B[1-7]\d\d",
    "ruff": r"ruff:[A-Z]{1,5}\d{3,4}",
    "eslint": r"eslint:(@?[a-z0-9-]+/)?[a-z0-9-]+",
    "semgrep": r"semgrep:[A-Za-z0-9-]+",
    "codeql": r"codeql:(actions|js|py)/[a-z0-9/-]+",
    "checkov": r"checkov:CKV2?_[A-Z0-9]+_\d+",
    "kube-linter": r"kube-linter:[a-z0-9-]+",
    "hadolint": r"hadolint:DL\d{4}",
    "shellcheck": r"shellcheck:SC\d{4}",
    "squawk": r"squawk:[a-z-]+",
    "sqlfluff": r"sqlfluff:[A-Z]{2}\d\d",
    "owasp-llm": r"owasp-llm:LLM(0[1-9]|10)",
    "owasp-api": r"owasp-api:API([1-9]|10)",
    "axe": r"axe:[a-z-]+",
}
RISKY_TEXT = re.compile(
    r"https?://|www\.|\S@\S+\.\w|\b(?:pip|npm|apt|curl|wget|sudo) (?:install|-)|ignore (?:all|previous|the above)"
    r"|you (?:must|are) now|[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]",
    re.IGNORECASE,
)


def write(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"version = 1\n{body}", encoding="utf-8")
    return path


def entry(rule_id: str = "a-rule", **fields: str) -> str:
    values = {
        "id": f'"{rule_id}"',
        "keys": "[]",
        "severity": '"low"',
        "category": '"other"',
        "text": f'"Do {rule_id}."',
        "why": '"Because."',
    } | fields
    return "[[rule]]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())


def test_there_are_enough_rules():
    assert len(RULES) >= 130


def test_ids_keys_and_texts_are_unique():
    for values in ([rule.id for rule in RULES], KEYS, [rule.text for rule in RULES], [rule.why for rule in RULES]):
        assert [value for value, count in Counter(value.casefold() for value in values).items() if count > 1] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_is_a_short_plain_sentence(rule: CatalogueRule):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.id)
    assert rule.severity in SEVERITIES
    assert rule.category in CATEGORIES
    assert 30 <= len(rule.text) <= 400
    assert 20 <= len(rule.why) <= 250
    for sentence in (rule.text, rule.why):
        assert sentence.endswith(".")
        assert sentence[0].isupper() or sentence[0] == "`"
        assert sentence.count("`") % 2 == 0
        assert RISKY_TEXT.search(sentence) is None
    assert len(rule.words) <= 8
    assert all(word == word.casefold() for word in rule.words + rule.languages)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_passes_the_lint_of_lessons(rule: CatalogueRule):
    assert screen(rule.text).reasons == ()
    assert screen_why(rule.why).reasons == ()


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_the_form_of_its_tool_and_is_canonical(key: str):
    assert re.fullmatch(KEY_FORMS[tool_of(key)], key)
    assert canonical_key(key) == key


@pytest.mark.parametrize("year", CWE_TOP_25)
def test_the_cwe_top_25_is_covered(year: int):
    numbers = CWE_TOP_25[year].split()
    assert len(set(numbers)) == 25
    assert [number for number in numbers if f"CWE-{number}" not in KEYS] == []


def test_every_bandit_family_is_covered():
    found = {key.removeprefix("bandit:B") for key in KEYS if tool_of(key) == "bandit"}
    assert {number[0] for number in found} == set("1234567")
    assert len(found) >= 70


def test_bandit_and_ruff_twins_share_a_rule():
    catalogue = load_catalogue()
    twins = [(key, f"ruff:S{key[-3:]}") for key in KEYS if tool_of(key) == "bandit"]
    apart = [
        (bandit, ruff) for bandit, ruff in twins if ruff in KEYS and catalogue.find(bandit) is not catalogue.find(ruff)
    ]
    assert apart == []


def test_agents_named_by_rules_are_in_the_roster():
    names = {agent.name for agent in load_roster().agents}
    assert {agent for rule in RULES for agent in rule.agents} <= names


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("cwe89", "CWE-89"),
        ("CWE 89", "CWE-89"),
        ("cwe-089", "CWE-89"),
        ("CWE_89", "CWE-89"),
        ("cwe:89", "CWE-89"),
        ("external/cwe/cwe-089", "CWE-89"),
        ("CWE-89: Improper Neutralization", "CWE-89"),
        ("B608", "bandit:B608"),
        ("b608", "bandit:B608"),
        ("Bandit:b608", "bandit:B608"),
        ("S608", "ruff:S608"),
        ("B006", "ruff:B006"),
        ("B904", "ruff:B904"),
        ("plw1510", "ruff:PLW1510"),
        ("Ruff:s608", "ruff:S608"),
        ("no-eval", "eslint:no-eval"),
        ("ESLint:no-eval", "eslint:no-eval"),
        ("react-hooks/exhaustive-deps", "eslint:react-hooks/exhaustive-deps"),
        ("typescript-eslint:no-floating-promises", "eslint:@typescript-eslint/no-floating-promises"),
        ("@typescript-eslint/no-explicit-any", "eslint:@typescript-eslint/no-explicit-any"),
        ("python.lang.security.audit.eval-detected", "semgrep:eval-detected"),
        ("python.lang.security.audit.eval-detected.eval-detected", "semgrep:eval-detected"),
        ("semgrep:python.lang.security.audit.eval-detected", "semgrep:eval-detected"),
        ("eval-detected", "semgrep:eval-detected"),
        ("latest-tag", "kube-linter:latest-tag"),
        ("DL3007", "hadolint:DL3007"),
        ("SC2086", "shellcheck:SC2086"),
        ("CKV_K8S_14", "checkov:CKV_K8S_14"),
        ("AM05", "sqlfluff:AM05"),
        ("py/sql-injection", "codeql:py/sql-injection"),
        ("LLM01:2025", "owasp-llm:LLM01"),
        (" W0611 ", "pylint:W0611"),
    ],
)
def test_a_key_is_known_by_its_usual_spellings(written: str, canonical: str):
    assert canonical_key(written) == canonical


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (" some-house-rule ", "some-house-rule"),
        ("SonarQube:S1234x", "sonarqube:S1234x"),
        ("MyTool: Rule-1", "mytool:Rule-1"),
        ("https://example.org/rule", "https://example.org/rule"),
        ("CVE-2026-1234", "CVE-2026-1234"),
        ("", ""),
    ],
)
def test_an_unknown_id_comes_back_stripped_with_its_tool_in_lower_case(written: str, canonical: str):
    assert canonical_key(written) == canonical
    assert load_catalogue().find(written) is None


def test_spelling_a_key_twice_changes_nothing():
    for written in ("cwe 79", "B101", "x.y.z-rule", "Tool:Rule", "no-eval", "LLM05:2025", "a:b:c"):
        assert canonical_key(canonical_key(written)) == canonical_key(written)


def test_a_rule_is_found_by_any_of_its_keys():
    catalogue = load_catalogue()
    for written in ("CWE-89", "cwe_0089", "B608", "S608", "codeql:py/sql-injection", "catalogue:sql-injection"):
        rule = catalogue.find(written)
        assert rule is not None
        assert rule.id == "sql-injection"


def test_flake8_and_pylint_ids_find_the_rule_of_the_same_code():
    catalogue = load_catalogue()
    assert catalogue.find("flake8:E722") is catalogue.find("ruff:E722") is not None
    assert catalogue.find("W1510") is catalogue.find("ruff:PLW1510") is not None


def test_a_rule_without_keys_has_a_key_of_its_own():
    rule = next(rule for rule in RULES if not rule.keys)
    assert rule.key == f"catalogue:{rule.id}"
    assert load_catalogue().find(rule.key) is rule


def test_tools_are_told_from_keys():
    assert [tool_of(key) for key in ("CWE-89", "bandit:B608", "house-rule")] == ["CWE", "bandit", ""]


def test_a_starter_set_fits_agent_and_stack_and_begins_with_the_gravest():
    chosen = load_catalogue().for_agent("BackendDevelopmentAgent", ["Python", "PostgreSQL"])
    ids = [rule.id for rule in chosen]
    assert "sql-injection" in ids
    assert "naive-datetime" in ids
    assert "rules-of-hooks" not in ids
    assert "prototype-pollution" not in ids
    ranks = [SEVERITY_RANK[rule.severity] for rule in chosen]
    assert ranks == sorted(ranks, reverse=True)


def test_every_agent_of_the_roster_has_a_starter_set_of_its_own():
    for agent in load_roster().agents:
        own = [rule for rule in load_catalogue().for_agent(agent.name) if agent.name in rule.agents]
        assert len(own) >= 3, agent.name


def test_an_agent_no_rule_names_gets_the_rules_of_every_agent():
    catalogue = load_catalogue()
    assert catalogue.for_agent("HouseAgent")[0].severity == "critical"
    assert len(catalogue.for_agent("HouseAgent")) == len(catalogue.rules)


def test_frameworks_stand_for_their_languages():
    ids = {rule.id for rule in load_catalogue().for_agent("FrontendDevelopmentAgent", ["React"])}
    assert "exhaustive-deps" in ids
    assert load_catalogue().for_agent("FrontendDevelopmentAgent", ["cobol"]) != ()


def test_a_directory_and_a_single_file_can_replace_the_catalogue(tmp_path: Path):
    write(tmp_path, "b.toml", entry("second", keys='["CWE-1"]'))
    path = write(tmp_path, "a.toml", entry("first"))
    assert [rule.id for rule in load_catalogue(tmp_path).rules] == ["first", "second"]
    assert [rule.id for rule in load_catalogue(path).rules] == ["first"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (entry(severity='"grave"'), "'severity'"),
        (entry(category='"style"'), "'category'"),
        (entry(colour='"red"'), "'colour'"),
        (entry(keys='["b608"]'), "write 'bandit:B608'"),
        (entry(keys='"CWE-1"'), "'keys'"),
        (entry(text='""'), "'text'"),
        (entry(text=f'"{"x" * 401}"'), "400 at most"),
        (entry("Not_Kebab"), "kebab-case"),
        (entry() + entry(), "'id'"),
        (entry("one", keys='["CWE-1"]') + entry("two", keys='["CWE-1"]'), "which rules.toml: rule one has already"),
        ("rules = []\n", "'rules'"),
        ("rule = 3\n", "'rule'"),
        ("rule = [3]\n", "rule 1"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_file_and_key(tmp_path: Path, body: str, told: str):
    path = write(tmp_path, "rules.toml", body)
    with pytest.raises(ConfigError) as caught:
        load_catalogue(path)
    assert str(caught.value).startswith("rules.toml:")
    assert told in str(caught.value)


def test_a_missing_catalogue_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="no such catalogue"):
        load_catalogue(tmp_path / "nothing")


def test_another_version_of_the_format_is_refused(tmp_path: Path):
    path = tmp_path / "rules.toml"
    path.write_text("version = 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="'version' has to be 1"):
        load_catalogue(path)
