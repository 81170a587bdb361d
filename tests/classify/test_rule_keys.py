"""A rule id is known by the many ways scanners and people write it."""

import pytest

from lessonbook.classify.catalogue import canonical_key, load_catalogue
from lessonbook.classify.rule_keys import tool_of


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
        ("LLM06:2025 Excessive Agency", "owasp-llm:LLM06"),
        ("API5:2023 Broken Function Level Authorization", "owasp-api:API5"),
        ("owasp-api:API5", "owasp-api:API5"),
        ("A03:2021", "owasp:A03:2021"),
        ("A3:2021-Injection", "owasp:A03:2021"),
        ("OWASP A10:2021 Server-Side Request Forgery", "owasp:A10:2021"),
        (" W0611 ", "pylint:W0611"),
        ("w0221", "pylint:W0221"),
        ("Pylint:R0801", "pylint:R0801"),
        ("pylint:Arguments-Differ", "pylint:arguments-differ"),
        ("MyPy:Union-Attr", "mypy:union-attr"),
        ("Stylelint:declaration-no-important", "stylelint:declaration-no-important"),
        ("declaration-no-important", "stylelint:declaration-no-important"),
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
        ("LLM06:2023", "llm06:2023"),
        ("API3:2019", "api3:2019"),
        ("A4:2017", "owasp:A04:2017"),
        ("", ""),
    ],
)
def test_an_unknown_id_comes_back_stripped_with_its_tool_in_lower_case(written: str, canonical: str):
    assert canonical_key(written) == canonical
    assert load_catalogue().find(written) is None


def test_spelling_a_key_twice_changes_nothing():
    for written in (
        "cwe 79",
        "B101",
        "x.y.z-rule",
        "Tool:Rule",
        "no-eval",
        "LLM05:2025",
        "A1:2021",
        "API1:2023",
        "a:b:c",
    ):
        assert canonical_key(canonical_key(written)) == canonical_key(written)


def test_flake8_and_pylint_ids_find_the_rule_of_the_same_code():
    catalogue = load_catalogue()
    assert catalogue.find("flake8:E722") is catalogue.find("ruff:E722") is not None
    assert catalogue.find("W1510") is catalogue.find("ruff:PLW1510") is not None


def test_an_everyday_word_is_no_rule_of_a_type_checker():
    catalogue = load_catalogue()
    assert catalogue.find("mypy:index") is not None
    assert catalogue.find("index") is None
    assert canonical_key("override") == "override"


def test_the_name_and_the_code_of_a_pylint_rule_find_the_same_lesson():
    catalogue = load_catalogue()
    assert catalogue.find("pylint:arguments-differ") is catalogue.find("W0221") is not None
    assert catalogue.find("pylint:super-init-not-called") is catalogue.find("pylint:W0231") is not None


def test_tools_are_told_from_keys():
    assert [tool_of(key) for key in ("CWE-89", "bandit:B608", "house-rule")] == ["CWE", "bandit", ""]
