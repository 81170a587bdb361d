"""Findings in the own JSON of scanners: `ruff check --output-format json` and `bandit -f json`."""

from typing import Final

from lessonbook.domain.documents import checked, index_of, object_of, text_of
from lessonbook.domain.findings import Finding, Reading
from lessonbook.domain.vocabulary import Severity
from lessonbook.intake.fields import line_in, message_in, path_in
from lessonbook.intake.json_records import Layout, open_records
from lessonbook.intake.json_values import wanted
from lessonbook.intake.report_file import ReportFile
from lessonbook.intake.sarif_rules import canonical_rule_id, unique

_SEVERITIES: Final[dict[str, Severity]] = {"HIGH": "high", "MEDIUM": "medium", "LOW": "low"}
_CWE_MAX: Final = 999_999


def open_ruff(file: ReportFile) -> Reading:
    """Return the findings of a file written by `ruff check --output-format json`, which has no severities.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    return open_records(file, _RUFF)


def open_bandit(file: ReportFile) -> Reading:
    """Return the findings of a file written by `bandit -f json`, with bandit's own severities.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    return open_records(file, _BANDIT)


def _rule(tool: str, value: object) -> str:
    return checked(canonical_rule_id(tool, text_of(value).strip()), "rule id", max_chars=200)


def _read_ruff(record: dict[str, object]) -> Finding:
    rule_id = _rule("ruff", record.get("code"))
    return Finding(
        description=message_in(record.get("message")),
        file=path_in(text_of(record.get("filename"))),
        line=line_in(object_of(record.get("location")).get("row")),
        rule_id=rule_id,
        keys=unique([rule_id]),
    )


def _read_bandit(record: dict[str, object]) -> Finding:
    rule_id = _rule("bandit", record.get("test_id"))
    cwe = index_of(object_of(record.get("issue_cwe")).get("id"))
    return Finding(
        description=message_in(record.get("issue_text")),
        severity=_SEVERITIES.get(text_of(record.get("issue_severity"))),
        category="security",
        file=path_in(text_of(record.get("filename"))),
        line=line_in(record.get("line_number")),
        rule_id=rule_id,
        keys=unique([rule_id, f"CWE-{cwe}" if cwe and cwe <= _CWE_MAX else ""]),
    )


_RUFF: Final = Layout(
    kind="ruff",
    lists=(),
    shape=wanted("code", "message", "filename", location=wanted("row")),
    advice="give what `ruff check --output-format json` wrote",
    read=_read_ruff,
)
_BANDIT: Final = Layout(
    kind="bandit",
    lists=("results",),
    shape=wanted("test_id", "issue_text", "issue_severity", "filename", "line_number", issue_cwe=wanted("id")),
    advice="give what `bandit -f json` wrote",
    read=_read_bandit,
)
