"""JSON of scanners that search for packages with known vulnerabilities."""

from collections.abc import Iterable
from typing import Final

from lessonbook.domain.advisories import advisories_in
from lessonbook.domain.documents import list_of, object_of, text_of
from lessonbook.domain.findings import Finding
from lessonbook.domain.vocabulary import severity_of_score
from lessonbook.intake.formats.infrastructure import MISCONFIGURATION, misconfiguration
from lessonbook.intake.formats.json_format import JsonFormat, Records
from lessonbook.intake.formats.record_fields import (
    RecordFields,
    ecosystem_of,
    issue,
    severity_of,
    vulnerability,
)
from lessonbook.intake.formats.secrets import secret

_TRIVY_LEFT_OUT: Final = frozenset({"not_affected", "fixed_elsewhere"})


def _trivy(record: RecordFields, around: RecordFields) -> Finding | None:
    if record.text("Status") in _TRIVY_LEFT_OUT:
        return None
    target = around.text("Target")
    return vulnerability(
        "trivy",
        package=record.text("PkgName"),
        advisory=record.text("VulnerabilityID"),
        installed=record.text("InstalledVersion"),
        fixed=record.text("FixedVersion"),
        ecosystem=ecosystem_of(around.text("Type"), file=target),
        title=record.text("Title"),
        aliases=record.texts("VendorIDs"),
        severity=severity_of(record.text("Severity")),
        file=record.text("PkgPath") or ("" if around.text("Class") == "os-pkgs" or " (" in target else target),
        mark=record.text("Fingerprint"),
    )


def _trivy_secret(record: RecordFields, around: RecordFields) -> Finding:
    return secret(
        "trivy",
        rule=record.text("RuleID"),
        name=record.text("Title"),
        file=around.text("Target"),
        line=record.number("StartLine"),
        severity=severity_of(record.text("Severity")),
    )


def _grype(record: RecordFields, _around: RecordFields) -> Finding:
    related = [one.text("id") for one in record.each("relatedVulnerabilities")]
    return vulnerability(
        "grype",
        package=record.text("artifact.name"),
        advisory=record.text("vulnerability.id"),
        installed=record.text("artifact.version"),
        fixed=", ".join(record.texts("vulnerability.fix.versions")),
        ecosystem=ecosystem_of(record.text("artifact.purl"), record.text("artifact.type")),
        aliases=related,
        severity=severity_of(record.text("vulnerability.severity")),
        file=record.text("artifact.locations.0.path").removeprefix("/"),
    )


def _osv(record: RecordFields, around: RecordFields) -> Finding | None:
    advisory, package = record.text("id"), around.text("package.name")
    groups = [RecordFields(object_of(group)) for group in list_of(around.value("groups"))]
    group = next((group for group in groups if advisory in group.texts("ids")), RecordFields({}))
    if group.content and group.texts("ids")[:1] != [advisory]:  # another record of the same vulnerability
        return None
    ecosystem = around.text("package.ecosystem")
    score = _score(group.text("max_severity"))
    return vulnerability(
        "osv-scanner",
        package=package,
        advisory=advisory,
        installed=around.text("package.version"),
        fixed=", ".join(_fixed_by_osv(record, package)),
        ecosystem=ecosystem_of(ecosystem) if ":" not in ecosystem else ecosystem.partition(":")[0],
        title=record.text("summary"),
        aliases=[*group.texts("ids", "aliases"), *record.texts("aliases")],
        severity=severity_of(record.text("database_specific.severity"))
        or (None if score is None else severity_of_score(score)),
        file=around.text("source.path"),
    )


def _fixed_by_osv(record: RecordFields, package: str) -> Iterable[str]:
    found: dict[str, None] = {}
    for affected in record.each("affected"):
        if affected.text("package.name") in ("", package):
            for ranges in affected.each("ranges"):
                if ranges.text("type") != "GIT":
                    found |= dict.fromkeys(event.text("fixed") for event in ranges.each("events"))
    return [version for version in found if version]


def _score(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _npm(record: RecordFields, around: RecordFields) -> Finding:
    """Return the finding in a package that has vulnerabilities itself, or depends on packages that have."""
    own = record.each("via")
    ids = list(dict.fromkeys(_npm_id(one) for one in own))
    through = [text_of(each) for each in list_of(record.value("via")) if text_of(each)]
    package, fix = record.text("name") or around.text("*"), record.text("fixAvailable.name")
    title = own[0].text("title") if own else f"depends on vulnerable versions of {', '.join(through)}"
    if fix and fix != package:
        title = f"{title}; update {fix} to {record.text('fixAvailable.version')}"
    return vulnerability(
        "npm-audit",
        package=package,
        advisory=ids[0] if ids else "",
        installed=own[0].text("range") if own else record.text("range"),
        fixed=record.text("fixAvailable.version") if fix == package else "",
        ecosystem="npm",
        title=title,
        aliases=ids[1:],
        severity=severity_of(record.text("severity")),
    )


def _npm_id(advisory: RecordFields) -> str:
    return next(iter(advisories_in(advisory.texts("url"))), f"npm-{advisory.text('source')}")


def _npm_6(record: RecordFields, around: RecordFields) -> Finding | None:
    if record.value("deleted"):
        return None
    ids = advisories_in([*record.texts("github_advisory_id", "cves"), record.text("url")])
    versions = dict.fromkeys(one.text("version") for one in record.each("findings"))
    return vulnerability(
        around.text("tool") or "npm-audit",
        package=record.text("module_name"),
        advisory=ids[0] if ids else f"npm-{record.text('id', 'npm_advisory_id')}",
        installed=", ".join(filter(None, versions)),
        fixed=_patched(record.text("patched_versions")),
        ecosystem="npm",
        title=record.text("title"),
        aliases=ids[1:],
        severity=severity_of(record.text("severity")),
    )


def _patched(versions: str) -> str:
    return "" if versions in ("<0.0.0", "No patch available") else versions


def _yarn(record: RecordFields, _around: RecordFields) -> Finding | None:
    return _npm_6(record, RecordFields({"tool": "yarn-audit"}))


def _yarn_berry(record: RecordFields, around: RecordFields) -> Finding | None:
    name = record.text("ID")
    if name.endswith("(deprecation)"):
        return None
    ids = advisories_in(record.texts("URL", "ID"))
    return vulnerability(
        "yarn-audit",
        package=around.text("value"),
        advisory=ids[0] if ids else f"npm-{name}",
        installed=", ".join(record.texts("Tree Versions")),
        ecosystem="npm",
        title=record.text("Issue"),
        severity=severity_of(record.text("Severity")),
    )


def _pip_audit(record: RecordFields, around: RecordFields) -> Finding:
    return vulnerability(
        "pip-audit",
        package=around.text("name"),
        advisory=record.text("id"),
        installed=around.text("version"),
        fixed=", ".join(record.texts("fix_versions")),
        ecosystem="PyPI",
        aliases=record.texts("aliases"),
    )


def _snyk(record: RecordFields, around: RecordFields) -> Finding | None:
    if record.value("isIgnored") is True or record.text("type") == "license":
        return None
    identifiers = object_of(record.value("identifiers"))
    ids = [text_of(each) for name in ("CVE", "GHSA") for each in list_of(identifiers.get(name))]
    return vulnerability(
        "snyk",
        package=record.text("packageName", "moduleName", "name"),
        advisory=record.text("id"),
        installed=record.text("version"),
        fixed=", ".join(record.texts("fixedIn") or record.texts("nearestFixedInVersion")),
        ecosystem=ecosystem_of(record.text("packageManager"), around.text("packageManager"), record.text("language")),
        title=record.text("title"),
        aliases=[text for text in ids if text],
        severity=severity_of(record.text("severityWithCritical", "severity")),
        file=around.text("displayTargetFile", "targetFile"),
    )


def _snyk_infrastructure(record: RecordFields, around: RecordFields) -> Finding | None:
    if record.value("isIgnored") is True:
        return None
    return issue(
        "snyk",
        rule=record.text("publicId", "id"),
        message=record.text("title", "issue"),
        file=around.text("targetFile"),
        line=record.number("lineNumber"),
        severity=severity_of(record.text("severity")),
        category="infrastructure",
        help_text=record.text("iacDescription.resolve", "resolve"),
        why=record.text("iacDescription.impact", "impact"),
    )


def _dependency_check(record: RecordFields, around: RecordFields) -> Finding:
    package, version = _of_url(around.text("packages.0.id"))
    advisory = record.text("name")
    ids = advisories_in([advisory])
    return vulnerability(
        "dependency-check",
        package=package or around.text("fileName"),
        advisory=ids[0] if ids else advisory,
        installed=version,
        ecosystem=ecosystem_of(around.text("packages.0.id")) if package else "",
        severity=severity_of(record.text("severity")),
        file=around.text("filePath"),
    )


def _of_url(url: str) -> tuple[str, str]:
    """Return name and version of a package URL, `pkg:maven/group/name@1.0?type=jar`."""
    if not url.startswith("pkg:"):
        return "", ""
    path = url.partition("?")[0].partition("#")[0].partition("/")[2].replace("%40", "@")
    name, _, version = path.rpartition("@") if "@" in path[1:] else (path, "", "")
    return (name.replace("/", ":") if url.startswith("pkg:maven/") else name), version


_TRIVY_VULNERABILITY: Final = (
    *("VulnerabilityID", "VendorIDs", "PkgName", "PkgPath", "InstalledVersion", "FixedVersion", "Status", "Severity"),
    *("Title", "Fingerprint"),
)
_TRIVY_AROUND: Final = ("Target", "Type", "Class")
_TRIVY_ADVICE: Final = "give what `trivy --format json` wrote"
_NPM_RECORD: Final = ("name", "severity", "range", "via", "fixAvailable.name", "fixAvailable.version")
_ADVISORY: Final = (
    *("id", "npm_advisory_id", "github_advisory_id", "module_name", "title", "cves", "url", "severity", "deleted"),
    *("patched_versions", "findings.version"),
)
_NPM_ADVICE: Final = "give what `npm audit --json` wrote"
_YARN_ADVICE: Final = "give what `yarn audit --json` or `yarn npm audit --json` wrote"
_PIP_RECORD: Final = ("id", "fix_versions", "aliases")
_PIP_ADVICE: Final = "give what `pip-audit --format json` wrote"


def _trivy_records(prefix: str) -> tuple[Records, ...]:
    return (
        Records(f"{prefix}Vulnerabilities.*", _TRIVY_VULNERABILITY, _trivy),
        Records(f"{prefix}Misconfigurations.*", MISCONFIGURATION, misconfiguration),
        Records(f"{prefix}Secrets.*", ("RuleID", "Title", "Severity", "StartLine"), _trivy_secret),
    )


FORMATS: Final = (
    JsonFormat(
        kind="trivy",
        name="Trivy JSON",
        known_by=("SchemaVersion|ArtifactName", "SchemaVersion|Results", "ArtifactName|Results"),
        advice=_TRIVY_ADVICE,
        records=_trivy_records("Results.*."),
        around=tuple(f"Results.*.{name}" for name in _TRIVY_AROUND),
    ),
    JsonFormat(
        kind="trivy",
        name="Trivy JSON",
        known_by=("Target|Type|Vulnerabilities", "Target|Vulnerabilities.VulnerabilityID", "Target|Class"),
        advice=_TRIVY_ADVICE,
        records=_trivy_records(""),
        around=_TRIVY_AROUND,
    ),
    JsonFormat(
        kind="trivy",
        name="Trivy JSON",
        known_by=("ClusterName|Resources", "ClusterName|Vulnerabilities", "ClusterName|Misconfigurations"),
        advice=_TRIVY_ADVICE,
        records=tuple(
            records
            for part in ("Resources", "Vulnerabilities", "Misconfigurations")
            for records in _trivy_records(f"{part}.*.Results.*.")
        ),
        around=tuple(
            f"{part}.*.Results.*.{name}"
            for part in ("Resources", "Vulnerabilities", "Misconfigurations")
            for name in _TRIVY_AROUND
        ),
    ),
    JsonFormat(
        kind="grype",
        name="Grype JSON",
        known_by=("matches|descriptor", "matches.vulnerability|matches.artifact"),
        advice="give what `grype -o json` wrote",
        records=(
            Records(
                "matches.*",
                (
                    *("vulnerability.id", "vulnerability.severity", "vulnerability.fix.versions"),
                    *("relatedVulnerabilities.id", "artifact.name", "artifact.version", "artifact.type"),
                    *("artifact.purl", "artifact.locations.path"),
                ),
                _grype,
            ),
        ),
    ),
    JsonFormat(
        kind="osv-scanner",
        name="OSV-Scanner JSON",
        known_by=("results.packages|results.source", "results|experimental_config"),
        advice="give what `osv-scanner --format json` wrote",
        records=(
            Records(
                "results.*.packages.*.vulnerabilities.*",
                (
                    *("id", "aliases", "summary", "database_specific.severity", "affected.package.name"),
                    *("affected.ranges.type", "affected.ranges.events.fixed"),
                ),
                _osv,
            ),
        ),
        around=(
            "results.*.source.path",
            *(f"results.*.packages.*.package.{name}" for name in ("name", "version", "ecosystem")),
            *(f"results.*.packages.*.groups.{name}" for name in ("ids", "aliases", "max_severity")),
        ),
    ),
    JsonFormat(
        kind="npm-audit",
        name="npm audit JSON",
        known_by=("auditReportVersion|vulnerabilities",),
        advice=_NPM_ADVICE,
        records=(Records("vulnerabilities.*", _NPM_RECORD, _npm),),
    ),
    JsonFormat(
        kind="npm-audit",
        name="npm audit JSON",
        known_by=("advisories|metadata", "advisories|actions"),
        advice=_NPM_ADVICE,
        records=(Records("advisories.*", _ADVISORY, _npm_6),),
    ),
    JsonFormat(
        kind="yarn-audit",
        name="yarn audit JSON",
        known_by=("type|data.advisory", "type|data.vulnerabilities|data.totalDependencies"),
        advice=_YARN_ADVICE,
        records=(Records("data.advisory", _ADVISORY, _yarn),),
    ),
    JsonFormat(
        kind="yarn-audit",
        name="yarn audit JSON",
        known_by=("value|children.ID|children.Severity",),
        advice=_YARN_ADVICE,
        records=(Records("children", ("ID", "Issue", "URL", "Severity", "Tree Versions"), _yarn_berry),),
        around=("value",),
    ),
    JsonFormat(
        kind="pip-audit",
        name="pip-audit JSON",
        known_by=("dependencies|fixes", "dependencies.name|dependencies.vulns", "dependencies.skip_reason"),
        advice=_PIP_ADVICE,
        records=(Records("dependencies.*.vulns.*", _PIP_RECORD, _pip_audit),),
        around=("dependencies.*.name", "dependencies.*.version"),
    ),
    JsonFormat(
        kind="pip-audit",
        name="pip-audit JSON",
        known_by=("name|version|vulns", "name|skip_reason"),
        advice=_PIP_ADVICE,
        records=(Records("vulns.*", _PIP_RECORD, _pip_audit),),
        around=("name", "version"),
    ),
    JsonFormat(
        kind="snyk",
        name="Snyk JSON",
        known_by=(
            *("vulnerabilities|packageManager", "vulnerabilities|ok|dependencyCount", "infrastructureAsCodeIssues"),
            "vulnerabilities.packageName|vulnerabilities.severity|vulnerabilities.title",
        ),
        advice="give what `snyk test --json` wrote",
        records=(
            Records(
                "vulnerabilities.*",
                (
                    *("id", "title", "packageName", "moduleName", "name", "version", "fixedIn"),
                    *(
                        "nearestFixedInVersion",
                        "packageManager",
                        "language",
                        "severity",
                        "severityWithCritical",
                        "type",
                        "isIgnored",
                    ),
                    *("identifiers.CVE", "identifiers.GHSA"),
                ),
                _snyk,
            ),
            Records(
                "infrastructureAsCodeIssues.*",
                (
                    *("id", "publicId", "title", "issue", "severity", "lineNumber", "isIgnored", "resolve", "impact"),
                    *("iacDescription.resolve", "iacDescription.impact"),
                ),
                _snyk_infrastructure,
            ),
        ),
        around=("packageManager", "displayTargetFile", "targetFile"),
    ),
    JsonFormat(
        kind="dependency-check",
        name="OWASP Dependency-Check JSON",
        known_by=("reportSchema|dependencies", "scanInfo|dependencies|projectInfo"),
        advice="give what `dependency-check --format JSON` wrote",
        records=(Records("dependencies.*.vulnerabilities.*", ("name", "severity"), _dependency_check),),
        around=("dependencies.*.fileName", "dependencies.*.filePath", "dependencies.*.packages.id"),
    ),
)
