"""JSON of linters of one language."""

from collections.abc import Mapping
from typing import Final

from lessonbook.domain.findings import Finding
from lessonbook.domain.vocabulary import Severity
from lessonbook.intake.formats.json_format import JsonFormat, Records
from lessonbook.intake.formats.record_fields import SEVERITIES, RecordFields, issue, severity_of
from lessonbook.machine.patterns import lazy_pattern

_ESLINT_SEVERITIES: Final[Mapping[str, Severity]] = {"2": "high", "1": "medium"}
_LEADING_RULE = lazy_pattern(r"([A-Za-z][A-Za-z0-9-]{1,40}): (?=\S)")
"""The rule of a linter behind golangci-lint, as it begins a message: `SA1019: …`, `exported: …`."""
_RULES_IN_MESSAGES: Final = frozenset({"gosec", "staticcheck", "stylecheck", "gosimple", "revive", "gocritic", "govet"})


def _eslint(record: RecordFields, around: RecordFields) -> Finding | None:
    if record.value("suppressions"):
        return None
    return issue(
        "eslint",
        rule=record.text("ruleId"),
        message=record.text("message"),
        file=around.text("filePath"),
        line=record.number("line"),
        severity=_ESLINT_SEVERITIES.get(record.text("severity")),
    )


def _stylelint(record: RecordFields, around: RecordFields) -> Finding:
    rule = record.text("rule")
    return issue(
        "stylelint",
        rule=rule,
        message=record.text("text").removesuffix(f" ({rule})"),
        file=around.text("source"),
        line=record.number("line"),
        severity=severity_of(record.text("severity")),
    )


def _pylint(record: RecordFields, _around: RecordFields) -> Finding:
    code, name = record.text("message-id", "messageId"), record.text("symbol")
    return issue(
        "pylint",
        rule=code or name,
        message=record.text("message"),
        file=record.text("path"),
        line=record.number("line"),
        severity=severity_of(record.text("type")),
        keys=[f"pylint:{name}"] if name else (),
    )


def _hadolint(record: RecordFields, _around: RecordFields) -> Finding:
    rule = record.text("code")
    return issue(
        "shellcheck" if rule.startswith("SC") else "hadolint",
        rule=rule,
        message=record.text("message"),
        file=record.text("file"),
        line=record.number("line"),
        severity=severity_of(record.text("level")),
        category="infrastructure",
    )


def _shellcheck(record: RecordFields, _around: RecordFields) -> Finding:
    return issue(
        "shellcheck",
        rule=f"SC{record.text('code')}",
        message=record.text("message"),
        file=record.text("file"),
        line=record.number("line"),
        severity=severity_of(record.text("level")),
    )


def _rubocop(record: RecordFields, around: RecordFields) -> Finding | None:
    if record.value("corrected") is True:
        return None
    return issue(
        "rubocop",
        rule=record.text("cop_name"),
        message=record.text("message").removeprefix(f"{record.text('cop_name')}: "),
        file=around.text("path"),
        line=record.number("location.start_line", "location.line"),
        severity=severity_of(record.text("severity")),
    )


def _phpstan(record: RecordFields, around: RecordFields) -> Finding | None:
    if record.value("ignored") is True:
        return None
    return issue(
        "phpstan",
        rule=record.text("identifier"),
        message=record.text("message"),
        file=around.text("*").partition(" (in context of ")[0],
        line=record.number("line"),
    )


def _golangci(record: RecordFields, _around: RecordFields) -> Finding:
    linter, message = record.text("FromLinter"), record.text("Text")
    named = _LEADING_RULE.match(message) if linter in _RULES_IN_MESSAGES else None
    return issue(
        linter,
        rule=named[1] if named else linter,
        message=message[named.end() :] if named else message,
        file=record.text("Pos.Filename"),
        line=record.number("Pos.Line", "LineRange.From"),
        severity=severity_of(record.text("Severity"), SEVERITIES),
        category="security" if linter == "gosec" else None,
        keys=[f"golangci-lint:{linter}"],
    )


_ESLINT_RECORD: Final = ("ruleId", "severity", "message", "line", "suppressions")
_ESLINT_ADVICE: Final = "give what `eslint --format json` wrote"
_PYLINT_ADVICE: Final = "give what `pylint --output-format=json2` or `json` wrote"
_PYLINT_RECORD: Final = ("type", "path", "line", "symbol", "message", "message-id", "messageId")
_SHELLCHECK_ADVICE: Final = "give what `shellcheck --format json1` or `json` wrote"
_SHELLCHECK_RECORD: Final = ("file", "line", "level", "code", "message")

FORMATS: Final = (
    JsonFormat(
        kind="eslint",
        name="ESLint JSON",
        known_by=("filePath|messages",),
        advice=_ESLINT_ADVICE,
        records=(Records("messages.*", _ESLINT_RECORD, _eslint),),
        around=("filePath",),
    ),
    JsonFormat(
        kind="eslint",
        name="ESLint JSON",
        known_by=("results.filePath|results.messages", "results|metadata.rulesMeta"),
        advice=_ESLINT_ADVICE,
        records=(Records("results.*.messages.*", _ESLINT_RECORD, _eslint),),
        around=("results.*.filePath",),
    ),
    JsonFormat(
        kind="stylelint",
        name="Stylelint JSON",
        known_by=("source|warnings|errored", "source|warnings|parseErrors"),
        advice="give what `stylelint --formatter json` wrote",
        records=(Records("warnings.*", ("line", "rule", "severity", "text"), _stylelint),),
        around=("source",),
    ),
    JsonFormat(
        kind="pylint",
        name="Pylint JSON",
        known_by=("symbol|message-id|path",),
        advice=_PYLINT_ADVICE,
        records=(Records("", _PYLINT_RECORD, _pylint),),
    ),
    JsonFormat(
        kind="pylint",
        name="Pylint JSON",
        known_by=("messages|statistics|!filePath",),
        advice=_PYLINT_ADVICE,
        records=(Records("messages.*", _PYLINT_RECORD, _pylint),),
    ),
    JsonFormat(
        kind="hadolint",
        name="hadolint JSON",
        known_by=("code|file|level|line|message|column|!endLine",),
        advice="give what `hadolint --format json` wrote",
        records=(Records("", ("file", "line", "level", "code", "message"), _hadolint),),
    ),
    JsonFormat(
        kind="shellcheck",
        name="ShellCheck JSON",
        known_by=("code|file|level|line|endLine|message",),
        advice=_SHELLCHECK_ADVICE,
        records=(Records("", _SHELLCHECK_RECORD, _shellcheck),),
    ),
    JsonFormat(
        kind="shellcheck",
        name="ShellCheck JSON",
        known_by=("comments|comments.code|comments.level|comments.endLine",),
        advice=_SHELLCHECK_ADVICE,
        records=(Records("comments.*", _SHELLCHECK_RECORD, _shellcheck),),
    ),
    JsonFormat(
        kind="rubocop",
        name="RuboCop JSON",
        known_by=("metadata.rubocop_version|files|summary", "files.offenses|files.path|summary"),
        advice="give what `rubocop --format json` wrote",
        records=(
            Records(
                "files.*.offenses.*",
                ("severity", "message", "cop_name", "corrected", "location.start_line", "location.line"),
                _rubocop,
            ),
        ),
        around=("files.*.path",),
    ),
    JsonFormat(
        kind="phpstan",
        name="PHPStan JSON",
        known_by=("totals.file_errors|files|errors",),
        advice="give what `phpstan --error-format=json` wrote",
        records=(Records("files.*.messages.*", ("message", "line", "identifier", "ignored"), _phpstan),),
    ),
    JsonFormat(
        kind="golangci-lint",
        name="golangci-lint JSON",
        known_by=("Issues|Report", "Issues.FromLinter"),
        advice="give what `golangci-lint run --output.json.path FILE` wrote",
        records=(
            Records(
                "Issues.*",
                ("FromLinter", "Text", "Severity", "Pos.Filename", "Pos.Line", "LineRange.From"),
                _golangci,
            ),
        ),
    ),
)
