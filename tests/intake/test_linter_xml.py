"""XML of linters becomes findings."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import FileKind, Finding
from lessonbook.intake.readers import open_report
from lessonbook.intake.report_file import ReportFile
from tests.memory import needs_less, peak_memory
from tests.reading import count_outcomes, read_report

FIXTURES = Path(__file__).parents[1] / "fixtures" / "linters"


def read(content: str) -> list[Finding]:
    intake = read_report(content.encode(), place="-")
    assert intake.refused == []
    return intake.findings


def checkstyle(file: str, source: str, severity: str = "warning", message: str = "m") -> Finding:
    error = f'<error line="3" severity="{severity}" message="{message}" source="{source}"/>'
    (finding,) = read(f'<checkstyle version="4.3"><file name="{file}">{error}</file></checkstyle>')
    return finding


@pytest.mark.parametrize(
    ("name", "kind", "findings", "rule_id"),
    [
        ("checkstyle.xml", "checkstyle", 58, "checkstyle:MagicNumber"),
        ("checkstyle_eslint.xml", "checkstyle", 2, "eslint:no-unused-vars"),
        ("checkstyle_phpstan.xml", "checkstyle", 11, ""),
        ("checkstyle_scalastyle.xml", "checkstyle", 2, "scalastyle:HeaderMatches"),
        ("pmd.xml", "pmd", 4, "pmd:IframeMissingSrcAttribute"),
        ("cpd.xml", "cpd", 1, "cpd:duplication"),
        ("spotbugs.xml", "spotbugs", 2, "spotbugs:RV_RETURN_VALUE_IGNORED_NO_SIDE_EFFECT"),
        ("cppcheck.xml", "cppcheck", 3, "cppcheck:variableScope"),
    ],
)
def test_real_files_are_known_by_their_content_and_read(name: str, kind: FileKind, findings: int, rule_id: str):
    data = (FIXTURES / name).read_bytes()
    assert open_report(ReportFile(data, "-")).kind == kind
    intake = read_report(data, place="-")
    assert (len(intake.findings), intake.refused) == (findings, [])
    assert intake.findings[0].rule_id == rule_id
    assert all(finding.file and finding.line and finding.description for finding in intake.findings)
    assert read_report(data, kind=kind, place="-") == intake
    with pytest.raises(InvalidInput, match=r"^out is not valid XML \(line \d+, column \d+\)"):
        read_report(data[: len(data) * 3 // 4], place="out")


class TestCheckstyle:
    @pytest.mark.parametrize(
        ("file", "source", "rule_id"),
        [
            ("A.java", "com.puppycrawl.tools.checkstyle.checks.coding.MagicNumberCheck", "checkstyle:MagicNumber"),
            ("a.kt", "detekt.MagicNumber", "detekt:MagicNumber"),
            ("a.kt", "standard:no-wildcard-imports", "ktlint:standard:no-wildcard-imports"),
            ("a.kts", "no-wildcard-imports", "ktlint:no-wildcard-imports"),
            ("a.js", "eslint.rules.no-unused-vars", "eslint:no-unused-vars"),
            ("a.ts", "eslint.rules.@typescript-eslint/no-explicit-any", "eslint:@typescript-eslint/no-explicit-any"),
            ("a.swift", "swiftlint.rules.line_length", "swiftlint:line_length"),
            ("a.php", "Squiz.Commenting.FileComment.Missing", "phpcs:Squiz.Commenting.FileComment.Missing"),
            ("a.php", "missingType.return", "phpstan:missingType.return"),
            ("a.go", "errcheck", "errcheck:errcheck"),
            ("a.sh", "ShellCheck.SC2086", "shellcheck:SC2086"),
            ("Dockerfile", "DL3008", "hadolint:DL3008"),
            ("a.rb", "com.puppycrawl.tools.checkstyle.Style/StringLiterals", "rubocop:Style/StringLiterals"),
            ("a.py", "F401", "flake8:F401"),
            ("a.scala", "org.scalastyle.file.FileLengthChecker", "scalastyle:FileLength"),
            ("a.java", "something.else", "something.else"),
            ("a.java", "F401", "F401"),
            ("a.php", "", ""),
        ],
    )
    def test_the_linter_is_known_by_the_id_and_the_language_or_stays_open(self, file: str, source: str, rule_id: str):
        finding = checkstyle(file, source)
        assert (finding.rule_id, finding.keys) == (rule_id, (rule_id,) if rule_id else ())

    def test_levels_are_severities_where_the_linter_has_several(self):
        levels = ("error", "warning", "info")
        eslint = [checkstyle("a.js", "eslint.rules.x", level).severity for level in levels]
        own = [checkstyle("A.java", "com.puppycrawl.tools.checkstyle.A", level).severity for level in levels]
        assert (eslint, own) == (["high", "medium", "low"], [None, None, None])

    def test_messages_are_decoded_once_and_name_no_rule_twice(self):
        finding = checkstyle("a.js", "eslint.rules.use-isnan", message="Use &apos;x&apos; &amp;lt; 3&#27; (use-isnan)")
        assert finding.description == "Use 'x' &lt; 3"

    def test_an_error_without_a_message_is_refused_alone(self):
        error = '<error line="1" source="x" message="m"/>'
        text = f"<checkstyle><file name='a'><error line='1'/>{error}</file></checkstyle>"
        intake = read_report(text.encode(), place="-")
        assert len(intake.findings) == 1
        assert [(refused.place, refused.reason) for refused in intake.refused] == [("error[0]", "has no message")]


def test_pmd_grades_by_priority_and_its_own_errors_are_none():
    violation = '<violation beginline="4" rule="R" ruleset="Security" priority="{}">\n  Two\n  lines.\n</violation>'
    text = "".join(violation.format(priority) for priority in (1, 3, 5))
    own = '<suppressedviolation filename="a" msg="m"/><error filename="b" msg="cannot parse"/>'
    findings = read(f'<pmd version="7"><file name="a.java">{text}</file>{own}</pmd>')
    assert [(finding.description, finding.severity) for finding in findings] == [
        ("Two lines.", "high"),
        ("Two lines.", "medium"),
        ("Two lines.", "low"),
    ]
    assert {finding.category for finding in findings} == {"security"}


def test_a_duplication_is_one_finding_wherever_it_moves():
    def found(line: int) -> Finding:
        copies = "".join(f'<file line="{line + 9 * n}" path="src/{name}.java"/>' for n, name in enumerate("ab"))
        code = "<codefragment><![CDATA[ secret() ]]></codefragment>"
        (finding,) = read(f'<pmd-cpd><duplication lines="8" tokens="90">{copies}{code}</duplication></pmd-cpd>')
        return finding

    assert found(3).description == "The same 8 lines of code are in src/a.java and src/b.java"
    assert (found(3).file, found(3).line) == ("src/a.java", 3)
    assert found(3).fingerprint == found(70).fingerprint


class TestSpotbugs:
    def test_a_bug_has_its_weakness_and_its_rank(self):
        (finding, _) = read((FIXTURES / "spotbugs.xml").read_text())
        assert finding.description == "Return value of Issues.get(int) ignored, but method has no side effect"
        assert (finding.file, finding.line) == ("edu/hm/hafner/analysis/IssuesTest.java", 286)
        assert finding.keys == ("spotbugs:RV_RETURN_VALUE_IGNORED_NO_SIDE_EFFECT", "CWE-440")
        assert (finding.severity, finding.fingerprint) == ("low", "spotbugs=3d78cb510b96490fd951f32d93e4e9ba")

    def test_without_messages_the_type_stands_for_one(self):
        bug = '<BugInstance type="SQL_INJECTION_JDBC" priority="1" category="SECURITY"><SourceLine/></BugInstance>'
        (finding,) = read(f"<BugCollection>{bug}</BugCollection>")
        assert (finding.description, finding.severity, finding.category) == ("Sql injection jdbc", "high", "security")


def test_cppcheck_says_of_its_own_run_what_is_no_finding():
    errors = "".join(
        f'<error id="{name}" severity="{severity}" msg="m" cwe="{cwe}"><location file="a.c" line="2"/></error>'
        for name, severity, cwe in (
            ("nullPointer", "error", "476"),
            ("missingInclude", "information", ""),
            ("x", "style", 0),
        )
    )
    first = '<error file="b.c" line="7" id="leak" severity="error" msg="Leak"/>'
    findings = read(f'<results version="2"><cppcheck version="2.1"/><errors>{errors}{first}</errors></results>')
    assert [(finding.keys, finding.severity, finding.file) for finding in findings] == [
        (("cppcheck:nullPointer", "CWE-476"), "high", "a.c"),
        (("cppcheck:x",), "low", "a.c"),
        (("cppcheck:leak",), "high", "b.c"),
    ]


def test_paths_are_relative_to_the_root_that_all_share():
    def paths(*files: str) -> list[str]:
        errors = "".join(f'<file name="{file}"><error line="1" message="m"/></file>' for file in files)
        return [finding.file for finding in read(f"<checkstyle>{errors}</checkstyle>")]

    assert paths("/srv/shop/src/a.c", "/srv/shop/src/b/c.c") == ["src/a.c", "src/b/c.c"]
    assert paths("/srv/shop/a.c", "/srv/shop/x/b.c") == ["a.c", "x/b.c"]
    assert paths(r"E:\jenkins\jobs\shop\workspace\src\a.c") == ["src/a.c"]
    assert paths(r"C:\Users\ann\shop\src\a.c", r"C:\Users\ann\shop\x.c") == ["src/a.c", "x.c"]
    assert paths("/srv/a.c", "/opt/b.c") == ["/srv/a.c", "/opt/b.c"]
    assert paths("/home/runner/work/shop/shop/src/a.c", "lib/b.c") == ["src/a.c", "lib/b.c"]


def test_memory_does_not_grow_with_the_number_of_records():
    def reading(count: int) -> Callable[[], object]:
        error = f'<error line="1" message="{"m" * 500}" source="x"/>'
        file = ReportFile(f'<checkstyle><file name="/srv/a/b.c">{error * count}</file></checkstyle>'.encode(), "-")
        return lambda: count_outcomes(file, count)

    # One or two buffers are alive at a time, whatever follows.
    assert needs_less(reading(4_000), 3 * peak_memory(reading(400)))


@pytest.mark.parametrize(
    ("data", "kind", "problem"),
    [
        (b"<pmd/>", "checkstyle", "is XML, but not one that begins with <checkstyle>; give the XML that Checkstyle"),
        (b"<testsuites/>", "pmd", "is XML, but not one that begins with <pmd>"),
        (b" ", "cppcheck", "is empty"),
        (b"no xml", "spotbugs", "is not valid XML (line 1, column 1)"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><checkstyle>&b;</checkstyle>", "auto", "declares a document type"),
        (b"<checkstyle>" + b"<a>" * 300, "auto", "is nested more than 200 elements deep"),
    ],
)
def test_another_file_is_refused_in_one_sentence(data: bytes, kind: FileKind, problem: str):
    with pytest.raises(InvalidInput) as caught:
        read_report(data, kind=kind, place="out")
    assert str(caught.value).startswith("out ")
    assert problem in str(caught.value)
