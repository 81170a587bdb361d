"""GitLab's security reports: SAST, secret detection, dependency and container scanning (schemas 2 to 15)."""

import re
from typing import Final

from lessonbook.domain.advisories import advisories_in
from lessonbook.domain.findings import Finding
from lessonbook.intake.formats.json_format import JsonFormat, Records
from lessonbook.intake.formats.record_fields import (
    RecordFields,
    cwes_of,
    ecosystem_of,
    issue,
    severity_of,
    vulnerability,
)
from lessonbook.intake.formats.secrets import secret
from lessonbook.machine.patterns import lazy_pattern

_ENDINGS: Final = frozenset(
    (
        *("rule", "test", "id", "warning", "code", "func", "name", "check", "security", "audit", "source", "plugin"),
        "type",
    )
)
"""Words that types of identifiers have behind the analyser: `bandit_test_id`, `eslint_rule_id`."""
_ANALYSERS: Final = {
    "find_sec_bugs": "spotbugs",
    "nodejs_scan": "njsscan",
}
_FALSE_POSITIVE: Final = "flagged-as-likely-false-positive"
_LISTS: Final = frozenset({"cwe", "cve", "ghsa", "owasp", "wasc", "usn", "rhsa", "elsa", "capec", "hackerone"})
"""Types of identifiers that name no rule of an analyser."""
_WRAPPED: Final = frozenset({"bandit", "eslint", "gosec", "flawfinder", "find_sec_bugs", "nodejs_scan", "brakeman"})
"""Analysers whose rules GitLab's semgrep took over: `bandit.B303-1`."""
_NUMBER_BEHIND = lazy_pattern(r"-\d{1,3}\Z")
_FIXED = lazy_pattern(r"\b(?:to|version|versions)\s+v?(\d[\w.+~:-]{0,60}?)(?=[,;\s]|\.?\Z|\.\s)", re.IGNORECASE)


def _read(record: RecordFields, around: RecordFields) -> Finding | None:
    if any(flag.text("type") == _FALSE_POSITIVE for flag in record.each("flags")):
        return None
    kind = record.text("category") or around.text("scan.type")
    if record.text("location.dependency.package.name") and kind != "sast":
        return _package(record, around)
    rules = [rule for one in record.each("identifiers") if (rule := _rule(one))]
    tool, rule = rules[0] if rules else (around.text("scan.scanner.id") or "gitlab", record.text("name"))
    severity = severity_of(record.text("severity"))
    file, line = record.text("location.file"), record.number("location.start_line")
    if kind == "secret_detection" or tool in ("gitleaks", "trufflehog"):
        name = record.text("name", "message")
        return secret(tool, rule=rule, name=name, file=file, line=line, severity=severity, mark=record.text("id"))
    names = [one.text("name") for one in record.each("identifiers")]
    return issue(
        tool,
        rule=rule,
        message=record.text("message", "description", "name", "identifiers.0.name"),
        file=file,
        line=line,
        severity=severity,
        category="security",
        keys=[*(f"{prefix}:{name}" for prefix, name in rules[1:]), *cwes_of(names), *_cwes(record)],
        mark=record.text("id"),
        help_text=record.text("solution"),
    )


def _rule(identifier: RecordFields) -> tuple[str, str] | None:
    """Return the analyser and its rule that an identifier names, or None."""
    kind, value = identifier.text("type").lower(), identifier.text("value", "name")
    words = kind.split("_")
    while len(words) > 1 and words[-1] in _ENDINGS:
        words.pop()
    plain = "_".join(words)
    if kind in _LISTS or plain in _LISTS or not value or not plain:
        return None
    if plain == "semgrep":
        root, _, rest = value.partition(".")
        if root in _WRAPPED and rest:
            return _ANALYSERS.get(root, root), _NUMBER_BEHIND.sub("", rest)
    return _ANALYSERS.get(plain, plain).replace("_", "-"), value


def _cwes(record: RecordFields) -> list[str]:
    return cwes_of(
        [one.text("value") for one in record.each("identifiers") if one.text("type").lower() == "cwe"], bare=True
    )


def _package(record: RecordFields, around: RecordFields) -> Finding:
    solution = record.text("solution")
    ids = advisories_in([text for one in record.each("identifiers") for text in (one.text("name"), one.text("value"))])
    fixed = _FIXED.findall(solution) if "no solution" not in solution.lower() else []
    file = record.text("location.file")
    system = record.text("location.operating_system")
    name = next((one.text("name", "value") for one in record.each("identifiers")), "")
    return vulnerability(
        record.text("scanner.id") or around.text("scan.scanner.id") or "gitlab",
        package=record.text("location.dependency.package.name"),
        advisory=ids[0] if ids else name,
        installed=record.text("location.dependency.version"),
        fixed=", ".join(dict.fromkeys(fixed)),
        ecosystem=ecosystem_of(system, around.text("package_manager"), file=file),
        title=record.text("name"),
        aliases=ids[1:],
        severity=severity_of(record.text("severity")),
        file=file,
        mark=record.text("id"),
    )


FORMATS: Final = (
    JsonFormat(
        kind="gitlab",
        name="GitLab security report",
        known_by=("vulnerabilities|scan.type", "vulnerabilities|remediations", "vulnerabilities.identifiers|version"),
        advice="give a gl-…-report.json of GitLab's SAST, secret detection, dependency or container scanning",
        records=(
            Records(
                "vulnerabilities.*",
                (
                    *("id", "category", "name", "message", "description", "severity", "solution", "scanner.id"),
                    *("flags.type", "location.file", "location.start_line", "location.operating_system"),
                    *("location.dependency.package.name", "location.dependency.version"),
                    *("identifiers.type", "identifiers.name", "identifiers.value"),
                ),
                _read,
            ),
        ),
        around=("scan.type", "scan.scanner.id"),
    ),
)
