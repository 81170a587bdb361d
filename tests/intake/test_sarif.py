"""SARIF files become findings, whoever wrote them."""

import copy
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Intake, Refused
from lessonbook.intake import sarif as sarif_reader
from lessonbook.intake.json_events import open_json
from lessonbook.intake.report_file import ReportFile
from lessonbook.intake.sarif import open_sarif
from lessonbook.intake.sarif_rules import canonical_rule_id, tool_prefix
from tests.memory import needs_less, peak_memory
from tests.reading import count_outcomes, read_sarif

FIXTURES = Path(__file__).parents[1] / "fixtures"
DEMO = Path(__file__).parents[2] / "server" / "lessonbook" / "data" / "demo"


def sarif(*results: object, rules: list[Any] | None = None, tool: str = "Bandit", **run: object) -> bytes:
    driver = {"name": tool, "rules": rules or []}
    return json.dumps(
        {"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": list(results), **run}]}
    ).encode()


def result(text: str = "Something is wrong.", **more: object) -> dict[str, Any]:
    return {"message": {"text": text}, "ruleId": "B1", **more}


def at(uri: str, line: int = 1, **artifact: object) -> list[Any]:
    return [{"physicalLocation": {"artifactLocation": {"uri": uri, **artifact}, "region": {"startLine": line}}}]


def read_one(*results: object, **more: Any) -> Finding:
    intake = read_sarif(sarif(*results, **more))
    assert intake.refused == []
    return intake.findings[0]


class TestRealFiles:
    def test_bandit_on_airflow_gives_every_finding_with_its_place_and_weakness(self):
        intake = read_sarif((DEMO / "bandit.sarif").read_bytes())
        assert intake.refused == []
        assert len(intake.findings) == 90
        assert Counter(finding.severity for finding in intake.findings) == {"low": 44, "medium": 33, "high": 13}
        assert {finding.category for finding in intake.findings} == {"security"}
        sql = next(finding for finding in intake.findings if finding.rule_id == "bandit:B608")
        assert sql.keys == ("bandit:B608", "CWE-89")
        assert sql.description.startswith("Possible SQL injection vector")
        assert sql.file.startswith("airflow/")
        assert sql.line
        assert sql.metadata is None  # bandit says nothing of its rules but their names

    def test_ruff_on_airflow_gives_the_advice_in_the_words_of_its_rules(self):
        intake = read_sarif((DEMO / "ruff.sarif").read_bytes())
        assert intake.refused == []
        assert len(intake.findings) == 88
        texts = {finding.rule_id: finding.metadata.text for finding in intake.findings if finding.metadata}
        assert texts["ruff:E722"] == "Do not use bare `except`"
        assert texts["ruff:BLE001"].startswith("Instead of catching all exceptions, catch only those")
        assert not [text for text in texts.values() if re.search(r"\{\w+\}", text) or "##" in text or "](" in text]

    def test_ruff_leaves_the_severity_open_because_it_writes_error_for_every_rule(self):
        intake = read_sarif((DEMO / "ruff.sarif").read_bytes())
        assert {finding.severity for finding in intake.findings} == {None}

    def test_weaknesses_that_a_rule_page_refers_to_are_keys(self):
        intake = read_sarif((DEMO / "ruff.sarif").read_bytes())
        pickle = next(finding for finding in intake.findings if finding.rule_id == "ruff:S301")
        assert pickle.keys == ("ruff:S301", "CWE-502")
        assert pickle.category == "security"
        assert pickle.metadata
        assert pickle.metadata.keys == pickle.keys

    def test_absolute_file_addresses_become_paths(self):
        intake = read_sarif((FIXTURES / "ruff.sarif").read_bytes())
        assert {finding.file.partition("/salt/")[0] for finding in intake.findings} == {"/src/salt-2019.2.0"}

    def test_the_demo_names_no_path_of_the_machine_that_scanned(self):
        for name in ("bandit.sarif", "ruff.sarif"):
            intake = read_sarif((DEMO / name).read_bytes())
            assert all(finding.file.startswith("airflow/") for finding in intake.findings)
            assert len((DEMO / name).read_bytes()) < 150_000

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
    def test_every_unicode_encoding_reads_the_same(self, encoding: str):
        text = (FIXTURES / "bandit.sarif").read_text("utf-8")
        assert read_sarif(text.encode(encoding)) == read_sarif(text) == read_sarif("\ufeff" + text)


class TestRules:
    def test_a_rule_is_found_by_id_by_index_and_by_reference(self):
        rules = [{"id": "A1"}, {"id": "B1", "properties": {"tags": ["security"]}}]
        for naming in ({"ruleId": "B1"}, {"ruleIndex": 1}, {"rule": {"id": "B1"}}, {"rule": {"index": 1}}):
            finding = read_one({"message": {"text": "x"}, **naming}, rules=rules)
            assert (finding.rule_id, finding.category) == ("bandit:B1", "security")

    def test_a_rule_of_an_extension_is_found_through_its_component(self):
        log = {
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {
                        "driver": {"name": "CodeQL", "rules": [{"id": "py/other"}]},
                        "extensions": [
                            {"name": "empty"},
                            {
                                "name": "codeql/python-queries",
                                "rules": [
                                    {
                                        "id": "py/sql-injection",
                                        "properties": {
                                            "tags": ["security", "external/cwe/cwe-089"],
                                            "security-severity": "8.8",
                                        },
                                    }
                                ],
                            },
                        ],
                    },
                    "results": [
                        {
                            "rule": {"id": "py/sql-injection", "index": 0, "toolComponent": {"index": 1}},
                            "message": {"text": "This query depends on a [user-provided value](1)."},
                        },
                        {
                            "ruleIndex": 0,
                            "rule": {"toolComponent": {"name": "codeql/python-queries"}},
                            "message": {"text": "x"},
                        },
                        {"ruleId": "py/sql-injection", "message": {"text": "x"}},
                    ],
                }
            ],
        }
        intake = read_sarif(json.dumps(log))
        assert {finding.rule_id for finding in intake.findings} == {"codeql:py/sql-injection"}
        assert {finding.keys for finding in intake.findings} == {("codeql:py/sql-injection", "CWE-89")}
        assert {finding.severity for finding in intake.findings} == {"high"}
        assert intake.findings[0].description == "This query depends on a user-provided value."

    def test_the_id_is_believed_where_the_index_contradicts_it(self):
        rules = [{"id": "A1", "properties": {"tags": ["CWE-1"]}}, {"id": "B1", "properties": {"tags": ["CWE-2"]}}]
        assert read_one(result(ruleIndex=0), rules=rules).keys == ("bandit:B1", "CWE-2")
        assert read_one(result(ruleId="C1", ruleIndex=0), rules=rules).keys == ("bandit:C1",)
        assert read_one(result(ruleIndex=99), rules=rules).keys == ("bandit:B1", "CWE-2")

    def test_a_sub_rule_goes_by_the_rule_above_it(self):
        assert read_one(result(ruleId="B1/7"), rules=[{"id": "B1"}]).rule_id == "bandit:B1"

    def test_a_result_without_a_rule_is_still_a_finding(self):
        finding = read_one({"message": {"text": "Odd."}})
        assert (finding.rule_id, finding.keys, finding.severity) == ("", (), "medium")

    @pytest.mark.parametrize(
        ("tool", "rule_id", "key"),
        [
            ("Bandit", "B608", "bandit:B608"),
            ("ruff", "S608", "ruff:S608"),
            ("ESLint", "no-eval", "eslint:no-eval"),
            ("Semgrep OSS", "python.lang.security.audit.eval-detected.eval-detected", "semgrep:eval-detected"),
            ("CodeQL", "py/sql-injection", "codeql:py/sql-injection"),
            ("Snyk Code", "python/Sqli", "snyk-code:python/Sqli"),
            ("bandit", "bandit:B608", "bandit:B608"),
            ("", "X1", "X1"),
        ],
    )
    def test_rule_ids_carry_the_name_of_their_tool(self, tool: str, rule_id: str, key: str):
        assert canonical_rule_id(tool_prefix(tool), rule_id) == key
        assert read_one(result(ruleId=rule_id), tool=tool).rule_id == key

    def test_weaknesses_come_from_tags_properties_taxa_and_relationships(self):
        cwe = {"name": "CWE", "taxa": [{"id": "79"}, {"id": "89"}]}
        rule = {
            "id": "B1",
            "properties": {
                "cwe": ["CWE-20: Improper Input Validation", 22],
                "tags": ["external/cwe/cwe-089", "CWE-78: x"],
            },
            "relationships": [{"target": {"index": 0, "toolComponent": {"name": "CWE", "index": 0}}}],
        }
        taxa = [
            {"id": "611", "toolComponent": {"name": "CWE"}},
            {"id": "CWE-327"},
            {"id": "A03", "toolComponent": {"name": "OWASP"}},
        ]
        finding = read_one(result(taxa=taxa, properties={"tags": ["CWE-89"]}), rules=[rule], taxonomies=[cwe])
        assert finding.keys == ("bandit:B1", "CWE-89", "CWE-78", "CWE-20", "CWE-22", "CWE-79", "CWE-611", "CWE-327")
        assert finding.category == "security"

    def test_numbers_of_other_taxonomies_are_no_weaknesses(self):
        owasp = {"name": "OWASP", "guid": "g", "taxa": [{"id": "3"}]}
        taxa = [{"id": "3", "toolComponent": {"guid": "g"}}, {"index": 0, "toolComponent": {"index": 0}}]
        assert read_one(result(taxa=taxa), taxonomies=[owasp]).keys == ("bandit:B1",)


class TestWords:
    def rule(self, **texts: str) -> dict[str, Any]:
        return {"id": "B1", **{key: {"text": text} for key, text in texts.items()}}

    def words(self, **texts: str) -> tuple[str, str]:
        metadata = read_one(result(), rules=[self.rule(**texts)]).metadata
        assert metadata
        return metadata.text, metadata.why

    def test_the_whole_page_is_kept_beside_its_advice(self) -> None:
        texts = {
            "help": "Use `hmac.compare_digest` for signatures. You are free now.",
            "shortDescription": "Timing",
            "fullDescription": "Timing",
        }
        metadata = read_one(result(), rules=[self.rule(**texts)]).metadata
        assert metadata
        assert metadata.source == "Use `hmac.compare_digest` for signatures. You are free now.\n\nTiming"

    def test_advice_is_preferred_to_a_title(self):
        assert self.words(shortDescription="Use of eval detected.", help="Never evaluate input.") == (
            "Never evaluate input.",
            "Use of eval detected.",
        )

    def test_advice_that_closes_a_description_becomes_the_rule(self):
        full = "eval runs any code. Instead, use a parser that knows literals and nothing else in the world."
        text, why = self.words(shortDescription="eval is dangerous in a server.", fullDescription=full)
        assert text == "Use a parser that knows literals and nothing else in the world."
        assert why == "eval is dangerous in a server."

    def test_what_stands_under_recommendation_is_the_rule(self):
        page = "# Query of input\nIt can be rewritten.\n\n## Recommendation\nBind the values.\n\n## Example\nfoo()"
        text, why = self.words(
            help=page, shortDescription="Query built from input", fullDescription="Input can rewrite the statement."
        )
        assert (text, why) == ("Bind the values.", "It can be rewritten.")

    def test_code_examples_placeholders_and_links_stay_out(self):
        text, why = self.words(
            help="Rename `{name}` to something that is used",
            fullDescription="## Why is this bad?\nIt [confuses](https://example.org) readers of the page.\n\n"
            "```python\nUse = 1\n```\n## Recommendation\nRemove what is [unused](x).\n## Example\nUse this one.",
        )
        assert (text, why) == ("Remove what is unused.", "It confuses readers of the page.")

    def test_advice_is_never_cut_in_the_middle(self):
        long = "Avoid the call of " + "x" * 600 + "."
        assert read_one(result(), rules=[self.rule(help=long)]).metadata is None

    def test_a_rule_whose_words_are_no_advice_has_no_metadata(self):
        texts = {"shortDescription": "Use of eval detected.", "fullDescription": "eval runs any code."}
        assert read_one(result(), rules=[self.rule(**texts)]).metadata is None

    def test_the_title_of_a_rule_is_its_short_description_or_its_name(self):
        assert read_one(result(), rules=[self.rule(shortDescription="Use of eval")]).rule_title == "Use of eval"
        assert read_one(result(), rules=[{"id": "B1", "name": "EvalUse"}]).rule_title == "EvalUse"

    def test_a_rule_without_words_has_no_metadata(self):
        assert read_one(result(), rules=[{"id": "B1", "name": "blacklist"}]).metadata is None

    def test_words_that_no_database_stores_are_dropped_and_the_finding_kept(self):
        assert read_one(result(), rules=[self.rule(help="Avoid \x00 this.")]).metadata is None


class TestRuns:
    def test_a_result_without_a_message_has_the_text_of_its_rule(self):
        rules = [{"id": "B1", "shortDescription": {"text": "Assert is used"}}, {"id": "B2"}]
        assert read_one({"ruleId": "B1"}, rules=rules).description == "Assert is used"
        assert read_one({"ruleId": "B1", "message": {"text": ""}}, rules=rules).description == "Assert is used"
        intake = read_sarif(sarif({"ruleId": "B2"}, rules=rules))
        assert [refused.reason for refused in intake.refused] == ["has no message"]

    def test_what_a_run_says_of_its_failure_is_noted(self):
        def notes(**invocation: object) -> tuple[str, ...]:
            return open_sarif(ReportFile(sarif(invocations=[invocation]), "-")).notes

        def error(text: str) -> dict[str, Any]:
            return {"level": "error", "message": {"text": text}}

        assert notes(executionSuccessful=True) == ()
        assert notes(executionSuccessful=False) == ("bandit did not run to its end: findings may be missing",)
        assert notes(executionSuccessful=False, exitCodeDescription="killed")[0].endswith("be missing (killed)")
        for member in ("toolExecutionNotifications", "toolConfigurationNotifications"):
            told = notes(executionSuccessful=True, **{member: [error("no\n such file"), {"level": "warning"}]})
            assert told == ("bandit reports an error (no such file)",)
        many = notes(toolExecutionNotifications=[error(f"{n} " + "x" * 1_000) for n in range(100)])
        assert len(many) == 10
        assert max(map(len, many)) < 300

    def test_broken_invocations_say_nothing(self):
        for broken in (None, 7, [None], [{"toolExecutionNotifications": [None, {"level": "error"}]}], {"a": 1}):
            assert len(open_sarif(ReportFile(sarif(invocations=broken), "-")).notes) <= 1

    def test_the_tools_are_named(self):
        assert open_sarif(ReportFile(sarif(tool="Semgrep OSS"), "-")).name == "SARIF of semgrep"
        assert open_sarif(ReportFile(sarif(tool=""), "-")).name == "SARIF"

    def test_a_prerelease_of_the_version_is_read_and_an_old_one_is_refused_by_its_number(self):
        later = sarif(result()).replace(b'"2.1.0"', b'"2.1.0-rtm.5"')
        assert len(read_sarif(later).findings) == 1
        with pytest.raises(InvalidInput, match=r"SARIF is SARIF 1\.0\.0, which is not read"):
            read_sarif(b'{"version": "1.0.0", "runs": [{"results": []}]}')


class TestSeverity:
    @pytest.mark.parametrize(
        ("level", "severity"),
        [("error", "high"), ("warning", "medium"), ("note", "low"), (None, "medium"), ("odd", None)],
    )
    def test_a_level_maps_to_a_severity(self, level: str | None, severity: str | None):
        assert read_one(result(level=level)).severity == severity

    def test_the_rule_sets_the_level_where_the_result_does_not(self):
        rules = [{"id": "B1", "defaultConfiguration": {"level": "error"}}]
        assert read_one(result(), rules=rules).severity == "high"
        assert read_one(result(level="note"), rules=rules).severity == "low"

    @pytest.mark.parametrize(
        ("score", "severity"),
        [("9.8", "critical"), (9, "critical"), ("7.0", "high"), (4.0, "medium"), ("3.9", "low"), ("0", "low")],
    )
    def test_a_security_score_wins_over_the_level(self, score: object, severity: str):
        finding = read_one(result(level="note", properties={"security-severity": score}))
        assert (finding.severity, finding.category) == (severity, "security")
        rules = [{"id": "B1", "properties": {"security-severity": score}}]
        assert read_one(result(level="error"), rules=rules).severity == severity

    @pytest.mark.parametrize("score", ["NaN", "inf", "", "high", True, [], "9" * 400])
    def test_a_score_that_is_no_number_is_ignored(self, score: object):
        finding = read_one(result(level="error", properties={"security-severity": score}))
        assert (finding.severity, finding.category) == ("high", None)

    def test_findings_that_are_not_about_security_have_no_category(self):
        assert read_one(result(), rules=[{"id": "B1", "properties": {"tags": ["style"]}}]).category is None


class TestLeftOut:
    @pytest.mark.parametrize("kind", ["pass", "open", "informational", "notApplicable", "review"])
    def test_results_that_are_no_failures_are_left_out(self, kind: str):
        assert read_sarif(sarif(result(kind=kind))) == Intake()
        assert len(read_sarif(sarif(result(kind="fail"))).findings) == 1

    def test_results_of_level_none_are_left_out(self):
        assert read_sarif(sarif(result(level="none"))) == Intake()

    @pytest.mark.parametrize(
        ("suppressions", "kept"),
        [
            ([{"kind": "inSource"}], 0),
            ([{"kind": "external", "status": "accepted"}], 0),
            ([{"status": "accepted"}, {}], 0),
            ([{"status": "rejected"}, {"status": "accepted"}], 1),
            ([{"status": "accepted"}, {"status": "underReview"}], 1),
            ([{"status": "rejected"}], 1),
            ([{"status": "underReview"}], 1),
            ([], 1),
            (None, 1),
        ],
    )
    def test_suppressed_results_are_left_out(self, suppressions: object, kept: int):
        assert len(read_sarif(sarif(result(suppressions=suppressions))).findings) == kept

    @pytest.mark.parametrize(
        ("state", "is_new"), [("new", True), (None, True), ("unchanged", False), ("updated", False), ("odd", True)]
    )
    def test_results_known_before_are_marked(self, state: str | None, is_new: bool):
        assert read_one(result(baselineState=state)).is_new is is_new

    def test_results_that_are_gone_are_left_out(self):
        assert read_sarif(sarif(result(baselineState="absent"))) == Intake()

    def test_what_is_left_out_counts_among_the_records_of_the_file(self):
        content = sarif(result(), result(kind="pass"), result(baselineState="absent"), 7)
        reading = open_sarif(ReportFile(content, "scan"))
        assert (reading.kind, reading.records) == ("sarif", 4)
        assert [type(outcome).__name__ for outcome in reading.outcomes] == [
            "Finding",
            "NoneType",
            "NoneType",
            "Refused",
        ]


class TestMessages:
    def test_a_message_id_is_looked_up_in_the_rule_and_filled(self):
        rules = [{"id": "B1", "messageStrings": {"default": {"text": "'{0}' is {{not}} {1} {7}"}}}]
        finding = read_one({"ruleId": "B1", "message": {"id": "default", "arguments": ["x", "{0}"]}}, rules=rules)
        assert finding.description == "'x' is {not} {0} {7}"

    def test_a_message_shared_by_all_rules_is_found(self):
        log = json.loads(sarif({"message": {"id": "m"}}))
        log["runs"][0]["tool"]["driver"]["globalMessageStrings"] = {"m": {"text": "Shared words."}}
        assert read_sarif(json.dumps(log)).findings[0].description == "Shared words."

    def test_braces_stay_where_no_arguments_are_given(self):
        assert read_one(result("f'{0}' and {{x}}")).description == "f'{0}' and {{x}}"

    def test_markdown_is_read_where_there_is_no_text(self):
        assert read_one({"message": {"markdown": "*Odd*"}}).description == "*Odd*"

    def test_endless_paths_take_no_time(self):
        assert read_one(result(locations=at("./" * 1_000_000))).file == ""

    def test_long_messages_are_clipped_and_do_not_explode(self):
        assert len(read_one(result("x" * 50_000)).description) == 20_000
        bomb = {"message": {"text": "{0}" * 100_000, "arguments": ["y" * 100_000]}}
        assert len(read_one(bomb).description) == 20_000


class TestPlaces:
    @pytest.mark.parametrize(
        ("uri", "path"),
        [
            ("./src/a.py", "src/a.py"),
            (".//./src/./a.py", "src/./a.py"),
            ("file:///srv/me/a%20b.py", "/srv/me/a b.py"),
            ("file:/home/me/a.py", "~/a.py"),
            ("file://localhost/a.py", "/a.py"),
            ("file:///C:/code/a.py", "C:/code/a.py"),
            ("src\\a.py", "src/a.py"),
            ("src/%C3%A9.py", "src/é.py"),
            ("http://[::1/a.py", "http://[::1/a.py"),
            ("", ""),
        ],
    )
    def test_an_address_becomes_a_path(self, uri: str, path: str):
        assert read_one(result(locations=at(uri))).file == path

    def test_relative_bases_are_put_before_a_path_and_those_of_the_machine_are_not(self):
        bases = {
            "ROOT": {"uri": "file:///builds/me/app/"},
            "WEB": {"uri": "packages/web/", "uriBaseId": "ROOT"},
            "LOOP": {"uri": "l", "uriBaseId": "LOOP"},
        }
        files = [("a.ts", "WEB"), ("a.ts", "ROOT"), ("a.ts", "GONE"), ("/a.ts", "WEB"), ("C:/a.ts", "WEB")]
        found = [read_one(result(locations=at(u, uriBaseId=b)), originalUriBaseIds=bases).file for u, b in files]
        assert found == ["packages/web/a.ts", "a.ts", "a.ts", "/a.ts", "C:/a.ts"]
        assert read_one(result(locations=at("a", uriBaseId="LOOP")), originalUriBaseIds=bases).file.endswith("l/a")

    def test_an_artifact_may_be_named_by_index(self):
        location = [{"physicalLocation": {"artifactLocation": {"index": 1}, "region": {"startLine": 3}}}]
        artifacts = [{"location": {"uri": "a.py"}}, {"location": {"uri": "b.py"}}]
        finding = read_one(result(locations=location), artifacts=artifacts)
        assert (finding.file, finding.line) == ("b.py", 3)

    @pytest.mark.parametrize("line", [0, -1, True, 1.5, "7", None, 10**9])
    def test_a_line_that_is_none_is_left_out(self, line: Any):
        assert read_one(result(locations=at("a.py", line))).line is None

    def test_fingerprints_are_the_same_in_any_order(self):
        one = read_one(result(partialFingerprints={"b": "2", "a": "1"})).fingerprint
        other = read_one(result(partialFingerprints={"a": "1", "b": "2"})).fingerprint
        assert one == other == "a=1|b=2"
        assert read_one(result(partialFingerprints={"a": "1"}, fingerprints={"z": "9"})).fingerprint == "z=9"
        assert read_one(result(fingerprints={"z": "9" * 5_000})).fingerprint.startswith("sha256=")
        assert read_one(result()).fingerprint == ""


class TestRefusals:
    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (7, "is not an object"),
            (None, "is not an object"),
            ({}, "has no message"),
            (result("  "), "has no message"),
            (result(ruleId=5), "has a rule id that is not text"),
            (result(ruleId="a/" * 1_000_000), "rule id has 2000000 characters; at most 1000 are read"),
            (result(ruleId="x" * 300), "rule id has 307 characters; at most 200 are kept"),
            (result("\x00"), "has no message"),
            (result("x" * 5_000_000), "takes more than 4 MiB"),
            (result(properties={"tags": [[]] * 50_000}), "takes more than 4 MiB"),
            (result(locations=at("a%00.py")), "file path has a NUL character at position 1; remove it"),
            (result(locations=at("a" * 2_000)), "file path has 2000 characters; at most 1000 are kept"),
        ],
    )
    def test_one_bad_result_is_refused_and_the_others_are_read(self, bad: object, reason: str):
        intake = read_sarif(sarif(result("one"), bad, result("two")))
        assert [finding.description for finding in intake.findings] == ["one", "two"]
        assert intake.refused == [Refused("runs[0].results[1]", reason)]

    @pytest.mark.parametrize("nested", [b"[" * 50_000 + b"]" * 50_000, b'{"a":' * 50_000 + b"0" + b"}" * 50_000])
    @pytest.mark.parametrize("member", ["properties", "codeFlows"])
    def test_a_file_that_nests_deeper_than_any_scanner_is_refused(self, member: str, nested: bytes):
        content = sarif(result("one"), result(**{member: "HERE"})).replace(b'"HERE"', nested)
        with pytest.raises(InvalidInput, match="nested more than 200 deep"):
            read_sarif(content)
        fine = sarif(result("one"), result("two", **{member: "HERE"})).replace(b'"HERE"', b"[" * 190 + b"]" * 190)
        assert [finding.description for finding in read_sarif(fine).findings] == ["one", "two"]

    def test_a_bad_run_is_refused_and_the_others_are_read(self):
        log = json.loads(sarif(result()))
        log["runs"] = ["no run", {"results": 3}, {"tool": {}}, *log["runs"]]
        intake = read_sarif(json.dumps(log))
        assert [refused.place for refused in intake.refused] == ["runs[0]", "runs[1].results"]
        assert len(intake.findings) == 1

    @pytest.mark.parametrize(
        ("data", "problem"),
        [
            (b"", "is empty"),
            (b" \n", "is empty"),
            (b'{"version": "2.1.0", "runs": [', "is not valid JSON (line 1, column 31)"),
            (b"\xff\xfe\xff", "does not allow"),
            (b'{"runs": [' + b"9" * 5_000 + b"]}", "does not allow"),
            (b"[]", "not a SARIF object"),
            (b'"secret"', "not a SARIF object"),
            (b"{}", "has no list of `runs`"),
            (b'{"runs": {}, "version": "2.1.0"}', "has no list of `runs`"),
            (b'{"runs": [], "version": "2.0.0"}', "is SARIF 2.0.0, which is not read"),
            (b'{"runs": []}', "is not SARIF 2.1.0"),
            (b"[" * 200_000, "is nested more than 200 deep"),
            (b'{"a":' * 200_000, "is nested more than 200 deep"),
            (b'{"version": "2.1.0",\n "runs": [NaN]}', "is not valid JSON (line 2, column 11)"),
            ('{"é": "ü",\r\n "ß" 1}'.encode(), "is not valid JSON (line 2, column 6)"),
            (b'{"version": "2.1.0", "runs": []} {}', "is not valid JSON (line 1, column 34)"),
            (b'{"a": [1e99999999999999999999999]}', "does not allow"),
        ],
    )
    def test_what_is_no_sarif_is_refused_in_one_sentence(self, data: bytes, problem: str):
        with pytest.raises(InvalidInput) as caught:
            read_sarif(data, place="scan.sarif")
        message = str(caught.value)
        assert message.startswith("scan.sarif ")
        assert problem in message
        assert "; give the file a scanner wrote" in message
        assert "secret" not in message
        assert caught.value.__cause__ is None


class TestStreaming:
    def test_rules_artifacts_and_taxonomies_may_stand_behind_the_results(self):
        content = json.loads((FIXTURES / "ruff.sarif").read_text("utf-8"))
        run = content["runs"][0]
        run["taxonomies"] = [{"name": "CWE", "taxa": [{"id": "89"}]}]
        run["artifacts"] = [{"location": {"uri": "src/listed.py"}}]
        run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"] = {"index": 0}
        run["results"][0]["taxa"] = [{"index": 0, "toolComponent": {"index": 0}}]
        behind = {"runs": [{"results": run["results"], **run}], "version": content["version"]}
        before = {"version": content["version"], "runs": [{**{k: run[k] for k in run if k != "results"}, **run}]}
        before["runs"][0]["results"] = before["runs"][0].pop("results")
        assert next(iter(behind["runs"][0])) == "results"
        assert list(before["runs"][0])[-1] == "results"
        read = read_sarif(json.dumps(behind))
        assert read == read_sarif(json.dumps(before))
        assert read.findings[0].file == "src/listed.py"
        assert "CWE-89" in read.findings[0].keys
        assert read.findings[0].metadata

    def test_each_of_several_runs_is_read_by_its_own_rules(self):
        runs = [
            json.loads(sarif(result(), tool=tool, rules=[{"id": "B1", "defaultConfiguration": {"level": level}}]))
            for tool, level in (("one", "error"), ("two", "note"))
        ]
        log = {"version": "2.1.0", "runs": [run["runs"][0] for run in runs] + [{"results": [3]}]}
        intake = read_sarif(json.dumps(log))
        assert [(found.rule_id, found.severity) for found in intake.findings] == [("one:B1", "high"), ("two:B1", "low")]
        assert intake.refused == [Refused("runs[2].results[0]", "is not an object")]

    @pytest.mark.parametrize("cut", [0.5, 0.8, 0.999])
    def test_a_file_that_breaks_off_is_refused_before_anything_of_it_is_read(self, cut: float):
        whole = (FIXTURES / "bandit.sarif").read_bytes().rstrip()
        with pytest.raises(InvalidInput, match=r"is not valid JSON \(line \d+, column \d+\)"):
            open_sarif(ReportFile(whole[: int(len(whole) * cut)], "scan"))

    def test_results_are_read_as_they_are_asked_for(self, tmp_path: Path):
        path = tmp_path / "scan.sarif"
        path.write_bytes(sarif(*[result(f"Number {number}.") for number in range(2_000)]))
        outcomes = open_sarif(ReportFile(path, "scan")).outcomes
        first = next(outcomes)
        assert isinstance(first, Finding)
        assert first.description == "Number 0."
        outcomes.close()

    def test_memory_does_not_grow_with_the_number_of_results(self, tmp_path: Path):
        def reading(count: int) -> Callable[[], object]:
            path = tmp_path / f"{count}.sarif"
            path.write_bytes(sarif(*[result("x" * 1_000)] * count))
            return lambda: count_outcomes(ReportFile(path, "scan"), count)

        assert needs_less(reading(2_000), 1.5 * peak_memory(reading(200)))

    def test_a_file_that_changes_while_it_is_read_is_told(self, tmp_path: Path):
        path = tmp_path / "scan.sarif"
        path.write_bytes(sarif(*[result("x" * 1_000)] * 400))
        outcomes = open_sarif(ReportFile(path, "scan")).outcomes
        path.write_bytes(sarif(result())[:-9])
        with pytest.raises(InvalidInput, match="scan was changed while it was read"):
            list(outcomes)

    def test_references_that_are_too_large_are_told_and_results_are_read_without_them(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(sarif_reader, "_REFERENCES_MAX", 2_000)
        rules = [{"id": f"B{number}", "defaultConfiguration": {"level": "error"}} for number in range(100)]
        intake = read_sarif(sarif(result(), result(ruleId="B99"), rules=rules))
        assert [finding.severity for finding in intake.findings] == ["high", "medium"]
        assert [refused.place for refused in intake.refused] == ["runs[0].tool"]

    def test_runs_beyond_the_bound_are_told(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(sarif_reader, "_RUNS_MAX", 1)
        log = json.loads(sarif(result()))
        log["runs"] *= 2
        intake = read_sarif(json.dumps(log))
        assert len(intake.findings) == 1
        assert intake.refused == [Refused("runs[1]", "is beyond the first 1")]

    @pytest.mark.parametrize("huge", [2**64, 10**400, "1e999", "-1E-999", 0.1])
    def test_numbers_of_any_size_lose_no_result(self, huge: object):
        content = sarif(result("one"), result("two", properties={"n": "HUGE"}), result("three")).replace(
            b'"HUGE"', str(huge).encode()
        )
        assert [finding.description for finding in read_sarif(content).findings] == ["one", "two", "three"]

    @pytest.mark.parametrize("escape", [r"\ud800", r"\uDFFF", r"\udc00\ud800", r"\ud83d\u0041", r"\\\ud800"])
    @pytest.mark.parametrize("before", [0, 65_500, 65_525, 65_530, 65_534])
    def test_half_a_surrogate_pair_is_replaced_wherever_it_stands(self, escape: str, before: int):
        content = sarif(result("one"), result("HERE"), result(r"C:\users\udo \U0001f600"))
        content = content.replace(b"HERE", b"x" * before + escape.encode() + b" end")
        found = [finding.description for finding in read_sarif(content).findings]
        whole = json.loads(f'"{"x" * before + escape} end"')
        assert found == ["one", re.sub("[\ud800-\udfff]", "\ufffd", whole)[:20_000], r"C:\users\udo \U0001f600"]

    @given(st.text(st.characters(), max_size=40), st.integers(0, 30))
    def test_every_text_is_read_as_json_reads_it(self, text: str, before: int):
        monkeypatched = pytest.MonkeyPatch()
        monkeypatched.setattr("lessonbook.intake.json_events.CHUNK_BYTES", 16)
        try:
            content = " " * before + json.dumps([text])
            file = open_json(ReportFile(content.encode(), "-"), "")
            with file.events() as events:
                read = [value for kind, value in events if kind == "string"]
        finally:
            monkeypatched.undo()
        pairs = json.loads(json.dumps(text))  # two halves beside each other become one character
        assert read == [re.sub("[\ud800-\udfff]", "\ufffd", pairs)]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SAMPLE: dict[str, Any] = json.loads((FIXTURES / "bandit.sarif").read_text("utf-8"))
SAMPLE["runs"][0]["results"] = SAMPLE["runs"][0]["results"][:2]
SAMPLE["runs"][0]["results"][0] |= {
    "rule": {"index": 0, "toolComponent": {"index": 0, "name": "x"}},
    "taxa": [{"index": 0, "toolComponent": {"index": 0}}],
    "suppressions": [{"status": "rejected"}],
    "partialFingerprints": {"a": "b"},
    "message": {"id": "m", "arguments": ["x"], "text": "{0}"},
    "properties": {"tags": ["CWE-1"], "cwe": [1], "security-severity": "5"},
}
SAMPLE["runs"][0] |= {
    "taxonomies": [{"name": "CWE", "taxa": [{"id": "89"}]}],
    "originalUriBaseIds": {"ROOT": {"uri": "src/"}},
    "artifacts": [{"location": {"uri": "a.py"}}],
}
SAMPLE["runs"][0]["tool"]["driver"]["rules"][0] |= {
    "help": {"text": "## Why is this bad?\nAvoid [it](x)."},
    "messageStrings": {"m": {"text": "{0}"}},
    "defaultConfiguration": {"level": "error"},
    "relationships": [{"target": {"id": "89", "toolComponent": {"name": "CWE"}}}],
}


RECORD: dict[str, Any] = SAMPLE["runs"][0]["results"][0] | {
    "ruleId": "B1",
    "ruleIndex": 0,
    "kind": "fail",
    "level": "error",
    "baselineState": "new",
    "fingerprints": {"a": "b"},
    "codeFlows": [{}],
}


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


PLACES = [place for place in places(SAMPLE) if place and "metrics" not in place]


def reads_or_is_invalid(data: bytes | str) -> None:
    try:
        intake = read_sarif(data)
    except InvalidInput:
        return
    for finding in intake.findings:
        assert finding.description.strip()
        f"{finding}".encode()


class TestAnything:
    @given(ANYTHING)
    def test_any_json_is_read_or_invalid(self, value: object):
        reads_or_is_invalid(json.dumps(value))
        reads_or_is_invalid(json.dumps({"version": "2.1.0", "runs": value}))
        reads_or_is_invalid(json.dumps({"version": "2.1.0", "runs": [{"results": value}]}))

    @given(st.binary(max_size=64))
    def test_any_bytes_are_read_or_invalid(self, data: bytes):
        reads_or_is_invalid(data)

    @settings(max_examples=100, deadline=None)
    @given(
        st.sampled_from(list(RECORD)),
        ANYTHING.filter(lambda value: "NaN" not in (text := json.dumps(value)) and "Infinity" not in text),
    )
    def test_whatever_a_result_holds_the_others_are_read(self, member: str, value: object):
        content = sarif(result("one"), {**RECORD, member: value}, result("two"), rules=[{"id": "B1"}])
        intake = read_sarif(content)
        told = [finding.description for finding in intake.findings]
        assert (told[0], told[-1]) == ("one", "two")
        assert len(told) + len(intake.refused) <= 3
        assert {refused.place for refused in intake.refused} <= {"runs[0].results[1]"}

    @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(PLACES), ANYTHING), min_size=1, max_size=4))
    def test_a_mutated_file_is_read_or_invalid(self, changes: list[tuple[tuple[Any, ...], object]]):
        log = copy.deepcopy(SAMPLE)
        for path, value in changes:
            holder: Any = log
            for key in path[:-1]:
                try:
                    holder = holder[key]
                except (KeyError, IndexError, TypeError):
                    break
            else:
                if isinstance(holder, dict) or (
                    isinstance(holder, list) and isinstance(path[-1], int) and path[-1] < len(holder)
                ):
                    holder[path[-1]] = value
        reads_or_is_invalid(json.dumps(log))
