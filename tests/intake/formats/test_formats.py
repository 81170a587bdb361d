"""Each format of scanners, by a file that the tool wrote."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import FileKind, Finding, Refused, collect
from lessonbook.intake import formats
from lessonbook.intake.readers import open_report
from lessonbook.intake.report_file import ReportFile
from tests.memory import needs_less, peak_memory
from tests.reading import count_outcomes, read_report

FIXTURES = Path(__file__).parents[2] / "fixtures" / "scanners"


def first_of(name: str) -> Finding:
    return collect(open_report(ReportFile(FIXTURES / name, name))).findings[0]


@pytest.mark.parametrize(
    ("name", "kind", "findings", "rule_id", "place", "severity"),
    [
        ("brakeman.json", "brakeman", 2, "brakeman:Render", "app/views/users/show_follow.html.erb:25", "low"),
        ("cargo.jsonl", "cargo", 3, "rustc:unused_imports", "packages/secspc/src/main.rs:14", "medium"),
        ("checkov.json", "checkov", 4, "checkov:CKV_GCP_29", "gcs.tf:1", "medium"),
        ("code_climate.json", "code-climate", 2, "code-climate:argument_count", "argument_count.rb:2", "low"),
        ("detect-secrets.json", "detect-secrets", 3, "detect-secrets:Secret Keyword", "modules_images:151", None),
        ("eslint.json", "eslint", 2, "eslint:security/detect-object-injection", "routes/basketItems.js:19", "high"),
        ("eslint_metadata.json", "eslint", 6, "eslint:no-unused-vars", "fullOfProblems.js:1", "medium"),
        ("gitlab_containers.json", "gitlab", 1, "trivy:CVE-2019-3462", ":None", "high"),
        (
            "gitlab_sast.json",
            "gitlab",
            3,
            "spotbugs:XSS_REQUEST_PARAMETER_TO_SERVLET_WRITER",
            "XssLesson.java:96",
            "high",
        ),
        ("gitlab_secrets.json", "gitlab", 3, "gitleaks:SSH private key", "README.md:20", "critical"),
        ("gitleaks.json", "gitleaks", 4, "gitleaks:aws-access-token", "/conf/aws.tf:2", None),
        ("gitleaks_old.json", "gitleaks", 1, "gitleaks:Asymmetric Private Key", "cert-key.pem:None", None),
        ("golangci-lint.json", "golangci-lint", 4, "misspell:misspell", "pkg/sample/output.go:6", None),
        ("gosec.json", "gosec", 28, "gosec:G104", "src/govwa/app.go:79", "low"),
        ("hadolint.json", "hadolint", 12, "hadolint:DL3008", "django-DefectDojo/Dockerfile.django:9", "medium"),
        ("kics.json", "kics", 18, "kics:f996f3cb-00fc-480c-8973-8ab04d44a8cc", "example/terraform/main.tf:25", "high"),
        ("mypy.jsonl", "mypy", 5, "mypy:return-value", "shop/cart.py:8", None),
        ("phpstan.json", "phpstan", 4, "", 'file name with "spaces" and unicode \U0001f603.php:2', None),
        ("pylint.json", "pylint", 10, "pylint:C0114", "shop/cart.py:1", "low"),
        ("pylint2.json", "pylint", 10, "pylint:C0114", "shop/cart.py:1", "low"),
        ("pyright.json", "pyright", 3, "pyright:reportArgumentType", "src/main.py:10", "medium"),
        ("rubocop.json", "rubocop", 7, "rubocop:Security/IoMethods", "fake_app_unsecure/app/main.rb:12", "low"),
        ("semgrep.json", "semgrep", 3, "semgrep:cbc-padding-oracle", "BenchmarkTest02194.java:64", "medium"),
        ("shellcheck.json", "shellcheck", 8, "shellcheck:SC2164", "shop/deploy.sh:2", "medium"),
        ("shellcheck1.json", "shellcheck", 8, "shellcheck:SC2164", "shop/deploy.sh:2", "medium"),
        ("sonarqube.json", "sonarqube", 5, "sonarqube:OWASP:UsingComponentWithKnownVulnerability", ":None", "medium"),
        ("sonarqube_hotspots.json", "sonarqube", 4, "sonarqube:typescript:7777", "src/app/component.asdf:47", "high"),
        ("stylelint.json", "stylelint", 4, "stylelint:selector-class-pattern", "problem.css:29", "medium"),
        ("tflint.json", "tflint", 4, "tflint:terraform_deprecated_index", "main.tf:6", "medium"),
        ("tfsec.json", "tfsec", 3, "tfsec:GCP009", "tfsec-test/cluster.tf:52", "high"),
        ("trivy_misconfigurations.json", "trivy", 4, "trivy:AVD-DS-0002", "docker/Dockerfile:None", "high"),
        ("trufflehog.jsonl", "trufflehog", 4, "trufflehog:AWS", "keys:4", "critical"),
    ],
)
def test_a_file_of_a_scanner_is_known_and_read(
    name: str, kind: FileKind, findings: int, rule_id: str, place: str, severity: str | None
):
    file = ReportFile(FIXTURES / name, name)
    reading = open_report(file)
    intake = collect(reading)
    first = intake.findings[0]
    assert (reading.kind, len(intake.findings), first.rule_id) == (kind, findings, rule_id)
    assert f"{first.file}:{first.line}".endswith(place)
    assert first.severity == severity
    assert collect(open_report(file, kind)) == intake


@pytest.mark.parametrize(
    ("name", "kind", "findings", "package", "fixed", "ecosystem", "advisory"),
    [
        (
            "dependency-check.json",
            "dependency-check",
            2,
            "commons-beanutils:commons-beanutils",
            "",
            "Maven",
            "CVE-2014-0114",
        ),
        (
            "gitlab_dependencies.json",
            "gitlab",
            1,
            "gopkg.in/yaml.v2",
            "2.2.3",
            "Go",
            "Gemnasium-7368f513-0aa9-4e34-a08d-40ea81f48e0e",
        ),
        ("gitlab_containers.json", "gitlab", 1, "apt", "1.4.9", "Debian", "CVE-2019-3462"),
        ("govulncheck.json", "govulncheck", 2, "golang.org/x/text", "v0.3.7", "Go", "GO-2021-0113"),
        ("grype.json", "grype", 2, "libc6", "", "Debian", "CVE-2021-33574"),
        ("npm6.json", "npm-audit", 1, "growl", ">=1.10.2", "npm", "CVE-2017-16042"),
        ("npm7.json", "npm-audit", 6, "@vercel/fun", "", "npm", "@vercel/fun"),
        ("osv-scanner.json", "osv-scanner", 1, "flot-axis", "", "npm", "MAL-2023-1035"),
        ("osv-scanner2.json", "osv-scanner", 3, "lodash", "", "npm", "GHSA-p6mc-m468-83gw"),
        ("pip-audit.json", "pip-audit", 7, "aiohttp", "3.7.4", "PyPI", "PYSEC-2021-76"),
        ("pip-audit2.json", "pip-audit", 7, "aiohttp", "3.7.4", "PyPI", "PYSEC-2021-76"),
        (
            "snyk.json",
            "snyk",
            1,
            "org.apache.santuario:xmlsec",
            "2.1.4",
            "Maven",
            "SNYK-JAVA-ORGAPACHESANTUARIO-460281",
        ),
        (
            "snyk_list.json",
            "snyk",
            1,
            "org.apache.santuario:xmlsec",
            "2.1.4",
            "Maven",
            "SNYK-JAVA-ORGAPACHESANTUARIO-460281",
        ),
        ("trivy.json", "trivy", 5, "urllib3", "1.26.5", "PyPI", "CVE-2021-33503"),
        ("yarn.jsonl", "yarn-audit", 3, "minimist", ">=0.2.1 <1.0.0 || >=1.2.3", "npm", "npm-1179"),
        ("yarn4.jsonl", "yarn-audit", 1, "transformers", "", "npm", "GHSA-37q5-v5qm-c9v8"),
    ],
)
def test_a_vulnerable_dependency_names_package_versions_and_advisory(
    name: str, kind: FileKind, findings: int, package: str, fixed: str, ecosystem: str, advisory: str
):
    reading = open_report(ReportFile(FIXTURES / name, name))
    found = collect(reading).findings
    first = found[0]
    assert (reading.kind, len(found)) == (kind, findings)
    assert (first.package, first.fixed_version, first.ecosystem) == (package, fixed, ecosystem)
    assert first.rule_id.endswith(f":{advisory}")
    assert first.category == "security"
    assert first.description.startswith(f"Vulnerable dependency: {ecosystem} package {package}")
    assert not any(key.startswith("CWE-") for key in first.keys)


def test_every_format_has_a_file_here():
    kinds = {open_report(ReportFile(path, path.name)).kind for path in FIXTURES.glob("*.json*")}
    assert kinds == set(formats.READERS)


def test_the_words_of_a_dependency_name_both_versions():
    assert first_of("snyk.json").description == (
        "Vulnerable dependency: Maven package org.apache.santuario:xmlsec 2.1.1 (SNYK-JAVA-ORGAPACHESANTUARIO-460281, "
        "CVE-2019-12400), fixed in 2.1.4: XML External Entity (XXE) Injection"
    )
    assert first_of("snyk.json").file == "pom.xml"  # which stands behind the vulnerabilities


def test_keys_fingerprints_and_documentation_are_kept():
    assert first_of("pylint2.json").keys == ("pylint:C0114", "pylint:missing-module-docstring")
    assert "CWE-252" in first_of("gosec.json").keys
    assert "CWE-696" in first_of("semgrep.json").keys
    assert first_of("brakeman.json").fingerprint.startswith("518c8b9d")
    metadata = first_of("tfsec.json").metadata
    assert metadata is not None
    assert metadata.text.startswith("Use security policies for pods to restrict permissions")
    assert metadata.why.startswith("Pods could be operating with more permissions")


def test_a_message_with_words_of_the_code_is_no_documentation_of_its_rule():
    result = json.loads((FIXTURES / "semgrep.json").read_bytes())["results"][0]
    result["extra"] |= {
        "message": "Do not call danger_zone here.",
        "metavars": {"$F": {"abstract_content": "danger_zone"}},
    }
    (finding,) = read_report(json.dumps({"results": [result], "errors": []}).encode(), place="-").findings
    assert finding.metadata is None


def test_a_secret_is_never_read():
    for name in ("gitleaks.json", "gitlab_secrets.json"):
        said = repr(read_report((FIXTURES / name).read_bytes(), place="-"))
        for secret in ("secretAWSsecret", "AKIAIOSFODNN7EXAMPLE", "random:password@"):
            assert secret not in said


@pytest.mark.parametrize(
    ("content", "findings"),
    [
        ({"issues": [{"rule": "a:S1", "component": "p:x", "message": "m", "status": "CLOSED"}], "paging": {}}, 0),
        ({"issues": [{"rule": "a:S1", "component": "p:x", "message": "m", "status": "OPEN"}], "paging": {}}, 1),
        ({"generalDiagnostics": [{"severity": "information", "message": "m"}], "summary": {}}, 0),
        ([{"filePath": "a.js", "messages": [], "suppressedMessages": [{"message": "m"}]}], 0),
        ({"check_type": "x", "results": {"passed_checks": [{"check_name": "n"}], "failed_checks": []}}, 0),
        ({"Issues": [{"rule_id": "G1", "details": "d", "nosec": True}], "Stats": {}}, 0),
        (
            {"SchemaVersion": 2, "Results": [{"Misconfigurations": [{"ID": "A", "Message": "m", "Status": "PASS"}]}]},
            0,
        ),
        ({"plugins_used": [], "results": {"a": [{"type": "T", "is_secret": False}]}}, 0),
    ],
)
def test_what_is_no_failure_is_no_finding(content: object, findings: int):
    intake = read_report(json.dumps(content).encode(), place="-")
    assert (len(intake.findings), intake.refused) == (findings, [])


def test_members_that_stand_behind_records_are_known_when_these_are_read():
    data = {"files": [{"offenses": [{"message": "m", "cop_name": "A/B"}], "path": "a.rb"}], "summary": {}}
    assert read_report(json.dumps(data).encode(), place="-").findings[0].file == "a.rb"
    data = [{"messages": [{"message": f"m{n}"}], "filePath": f"{n}.js"} for n in range(3)]
    assert [one.file for one in read_report(json.dumps(data).encode(), place="-").findings] == ["0.js", "1.js", "2.js"]


def test_documents_may_stand_in_a_list_or_behind_each_other():
    page = (FIXTURES / "sonarqube.json").read_bytes()
    for data in (page + page, page + b"\n" + page, b"[" + page + b"," + page + b"]"):
        assert len(read_report(data, place="-").findings) == 10
    lines = (FIXTURES / "mypy.jsonl").read_bytes()
    assert len(read_report(b"[" + b",".join(lines.splitlines()) + b"]", place="-").findings) == 5


def test_a_broken_record_is_refused_with_its_place_and_the_others_are_read():
    files = json.loads((FIXTURES / "eslint.json").read_bytes())
    files[0]["messages"].insert(0, {"ruleId": "no-eval", "line": 3})
    files[0]["messages"].append(7)
    intake = read_report(json.dumps(files).encode(), place="-")
    assert len(intake.findings) == 2
    assert intake.refused == [
        Refused("[0].messages[0]", "has no message"),
        Refused("[0].messages[1]", "is not an object"),
    ]


@pytest.mark.parametrize("kind", sorted(formats.READERS))
def test_what_is_not_of_a_format_is_an_error_in_one_sentence(kind: FileKind):
    def said_of(data: bytes) -> str:
        try:
            open_report(ReportFile(data, "scan"), kind)
        except InvalidInput as error:
            return str(error)
        return ""

    others = (b"", b"{", b"[", b"<a/>", b"{}", b'{"a": 1}', b'[{"a": 1}]', b"words", b"\xff")
    assert [data for data in others if not said_of(data).startswith(("scan is empty", "scan is not"))] == []


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("*.json*")))
def test_a_file_that_breaks_off_is_refused_whole(name: str):
    whole = (FIXTURES / name).read_bytes().rstrip()
    with pytest.raises(InvalidInput, match=r"^scan is not valid JSON \(line \d+, column \d+\)"):
        open_report(ReportFile(whole[: len(whole) * 3 // 4], "scan"))


@pytest.mark.parametrize(
    ("kind", "data"), [("tfsec", b'{"results": []}'), ("osv-scanner", b'{"results": []}'), ("eslint", b"[]")]
)
def test_a_file_without_findings_is_read_where_its_format_is_named(kind: FileKind, data: bytes):
    assert read_report(data, kind=kind, place="-").findings == []


def test_memory_does_not_grow_with_the_records_of_a_file(tmp_path: Path):
    def reading(count: int) -> Callable[[], object]:
        path = tmp_path / str(count)
        message = json.dumps({"ruleId": "no-eval", "severity": 2, "message": "eval can be harmful.", "line": 1})
        path.write_text(f'[{{"filePath": "a.js", "messages": [{", ".join([message] * count)}]}}]')
        return lambda: count_outcomes(ReportFile(path, "-"), count)

    assert needs_less(reading(3_000), peak_memory(reading(1_000)) + 500_000)
