"""What a finding names decides which rule answers: dependencies, rule ids, infrastructure, weaknesses."""

import pytest

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.classify.rule_of_finding import attribute, broad_weakness
from lessonbook.domain.findings import Finding

CATALOGUE = load_catalogue()


def answer(*keys: str, description: str = "seen at one place", **about: str) -> str:
    finding = Finding(description, rule_id=keys[0] if keys else "", **about)
    named = [CATALOGUE.canonical(key) for key in keys]
    rule = attribute(finding, named, CATALOGUE).rule
    return rule.id if rule else ""


@pytest.mark.parametrize(
    "keys",
    [
        ["trivy:CVE-2031-1001/alphalib"],
        ["CVE-2031-1001", "CWE-79"],
        ["GO-2031-0001"],
        ["snyk:SNYK-JS-LODASH-567746", "CWE-1321"],
        ["RUSTSEC-2031-0001"],
        ["osv-scanner:PYSEC-2031-12"],
        ["grype:GHSA-aaaa-bbbb-cccc"],
        ["npm-audit:minimist"],
    ],
)
def test_a_known_vulnerability_of_a_package_is_a_matter_of_keeping_it_current(keys: list[str]) -> None:
    assert answer(*keys) == "vulnerable-dependency"


def test_a_package_or_a_lock_file_shows_a_dependency_too() -> None:
    assert answer(package="alphalib") == "vulnerable-dependency"
    assert answer("T1", file="app/package-lock.json", description="A vulnerable version") == "vulnerable-dependency"
    assert answer(description="Upgrade alphalib, it has CVE-2031-1001") == "vulnerable-dependency"


def test_a_weakness_in_a_manifest_or_an_infrastructure_id_is_no_vulnerable_package() -> None:
    assert answer("bandit:B105", file="setup.py") == "hardcoded-credentials"
    assert answer("snyk:SNYK-CC-K8S-10") != "vulnerable-dependency"
    assert answer(description="The importer fails like the one of CVE-2031-1001 did") == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("zizmor:zizmor/unpinned-uses", "zizmor:unpinned-uses"),
        ("clippy:clippy::unwrap_used", "clippy:unwrap_used"),
        ("checkstyle:com.puppycrawl.tools.checkstyle.checks.coding.MagicNumberCheck", "checkstyle:MagicNumber"),
        ("findsecbugs:SQL_INJECTION_JDBC", "spotbugs:SQL_INJECTION_JDBC"),
        ("java:S2077", "sonarqube:S2077"),
        ("microsoft-r-visual-c-compiler:CA2100", "roslyn:CA2100"),
        ("semgrep-oss:python.lang.security.audit.eval-detected", "semgrep:eval-detected"),
        ("lgtm.com:com.lgtm/python-queries:py/unused-import", "codeql:py/unused-import"),
        ("eslint:@typescript-eslint/no-throw-literal", "eslint:@typescript-eslint/only-throw-error"),
    ],
)
def test_one_rule_is_known_by_its_prefixes_its_tools_names_and_its_older_name(one: str, other: str) -> None:
    assert answer(one) == answer(other) != ""
    assert CATALOGUE.canonical(one) == CATALOGUE.canonical(other)


def test_every_finding_of_a_secrets_scanner_has_one_lesson() -> None:
    assert answer("gitleaks:aws-access-token") == answer(tool="Gitleaks") == "hardcoded-credentials"


def test_an_equal_id_of_another_tool_counts_where_it_means_one_thing_and_fits_the_file() -> None:
    assert answer("newlint:no-eval", file="src/a.js") == answer("eslint:no-eval")
    assert answer("newlint:index") == ""


def test_a_rule_of_layout_has_no_lesson_and_its_words_are_not_asked() -> None:
    found = attribute(Finding("Missing semicolon"), ["checkstyle:Indentation"], CATALOGUE)
    assert (found.rule, found.is_known) == (None, True)


def test_the_words_of_an_infrastructure_check_go_before_its_weakness() -> None:
    about = {"file": "main.tf", "tool": "KICS"}
    ssh = answer("kics:q1", "CWE-732", rule_title="SSH Is Open To The World", **about)
    network = answer("kics:q2", "CWE-307", rule_title="Default Network", **about)
    assert (ssh, network) == ("open-ingress", "default-network-unused")
    assert answer("kics:q3", "CWE-307", rule_title="Something quite new", **about) == ""


def test_a_broad_weakness_counts_only_where_nothing_else_is_known() -> None:
    finding = Finding("seen at one place")
    assert answer("T1", "CWE-20") == answer("T1", "owasp:A03:2021") == ""
    assert broad_weakness(finding, ["CWE-20"], CATALOGUE) is CATALOGUE.find("CWE-20")
    assert answer("T1", "CWE-20", "CWE-89") == "sql-injection"


def test_a_lesson_for_other_languages_does_not_answer() -> None:
    rule = CATALOGUE.find("bandit:B610")
    assert rule is not None
    assert answer("bandit:B610", file="app/views.py") == rule.id
    assert answer("bandit:B610", file="app/views.go") == ""
