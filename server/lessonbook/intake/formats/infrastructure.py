"""JSON of scanners of infrastructure code."""

from typing import Final

from lessonbook.domain.documents import Unreadable
from lessonbook.domain.findings import Finding
from lessonbook.intake.formats.json_format import JsonFormat, Records
from lessonbook.intake.formats.record_fields import RecordFields, cwes_of, issue, severity_of


def _checkov(record: RecordFields, _around: RecordFields) -> Finding:
    name = record.text("check_name")
    rule = record.text("check_id")
    resource = record.text("resource")
    return issue(
        "checkov",
        rule=rule,
        message=f"{name} ({resource})" if resource else name,
        file=record.text("repo_file_path", "file_path").removeprefix("/"),
        line=record.number("file_line_range.0"),
        severity=severity_of(record.text("severity")),
        category="security" if rule.startswith("CKV_SECRET") else "infrastructure",
        keys=[record.text("bc_check_id")],
        help_text=name,
    )


def _kics(record: RecordFields, around: RecordFields) -> Finding:
    actual, expected = record.text("actual_value"), record.text("expected_value")
    said = ". ".join(filter(None, (around.text("query_name"), actual, expected and f"Expected: {expected}")))
    return issue(
        "kics",
        rule=around.text("query_id"),
        message=said or around.text("description"),
        file=record.text("file_name"),
        line=record.number("line"),
        severity=severity_of(around.text("severity")),
        category="infrastructure",
        keys=cwes_of(around.texts("cwe"), bare=True),
        mark=record.text("similarity_id"),
        help_text=around.text("description"),
    )


def _tfsec(record: RecordFields, _around: RecordFields) -> Finding | None:
    if record.value("passed") is True or record.text("status") in ("passed", "ignored", "1"):
        return None
    legacy = record.text("legacy_rule_id")
    return issue(
        "tfsec",
        rule=record.text("long_id", "rule_id"),
        message=record.text("description", "rule_description"),
        file=record.text("location.filename"),
        line=record.number("location.start_line"),
        severity=severity_of(record.text("severity")),
        category="infrastructure",
        keys=[f"tfsec:{name}" for name in (record.text("rule_id"), legacy) if name],
        help_text=_sentence(record.text("resolution")),
        why=_sentence(record.text("impact")),
    )


def _tflint(record: RecordFields, _around: RecordFields) -> Finding:
    return issue(
        "tflint",
        rule=record.text("rule.name"),
        message=record.text("message"),
        file=record.text("range.filename"),
        line=record.number("range.start.line"),
        severity=severity_of(record.text("rule.severity")),
        category="infrastructure",
    )


def misconfiguration(record: RecordFields, around: RecordFields) -> Finding | None:
    """Return the finding in a misconfiguration of Trivy's, if the check failed.

    Raises:
        Unreadable: it has no id.
    """
    if record.text("Status") not in ("", "FAIL"):
        return None
    rule = record.text("AVDID", "ID")
    if not rule:
        raise Unreadable("has no id")
    return issue(
        "trivy",
        rule=rule,
        message=record.text("Message", "Title", "Description"),
        file=around.text("Target"),
        line=record.number("CauseMetadata.StartLine"),
        severity=severity_of(record.text("Severity")),
        category="infrastructure",
        keys=[f"trivy:{name}" for name in record.texts("ID", "AVDID")],
        help_text=_sentence(record.text("Resolution")),
        why=_sentence(record.text("Description")),
    )


MISCONFIGURATION: Final = (
    *("ID", "AVDID", "Title", "Description", "Message", "Resolution", "Severity", "Status"),
    "CauseMetadata.StartLine",
)


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


_CHECKOV_RECORD: Final = (
    *("check_id", "bc_check_id", "check_name", "severity", "resource", "file_path", "repo_file_path"),
    "file_line_range",
)

FORMATS: Final = (
    JsonFormat(
        kind="checkov",
        name="Checkov JSON",
        known_by=("check_type|results", "passed|failed|checkov_version"),
        advice="give what `checkov --output json` wrote",
        records=(Records("results.failed_checks.*", _CHECKOV_RECORD, _checkov),),
    ),
    JsonFormat(
        kind="kics",
        name="KICS JSON",
        known_by=("queries|files_scanned", "queries|kics_version"),
        advice="give what `kics scan --report-formats json` wrote",
        records=(
            Records(
                "queries.*.files.*",
                ("file_name", "line", "similarity_id", "actual_value", "expected_value"),
                _kics,
            ),
        ),
        around=(
            *("queries.*.query_name", "queries.*.query_id", "queries.*.severity", "queries.*.description"),
            "queries.*.cwe",
        ),
    ),
    JsonFormat(
        kind="tfsec",
        name="tfsec JSON",
        known_by=("results.rule_id|results.location|results.rule_provider", "results.rule_id|results.long_id"),
        advice="give what `tfsec --format json` wrote",
        records=(
            Records(
                "results.*",
                (
                    *("rule_id", "long_id", "legacy_rule_id", "rule_description", "description", "impact"),
                    *("resolution", "severity", "status", "passed", "location.filename", "location.start_line"),
                ),
                _tfsec,
            ),
        ),
    ),
    JsonFormat(
        kind="tflint",
        name="TFLint JSON",
        known_by=("=issues|errors", "issues.rule.name|issues.range"),
        advice="give what `tflint --format json` wrote",
        records=(
            Records(
                "issues.*",
                ("rule.name", "rule.severity", "message", "range.filename", "range.start.line"),
                _tflint,
            ),
        ),
    ),
)
