"""Findings in the own JSON of scanners: `ruff check --output-format json` and `bandit -f json`."""

from typing import Final

from lessonbook.domain.documents import Unreadable, checked, index_of, object_of, text_of
from lessonbook.domain.findings import Finding, Reading
from lessonbook.domain.vocabulary import Severity
from lessonbook.intake.json_records import Layout, open_records
from lessonbook.intake.report_file import ReportFile
from lessonbook.intake.sarif_rules import canonical_rule_id, unique

MAX_DESCRIPTION_CHARS: Final = 20_000
LINE_MAX: Final = 10_000_000

_SEVERITIES: Final[dict[str, Severity]] = {"HIGH": "high", "MEDIUM": "medium", "LOW": "low"}
_CWE_MAX: Final = 999_999


def open_ruff(file: ReportFile) -> Reading:
    """Return the findings of a file written by `ruff check --output-format json`; ruff leaves the severity open.

    Raises:
        InvalidInput: this is no such file.
    """
    return open_records(file, _RUFF)


def open_bandit(file: ReportFile) -> Reading:
    """Return the findings of a file written by `bandit -f json`, in bandit's own severity.

    Raises:
        InvalidInput: this is no such file.
    """
    return open_records(file, _BANDIT)


def path_in(text: str) -> str:
    """Return a path as it is kept: on one line, with slashes, without `./` before it.

    Raises:
        Unreadable: it cannot be stored, or has more than 1,000 characters.
    """
    path = " ".join(checked(text, "file path").split()).replace("\\", "/").removeprefix("./")
    return checked(path, "file path", max_chars=1000)


def line_in(value: object) -> int | None:
    """Return a line number from 1 up, or None."""
    line = index_of(value)
    return line if line and line <= LINE_MAX else None


def _message(value: object) -> str:
    message = checked(text_of(value), "message").strip()
    if not message:
        raise Unreadable("has no message")
    return message[:MAX_DESCRIPTION_CHARS]


def _rule(tool: str, value: object) -> str:
    return checked(canonical_rule_id(tool, text_of(value).strip()), "rule id", max_chars=200)


def _read_ruff(record: dict[str, object]) -> Finding:
    rule_id = _rule("ruff", record.get("code"))
    return Finding(
        description=_message(record.get("message")),
        file=path_in(text_of(record.get("filename"))),
        line=line_in(object_of(record.get("location")).get("row")),
        rule_id=rule_id,
        keys=unique([rule_id]),
    )


def _read_bandit(record: dict[str, object]) -> Finding:
    rule_id = _rule("bandit", record.get("test_id"))
    cwe = index_of(object_of(record.get("issue_cwe")).get("id"))
    return Finding(
        description=_message(record.get("issue_text")),
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
    shape={"code": None, "message": None, "filename": None, "location": {"row": None}},
    advice="give what `ruff check --output-format json` wrote",
    read=_read_ruff,
)
_BANDIT: Final = Layout(
    kind="bandit",
    lists=("results",),
    shape={
        "test_id": None,
        "issue_text": None,
        "issue_severity": None,
        "issue_cwe": {"id": None},
        "filename": None,
        "line_number": None,
    },
    advice="give what `bandit -f json` wrote",
    read=_read_bandit,
)
