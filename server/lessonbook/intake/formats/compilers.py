"""JSON of compilers and type checkers."""

from typing import Final

from lessonbook.domain.findings import Finding
from lessonbook.domain.vocabulary import Severity
from lessonbook.intake.formats.json_format import JsonFormat, Records
from lessonbook.intake.formats.record_fields import RecordFields, issue, severity_of

_PYRIGHT_SEVERITIES: Final[dict[str, Severity]] = {"error": "medium", "warning": "low"}


def _cargo(record: RecordFields, _around: RecordFields) -> Finding | None:
    if record.text("reason") != "compiler-message" or record.text("message.level") not in ("error", "warning"):
        return None
    code, message = record.text("message.code.code"), record.text("message.message")
    spans = record.each("message.spans")
    span = next((span for span in spans if span.value("is_primary") is True), spans[0] if spans else RecordFields({}))
    if not code and not span.content:  # "aborting due to 2 previous errors", "3 warnings emitted"
        return None
    name = code.removeprefix("clippy::")
    return issue(
        "rustc" if name == code else "clippy",
        rule=name,
        message=message,
        file=span.text("file_name"),
        line=span.number("line_start"),
        severity=severity_of(record.text("message.level")),
    )


def _mypy(record: RecordFields, _around: RecordFields) -> Finding | None:
    if record.text("severity") == "note":
        return None
    message, hint = record.text("message"), record.text("hint")
    return issue(
        "mypy",
        rule=record.text("code"),
        message=f"{message}\n{hint}" if hint else message,
        file=record.text("file"),
        line=record.number("line"),
    )


def _pyright(record: RecordFields, _around: RecordFields) -> Finding | None:
    if record.text("severity") not in _PYRIGHT_SEVERITIES:  # information, unreachable or unused code
        return None
    line = record.number("range.start.line")
    return issue(
        "pyright",
        rule=record.text("rule"),
        message=record.text("message"),
        file=record.text("file", "uri"),
        line=None if line is None else line + 1,
        severity=_PYRIGHT_SEVERITIES[record.text("severity")],
    )


FORMATS: Final = (
    JsonFormat(
        kind="cargo",
        name="JSON messages of cargo",
        known_by=("reason|package_id", "reason|success", "reason|message.spans"),
        advice="give what `cargo clippy --message-format=json` wrote",
        records=(
            Records(
                "",
                (
                    *("reason", "message.level", "message.message", "message.code.code"),
                    *("message.spans.file_name", "message.spans.line_start", "message.spans.is_primary"),
                ),
                _cargo,
            ),
        ),
    ),
    JsonFormat(
        kind="mypy",
        name="mypy JSON",
        known_by=("file|line|message|hint|code|severity",),
        advice="give what `mypy --output json` wrote",
        records=(Records("", ("file", "line", "message", "hint", "code", "severity"), _mypy),),
    ),
    JsonFormat(
        kind="pyright",
        name="Pyright JSON",
        known_by=("generalDiagnostics|summary", "generalDiagnostics|version"),
        advice="give what `pyright --outputjson` wrote",
        records=(
            Records(
                "generalDiagnostics.*",
                ("file", "uri", "severity", "message", "rule", "range.start.line"),
                _pyright,
            ),
        ),
    ),
)
