"""JSON of scanners that search for secrets. The secrets in these files are never read."""

from typing import Final

from lessonbook.domain.documents import Unreadable, object_of
from lessonbook.domain.findings import Finding
from lessonbook.domain.vocabulary import Severity
from lessonbook.intake.formats.json_format import JsonFormat, Records
from lessonbook.intake.formats.record_fields import RecordFields, issue


def secret(
    tool: str,
    *,
    rule: str,
    name: str,
    file: str,
    line: int | None,
    severity: Severity | None = None,
    mark: str = "",
) -> Finding:
    """Return the finding of a secret in code, worded the same for all tools: `name` says of what kind it is.

    Raises:
        Unreadable: it has neither rule nor name.
    """
    if not rule and not name:
        raise Unreadable("names no rule")
    return issue(
        tool,
        rule=rule or name,
        message=f"Secret in the code: {name or rule}",
        file=file,
        line=line,
        severity=severity,
        category="security",
        keys=["CWE-798"],
        mark=mark,
    )


def _gitleaks(record: RecordFields, _around: RecordFields) -> Finding:
    return secret(
        "gitleaks",
        rule=record.text("RuleID", "rule"),
        name=record.text("Description", "rule"),
        file=record.text("File", "file"),
        line=record.number("StartLine", "lineNumber"),
        mark=record.text("Fingerprint"),
    )


def _trufflehog(record: RecordFields, _around: RecordFields) -> Finding:
    sources = object_of(record.value("SourceMetadata.Data"))
    place = RecordFields(object_of(next(iter(sources.values()), None)))
    name = record.text("DetectorName")
    return secret(
        "trufflehog",
        rule=name,
        name=name,
        file=place.text("file", "path"),
        line=place.number("line"),
        severity="critical" if record.value("Verified") is True else None,
    )


def _trufflehog_2(record: RecordFields, _around: RecordFields) -> Finding:
    name = record.text("reason")
    return secret("trufflehog", rule=name, name=name, file=record.text("path"), line=None)


def _detect_secrets(record: RecordFields, around: RecordFields) -> Finding | None:
    if record.value("is_secret") is False:  # audited by a person
        return None
    name = record.text("type")
    return secret(
        "detect-secrets",
        rule=name,
        name=name,
        file=record.text("filename") or around.text("*"),
        line=record.number("line_number"),
    )


_TRUFFLEHOG_ADVICE: Final = "give what `trufflehog --json` wrote"

FORMATS: Final = (
    JsonFormat(
        kind="gitleaks",
        name="Gitleaks JSON",
        known_by=("RuleID|File|Match", "RuleID|File|Secret", "offender|rule|file"),
        advice="give what `gitleaks --report-format json` wrote",
        records=(
            Records(
                "",
                ("RuleID", "Description", "File", "StartLine", "Fingerprint", "rule", "file", "lineNumber"),
                _gitleaks,
            ),
        ),
    ),
    JsonFormat(
        kind="trufflehog",
        name="TruffleHog JSON",
        known_by=("SourceMetadata|DetectorName",),
        advice=_TRUFFLEHOG_ADVICE,
        records=(Records("", ("SourceMetadata.Data", "DetectorName", "Verified"), _trufflehog),),
    ),
    JsonFormat(
        kind="trufflehog",
        name="TruffleHog JSON",
        known_by=("stringsFound|reason|path",),
        advice=_TRUFFLEHOG_ADVICE,
        records=(Records("", ("reason", "path"), _trufflehog_2),),
    ),
    JsonFormat(
        kind="detect-secrets",
        name="a detect-secrets baseline",
        known_by=("plugins_used|results",),
        advice="give what `detect-secrets scan` wrote",
        records=(Records("results.*.*", ("type", "filename", "line_number", "is_secret"), _detect_secrets),),
    ),
)
