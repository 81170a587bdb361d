"""Formats that are known but not read, so that an error can name them and say what to use instead."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

_FOR_SARIF: Final = "have it write SARIF"
_FOR_JUNIT: Final = "have it write JUnit XML"


@dataclass(frozen=True, slots=True)
class OtherFormat:
    """A format: its name, the members by which its objects are known, and what to do instead of reporting it."""

    name: str
    members: frozenset[str]
    instead: str = ""


def _known(name: str, members: str, instead: str = "") -> OtherFormat:
    return OtherFormat(name, frozenset(members.split("|")), instead)


_OBJECTS: Final = (
    _known("JSON of detect-secrets", "plugins_used|results"),
    _known("JSON of mocha", "stats|tests|passes|failures", f"{_FOR_JUNIT} (mocha-junit-reporter)"),
    _known("JSON of mochawesome", "stats|results|meta", f"{_FOR_JUNIT} (mocha-junit-reporter)"),
    _known("JSON of Jest or vitest", "numFailedTests|testResults", f"{_FOR_JUNIT} (jest-junit, --reporter=junit)"),
    _known("JSON of Playwright", "config|suites|stats", f"{_FOR_JUNIT} (--reporter=junit)"),
    _known("CTRF", "results|reportFormat", _FOR_JUNIT),
    _known("JSON of gosec", "Issues|Stats", f"{_FOR_SARIF} (-fmt sarif)"),
    _known("JSON of golangci-lint", "Issues|Report", f"{_FOR_SARIF} (--output.sarif.path)"),
    _known("JSON of npm audit", "auditReportVersion|vulnerabilities"),
    _known("JSON of npm audit", "advisories|metadata"),
    _known("JSON of pip-audit", "dependencies|fixes"),
    _known("JSON of Safety", "report_meta|vulnerabilities"),
    _known("JSON of Snyk", "packageManager|vulnerabilities", f"{_FOR_SARIF} (--sarif)"),
    _known("a GitLab security report", "scan|vulnerabilities"),
    _known("a GitLab security report", "remediations|vulnerabilities"),
    _known("JSON of Trivy", "SchemaVersion|Results", f"{_FOR_SARIF} (--format sarif)"),
    _known("JSON of Trivy", "ArtifactName|Results", f"{_FOR_SARIF} (--format sarif)"),
    _known("JSON of Grype", "matches|descriptor", f"{_FOR_SARIF} (-o sarif)"),
    _known("JSON of OSV-Scanner", "results|experimental_config", f"{_FOR_SARIF} (--format sarif)"),
    _known("JSON of SonarQube's API", "issues|paging"),
    _known("JSON of RuboCop", "files|summary|metadata", f"{_FOR_JUNIT} (--format junit)"),
    _known("JSON of RSpec", "examples|summary_line", f"{_FOR_JUNIT} (rspec_junit_formatter)"),
    _known("JSON of Checkov", "check_type|results", f"{_FOR_SARIF} (-o sarif)"),
    _known("JSON of KICS", "kics_version|queries", f"{_FOR_SARIF} (--report-formats sarif)"),
    _known("JSON of Pyright", "generalDiagnostics|summary"),
    _known("JSON of Semgrep", "results|errors|paths", f"{_FOR_SARIF} (--sarif)"),
    _known("JSON of Brakeman", "scan_info|warnings", f"{_FOR_SARIF} (-f sarif)"),
    _known("JSON of PHPStan", "totals|files", f"{_FOR_JUNIT} (--error-format=junit)"),
    _known("a coverage report", "meta|files|totals"),
    _known("a CycloneDX bill of materials", "bomFormat"),
    _known("an SPDX bill of materials", "spdxVersion"),
    _known("a package manifest", "name|dependencies"),
    _known("JSON of pip-audit", "dependencies"),
    _known("an error of GitHub's API", "documentation_url|message", "mend the call that was made"),
)
_ITEMS: Final = (
    _known("JSON of ESLint", "filePath|messages", f"{_FOR_SARIF} (@microsoft/eslint-formatter-sarif)"),
    _known("JSON of Stylelint", "source|warnings", f"{_FOR_JUNIT} (stylelint-junit-formatter)"),
    _known("JSON of hadolint", "code|file|level|line|message", f"{_FOR_SARIF} (-f sarif)"),
    _known("JSON of ShellCheck", "code|file|level|endLine", f"{_FOR_SARIF} (a converter such as shellcheck-sarif)"),
    _known("JSON of Code Climate", "check_name|location"),
    _known("a GitLab code quality report", "fingerprint|location|description"),
    _known("JSON of Pylint", "symbol|message-id"),
    _known("JSON of Gitleaks", "RuleID|Match", f"{_FOR_SARIF} (--report-format sarif)"),
    _known("JSON of TruffleHog", "SourceMetadata|DetectorName"),
    _known("JSON of Cucumber", "elements|keyword", f"{_FOR_JUNIT} (--format junit)"),
    _known("JSON of Checkov", "check_type|results", f"{_FOR_SARIF} (-o sarif)"),
    _known("JSON of `go test`", "Action|Package", f"{_FOR_JUNIT} (gotestsum --junitfile)"),
    _known("JSON of mypy", "file|line|severity|hint", f"{_FOR_JUNIT} (--junit-xml)"),
    _known("JSON of pip-audit", "name|version|vulns"),
)
_ROOTS: Final[dict[str, tuple[str, str]]] = {
    "checkstyle": ("Checkstyle XML", _FOR_SARIF),
    "pmd": ("PMD's XML", f"{_FOR_SARIF} (-f sarif)"),
    "pmd-cpd": ("CPD's XML", ""),
    "BugCollection": ("SpotBugs' XML", f"{_FOR_SARIF} (-sarif)"),
    "TestRun": ("a TRX file of Visual Studio", f"{_FOR_JUNIT} (dotnet test --logger junit)"),
    "test-run": ("NUnit's XML", f"{_FOR_JUNIT} (a JUnit logger)"),
    "test-results": ("NUnit's XML", f"{_FOR_JUNIT} (a JUnit logger)"),
    "assemblies": ("xUnit.net's XML", f"{_FOR_JUNIT} (a JUnit logger)"),
    "testng-results": ("TestNG's own XML", "give its junitreports"),
    "robot": ("Robot Framework's XML", f"{_FOR_JUNIT} (--xunit)"),
    "results": ("Cppcheck's XML", f"{_FOR_SARIF} (--output-format=sarif)"),
    "issues": ("Android lint's XML", f"{_FOR_SARIF} (sarifReport)"),
    "coverage": ("a coverage report", ""),
    "report": ("a coverage report", ""),
    "html": ("an HTML page", "give the file it was made from"),
}
"""Elements at the top of XML files, each with the format's name and what to do instead."""
_ROOT = re.compile(r"<(checkstyle|pmd|BugCollection|TestRun|test-run|test-results|assemblies|testng-results)[\s>]")
"""Those that stand in files without a declaration too, and begin no sentence about a page."""
_PAGE = re.compile(r"<!doctype html\b|<html[\s>]", re.IGNORECASE)
_TAP_HEADING = re.compile(r"^(?:TAP version 1[34]|1\.\.\d{1,9})[ \t\r]*$", re.MULTILINE)
_TAP_RESULT = re.compile(r"^[ \t]{0,40}(?:not ok|ok)\b", re.MULTILINE)
READ: Final = "SARIF, JUnit XML, JSON of bandit, ruff and pytest, GitHub review comments, and text"


def of_object(members: Collection[str]) -> str:
    """Return what a JSON object with these members is and what to do instead; empty where it is not known."""
    return _told(_OBJECTS, members)


def of_item(members: Collection[str]) -> str:
    """Return what a JSON list, or a file of JSON lines, is whose items have these members. See `of_object`."""
    return _told(_ITEMS, members)


def is_page(opening: str) -> bool:
    """Tell whether a file that begins with `opening` is an HTML page."""
    return _PAGE.match(opening) is not None


def of_text(opening: str) -> str:
    """Return what a file is that begins with `opening` and is not JSON. See `of_object`."""
    if _TAP_HEADING.search(opening) and _TAP_RESULT.search(opening):
        return _sentence("TAP", _FOR_JUNIT)
    if is_page(opening):
        return _sentence(*_ROOTS["html"])
    root = _ROOT.match(opening)
    return _sentence(*_ROOTS[root[1]]) if root else ""


def no_junit(root: str) -> str:
    """Return what an XML file is whose first element is `root`, as it is no JUnit report."""
    told = _sentence(*_ROOTS[root]) if root in _ROOTS else ""
    return "is XML, but no JUnit report" + (f": it {told}" if told else "")


def _told(formats: Collection[OtherFormat], members: Collection[str]) -> str:
    found = next((one for one in formats if one.members <= set(members)), None)
    return _sentence(found.name, found.instead) if found else ""


def _sentence(name: str, instead: str) -> str:
    return f"is {name}, which is not read" + (f": {instead}" if instead else "") + f". Read are {READ}"
