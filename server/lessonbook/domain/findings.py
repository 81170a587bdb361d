"""Findings: what the readers of report files return."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the command line knows the kinds of files before it needs pydantic
    from lessonbook.domain.vocabulary import Category, Severity

_Linters = Literal["eslint", "golangci-lint", "hadolint", "phpstan", "pylint", "rubocop", "shellcheck", "stylelint"]
_LinterFiles = Literal["checkstyle", "pmd", "cpd", "spotbugs", "cppcheck", "lines"]
_TestFiles = Literal["trx", "xunit", "nunit", "tap", "gotest", "jest", "mocha", "mochawesome", "playwright"]
_Compilers = Literal["cargo", "mypy", "pyright"]
_CodeScanners = Literal["brakeman", "code-climate", "gitlab", "gosec", "semgrep", "sonarqube"]
_InfrastructureScanners = Literal["checkov", "kics", "tfsec", "tflint", "trivy"]
_SecretScanners = Literal["detect-secrets", "gitleaks", "trufflehog"]
_Audits = Literal["npm-audit", "osv-scanner", "pip-audit", "yarn-audit"]
_PackageScanners = Literal["dependency-check", "govulncheck", "grype", "snyk"]

_Others = Literal["sarif", "junit", "pytest", "ruff", "bandit", "review", "text", _LinterFiles, _TestFiles]
_Code = Literal[_Linters, _Compilers, _CodeScanners, _InfrastructureScanners, _SecretScanners]

FileKind = Literal[_Others, _Code, _Audits, _PackageScanners]
"""The formats of report files."""

ReportKind = Literal["auto", FileKind]
"""A format as a caller names it; `auto`: found by the content."""

REFUSED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class RuleMetadata:
    """A scanner's own documentation of a rule: text by the scanner's authors, never of a finding.

    `text` is its advice, `why` the reason for it, `keys` all names of the rule (`bandit:B608`, `CWE-89`), `source` the
    whole documentation that the advice is taken from.
    """

    text: str
    why: str = ""
    keys: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One concrete problem, from any reporter.

    `fingerprint` is the scanner's own, the same for each report of one problem; empty without one. `is_new` is false if
    the file says that the finding existed before this run. `lesson` and `why` are the reporter's offer of a general
    rule; `metadata` is the scanner's. `tool` is the scanner, `rule_title` its name for the kind of problem, constant
    over its findings. Of a vulnerable dependency, `package` is its name, `ecosystem` its origin as OSV spells it
    (`npm`, `PyPI`, `Go`) and `fixed_version` the versions without the vulnerability.
    """

    description: str
    severity: Severity | None = None
    category: Category | None = None
    file: str = ""
    line: int | None = None
    rule_id: str = ""
    keys: tuple[str, ...] = ()
    fingerprint: str = ""
    is_new: bool = True
    lesson: str = ""
    why: str = ""
    metadata: RuleMetadata | None = None
    tool: str = ""
    rule_title: str = ""
    package: str = ""
    ecosystem: str = ""
    fixed_version: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that could not be read: where it stands and what is wrong with it."""

    place: str
    reason: str


Outcome = Finding | Refused | None
"""The result of one record of a file; None: it is not a problem, or was resolved before, and is left out."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A report file that is well-formed to its end, and is read record by record by `outcomes`.

    `records` is the expected number of outcomes, for a progress bar; a note on a part that is not read may add to it.
    A caller that does not read to the end closes `outcomes`, which closes the file. `name` is what people call the
    format, and `notes` are what the file says of the run as a whole: that the scanner crashed.
    """

    kind: FileKind
    records: int
    outcomes: Generator[Outcome]
    name: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Intake:
    """Everything one file held: what was read, in order, and what was refused."""

    findings: list[Finding] = field(default_factory=list[Finding])
    refused: list[Refused] = field(default_factory=list[Refused])

    def refuse(self, place: str, reason: str) -> None:
        """Note a record that was refused. See `note_refused`."""
        note_refused(self.refused, Refused(place, reason))


def note_refused(refused: list[Refused], record: Refused) -> None:
    """Append a refused record; after `REFUSED_MAX` of them, one note stands for all others."""
    if len(refused) < REFUSED_MAX:
        refused.append(record)
    elif len(refused) == REFUSED_MAX:
        refused.append(Refused(record.place, "this record and others after it were refused too"))


def collect(reading: Reading) -> Intake:
    """Return all records of a file at once: for files that are known to be small."""
    intake = Intake()
    for outcome in reading.outcomes:
        if isinstance(outcome, Finding):
            intake.findings.append(outcome)
        elif outcome is not None:
            note_refused(intake.refused, outcome)
    return intake
