"""JSON of scanners and platforms that search code for faults."""

import re
from typing import Final

from lessonbook.domain.documents import object_of, text_of
from lessonbook.domain.findings import Finding
from lessonbook.domain.vocabulary import Category, Severity
from lessonbook.intake.formats.json_format import JsonFormat, Records
from lessonbook.intake.formats.record_fields import BY_RANK, SEVERITIES, RecordFields, cwes_of, issue, severity_of
from lessonbook.machine.patterns import lazy_pattern

_SONAR_CATEGORIES: Final[dict[str, Category]] = {
    "BUG": "correctness",
    "CODE_SMELL": "maintainability",
    "VULNERABILITY": "security",
    "SECURITY_HOTSPOT": "security",
}
_SONAR_NUMBER = lazy_pattern(r"S\d{2,5}")
"""The part of a rule id that is the same for all languages: `S4502` of `python:S4502`."""
_SONAR_DONE: Final = frozenset({"CLOSED", "RESOLVED", "REVIEWED", "FIXED", "ACCEPTED", "FALSE_POSITIVE", "IN_SANDBOX"})
_BRAKEMAN_SEVERITIES: Final[dict[str, Severity]] = {"High": "high", "Medium": "medium", "Weak": "low"}
_CLIMATE_CATEGORIES: Final[dict[str, Category]] = {
    "Bug Risk": "correctness",
    "Security": "security",
    "Performance": "performance",
    "Complexity": "maintainability",
    "Duplication": "maintainability",
    "Clarity": "maintainability",
    "Style": "maintainability",
}
_CLIMATE_OWN: Final = frozenset({"structure", "duplication", "fixme"})
"""Engines of Code Climate itself."""
_CLIMATE_TOOL = lazy_pattern(r"[a-z][a-z0-9+-]{1,30}(?=[:/ ])", re.IGNORECASE)
_NOT_TOLD: Final = "requires login"
"""What semgrep writes in place of members that its free edition leaves out."""
_SEVERAL_SPACES = lazy_pattern(r"\s+")


def _semgrep(record: RecordFields, _around: RecordFields) -> Finding | None:
    if record.value("extra.is_ignored") is True:
        return None
    message = record.text("extra.message")
    mark = record.text("extra.fingerprint")
    cwes = cwes_of(record.texts("extra.metadata.cwe", "extra.metadata.cwe2021-top25"))
    category = record.text("extra.metadata.category")
    return issue(
        "semgrep",
        rule=record.text("check_id"),
        message=message or record.text("check_id"),
        file=record.text("path"),
        line=record.number("start.line"),
        severity=severity_of(record.text("extra.severity")),
        category="security" if cwes or category == "security" else None,
        keys=cwes,
        mark="" if mark == _NOT_TOLD else mark,
        why=message if _is_constant(message, object_of(record.value("extra.metavars"))) else "",
    )


def _is_constant(message: str, metavariables: dict[str, object]) -> bool:
    """Return whether a message repeats nothing of the code that the rule matched."""
    matched = (text_of(object_of(each).get("abstract_content")) for each in metavariables.values())
    return not any(text and text in message for text in matched)


def _gosec(record: RecordFields, _around: RecordFields) -> Finding | None:
    if record.value("nosec") is True or record.value("suppressions"):
        return None
    return issue(
        "gosec",
        rule=record.text("rule_id"),
        message=record.text("details"),
        file=record.text("file"),
        line=record.number("line"),
        severity=severity_of(record.text("severity")),
        category="security",
        keys=cwes_of(record.texts("cwe.id", "cwe.ID"), bare=True),
    )


def _brakeman(record: RecordFields, _around: RecordFields) -> Finding:
    kind = record.text("warning_type")
    message = record.text("message")
    return issue(
        "brakeman",
        rule=record.text("check_name") or kind,
        message=message if kind.casefold() in message.casefold() else f"{kind}: {message}",
        file=record.text("file"),
        line=record.number("line"),
        severity=_BRAKEMAN_SEVERITIES.get(record.text("confidence")),
        category="security",
        keys=[f"brakeman:{kind}" if kind else "", *cwes_of(record.texts("cwe_id"), bare=True)],
        mark=record.text("fingerprint"),
    )


def _sonarqube(record: RecordFields, _around: RecordFields) -> Finding | None:
    status, resolution = record.text("issueStatus", "status"), record.text("resolution")
    if status in _SONAR_DONE or record.text("status") in _SONAR_DONE or resolution:
        return None
    component, project = record.text("component"), record.text("project")
    file = component.removeprefix(f"{project}:") if project else component.rpartition(":")[2]
    rule = record.text("rule", "ruleKey")
    number = rule.rpartition(":")[2]
    scale = BY_RANK if record.text("severity") else SEVERITIES
    return issue(
        "sonarqube",
        rule=rule,
        message=record.text("message"),
        file="" if file == project else file.rpartition(":")[2],
        line=record.number("line", "textRange.startLine"),
        severity=severity_of(record.text("severity", "vulnerabilityProbability"), scale),
        category="security" if record.text("securityCategory") else _SONAR_CATEGORIES.get(record.text("type")),
        keys=[f"sonarqube:{number}" if _SONAR_NUMBER.fullmatch(number) else "", *cwes_of(record.texts("tags"))],
        mark=record.text("key"),
    )


def _code_climate(record: RecordFields, _around: RecordFields) -> Finding | None:
    if record.text("type").lower() not in ("", "issue"):  # a measurement
        return None
    rule = record.text("check_name")
    tool = record.text("engine_name", "tool_name").lower()
    if not tool and (named := _CLIMATE_TOOL.match(rule)) and rule[named.end()] == ":":
        tool, rule = named[0].lower(), rule[named.end() + 1 :].strip()
    tool = "code-climate" if tool in _CLIMATE_OWN else tool
    if rule.lower().startswith(f"{tool}/"):  # Rubocop/Metrics/ParameterLists
        rule = rule[len(tool) + 1 :]
    return issue(
        tool or "code-climate",
        rule=rule,
        message=_SEVERAL_SPACES.sub(" ", record.text("description")),
        file=record.text("location.path"),
        line=record.number("location.lines.begin", "location.positions.begin.line"),
        severity=severity_of(record.text("severity"), BY_RANK),
        category=_climate_category(record.texts("categories")),
        mark=record.text("fingerprint"),
        help_text=record.text("content.body", "content"),
    )


def _climate_category(names: list[str]) -> Category | None:
    for name in names:
        if name in _CLIMATE_CATEGORIES:
            return _CLIMATE_CATEGORIES[name]
    return None


_SONAR_RECORD: Final = (
    *("key", "rule", "ruleKey", "severity", "component", "project", "line", "textRange.startLine", "message"),
    *("type", "status", "issueStatus", "resolution", "tags", "vulnerabilityProbability", "securityCategory"),
)
_SONAR_ADVICE: Final = "give what SonarQube answers at api/issues/search"

FORMATS: Final = (
    JsonFormat(
        kind="semgrep",
        name="Semgrep JSON",
        known_by=("results|errors|paths", "results.check_id|results.extra|results.start", "=results|errors"),
        advice="give what `semgrep --json` wrote",
        records=(
            Records(
                "results.*",
                (
                    *("check_id", "path", "start.line", "extra.message", "extra.severity", "extra.fingerprint"),
                    *("extra.is_ignored", "extra.metavars", "extra.metadata.cwe", "extra.metadata.category"),
                ),
                _semgrep,
            ),
        ),
    ),
    JsonFormat(
        kind="gosec",
        name="gosec JSON",
        known_by=("Issues|Stats", "Issues|Golang errors", "Issues.rule_id|Issues.details"),
        advice="give what `gosec -fmt json` wrote",
        records=(
            Records(
                "Issues.*",
                ("severity", "cwe.id", "cwe.ID", "rule_id", "details", "file", "line", "nosec", "suppressions"),
                _gosec,
            ),
        ),
    ),
    JsonFormat(
        kind="brakeman",
        name="Brakeman JSON",
        known_by=("scan_info|warnings", "warnings.warning_type|warnings.fingerprint"),
        advice="give what `brakeman -f json` wrote",
        records=(
            Records(
                "warnings.*",
                (*("warning_type", "check_name", "message", "file", "line", "confidence", "cwe_id", "fingerprint"),),
                _brakeman,
            ),
        ),
    ),
    JsonFormat(
        kind="sonarqube",
        name="SonarQube JSON",
        known_by=("issues|paging", "issues|total|ps", "issues.rule|issues.component", "hotspots|paging"),
        advice=_SONAR_ADVICE,
        records=(
            Records("issues.*", _SONAR_RECORD, _sonarqube),
            Records("hotspots.*", _SONAR_RECORD, _sonarqube),
        ),
    ),
    JsonFormat(
        kind="sonarqube",
        name="SonarQube JSON",
        known_by=("rule|component|project|severity|status|message",),
        advice=_SONAR_ADVICE,
        records=(Records("", _SONAR_RECORD, _sonarqube),),
    ),
    JsonFormat(
        kind="code-climate",
        name="Code Climate JSON (GitLab code quality)",
        known_by=("check_name|location|description", "fingerprint|location.path|description"),
        advice="give a Code Climate or GitLab code quality report",
        records=(
            Records(
                "",
                (
                    *("type", "check_name", "engine_name", "tool_name", "description", "content", "severity"),
                    *(
                        "categories",
                        "fingerprint",
                        "location.path",
                        "location.lines.begin",
                        "location.positions.begin.line",
                    ),
                ),
                _code_climate,
            ),
        ),
    ),
)
