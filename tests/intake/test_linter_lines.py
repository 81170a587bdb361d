"""Lines of linters and compilers become findings; words of people stay words."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding
from lessonbook.intake.readers import open_report
from lessonbook.intake.report_file import ReportFile
from tests.memory import needs_less, peak_memory
from tests.reading import count_outcomes, read_report

FIXTURES = Path(__file__).parents[1] / "fixtures" / "linters"


def read(text: str) -> list[Finding]:
    file = ReportFile(text.encode(), "-")
    assert open_report(file).kind == "lines"
    intake = read_report(text.encode(), place="-")
    assert intake.refused == []
    return intake.findings


def place_and_rule(finding: Finding) -> tuple[str, int | None, str]:
    return finding.file, finding.line, finding.rule_id


@pytest.mark.parametrize(
    ("name", "findings", "first"),
    [
        ("flake8.txt", 20, ("src/prefect/utilities/annotations.py", 24, "flake8:E501")),
        ("mypy.txt", 5, ("fs/cs/backend/log.py", 16, "")),
        ("pylint_parseable.txt", 22, ("src/test/resources/non_existant.py", 1, "pylint:F0001")),
        ("clippy.txt", 3, ("build.rs", 9, "clippy:needless_borrow")),
        ("rubocop.log", 4, ("config.ru", 1, "rubocop:Style/FrozenStringLiteralComment")),
        ("ansible_lint.txt", 13, ("roles/backup/tasks/main.yml", 2, "ansible-lint:EANSIBLE0002")),
        ("yamllint.txt", 4, ("file.yml", 6, "yamllint:comments")),
        ("golint.txt", 7, ("conn.go", 64, "")),
        ("govet.txt", 2, ("ui_colored_test.go", 46, "")),
        ("gcc.txt", 7, ("testhist.l", 451, "")),
    ],
)
def test_what_real_linters_print_is_known_and_read(name: str, findings: int, first: tuple[str, int, str]):
    found = read((FIXTURES / name).read_text())
    assert len(found) == findings
    assert place_and_rule(found[0]) == first


LINES = [line.split("\t") for line in (FIXTURES / "lines.tsv").read_text().splitlines()[1:]]


@pytest.mark.parametrize("row", LINES, ids=[row[0] for row in LINES])
def test_a_line_says_where_what_and_which_rule(row: list[str]):
    line, file, number, rule_id, severity, message = row
    (finding,) = read(line)
    assert (*place_and_rule(finding), finding.severity or "") == (file, int(number), rule_id, severity)
    assert finding.description == message
    assert finding.keys == ((rule_id,) if rule_id else ())


def test_notes_are_none_and_belong_to_nothing():
    text = (
        'a.py:3: error: Bad call  [call-arg]\na.py:3: note: Use "b" instead\n    def f() -> int\n'
        "a.c:5:9: warning: unused [-Wunused]\n    5 | int x;\n      |     ^\na.c:1:1: note: declared here\n"
    )
    assert [finding.description for finding in read(text)] == ["Bad call", "unused"]


def test_more_words_belong_to_the_finding_above_and_source_code_to_none():
    text = (
        "src/a.ts(3,5): error TS2322: Not assignable.\n  Type 'x' is not assignable to 'y'.\n"
        "a.c:5:9: warning: unused\n    int x;\n        ^\n    long y;\n"
    )
    assert [finding.description for finding in read(text)] == [
        "Not assignable.\nType 'x' is not assignable to 'y'.",
        "unused",
    ]


def test_blocks_of_rustc_and_clippy_are_one_finding_each():
    text = (
        "    Checking shop v0.1.0 (/home/ann/shop)\n"
        "error[E0382]: borrow of moved value: `x`\n  --> src/main.rs:4:20\n   |\n 4 |     f(x);\n   |       - moved\n\n"
        "warning: unneeded `return` statement\n --> src/lib.rs:9:5\n  |\n9 |     return 1;\n  |     ^^^^^^^^\n  |\n"
        "  = help: for further information visit https://rust-lang.github.io/rust-clippy/master/index.html#needless_return\n"
        "  = note: `#[warn(clippy::needless_return)]` on by default\n\n"
        "warning: `shop` (lib) generated 1 warning\nerror: could not compile `shop` due to 1 previous error\n"
    )
    assert [(*place_and_rule(finding), finding.severity) for finding in read(text)] == [
        ("src/main.rs", 4, "rustc:E0382", "high"),
        ("src/lib.rs", 9, "clippy:needless_return", "medium"),
    ]


def test_eslint_names_the_file_above_its_findings():
    text = (
        "\n/srv/shop/src/a.js\n  1:10  error    'x' is defined but never used  no-unused-vars\n"
        "  2:5   warning  Unexpected console statement  no-console\n\n"
        "/srv/shop/lib/b.js\n  7:1  error  Parsing error: x\n\n✖ 3 problems (2 errors, 1 warning)\n"
    )
    assert [place_and_rule(finding) for finding in read(text)] == [
        ("src/a.js", 1, "eslint:no-unused-vars"),
        ("src/a.js", 2, "eslint:no-console"),
        ("lib/b.js", 7, ""),
    ]


def test_the_log_of_a_build_is_read_for_its_findings():
    lines = [
        f"gcc -c src/{n}.c -o {n}.o\nsomething else happened\nthe next step\nsrc/{n}.c:{n}:1: warning: odd [-Wx]"
        for n in range(1, 15)
    ]
    assert len(read("\n".join(lines))) == 14


@pytest.mark.parametrize("text", ["Success: no issues found in 5 source files\n", "All checks passed!\n"])
def test_a_linter_that_found_nothing_is_no_issue(text: str):
    assert read(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Login fails\nsrc/a.py:7: [F401] unused\nand so does the export,\nwhich is worse\nthan before.",
        "The server at localhost:8080: connection refused",
        "12:30: the job starts too late",
        "http://example.com:80: timeout",
        "src/a.py:12:    total = total + 1",
        "Since a.py:3 the total is wrong: it is never reset",
        "error: the page stays blank",
        "[BUG] a.py:3: the total is wrong",
        "See README.md\n  1:10  of the list",
    ],
)
def test_words_of_people_are_text(text: str):
    assert open_report(ReportFile(text.encode(), "-")).kind == "text"


def test_an_id_of_several_tools_has_none():
    for line in ("a.js:1:1: F401 odd", "a.java:3: warning: odd [unchecked things]", "a.txt:1:1: error: odd (x)"):
        (finding,) = read_report(line.encode(), kind="lines", place="-").findings
        assert finding.rule_id == ""


def test_colours_are_dropped():
    (finding,) = read("\x1b[1ma.c:5:9: \x1b[35mwarning: \x1b[0munused [\x1b[35m-Wunused\x1b[0m]")
    assert (finding.description, finding.rule_id) == ("unused", "gcc:-Wunused")


def test_memory_does_not_grow_with_the_number_of_lines():
    def reading(count: int) -> Callable[[], object]:
        file = ReportFile(b"src/a.py:1:1: F401 'os' imported but unused\n" * count, "-")
        return lambda: count_outcomes(file, count)

    assert needs_less(reading(4_000), 1.5 * peak_memory(reading(2_000)))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b" \n", "is empty"),
        (b"nothing of the kind\n", "has no line `file:line: message`"),
        (b"a.py:1:1: F401 caf\xe9 unused", "is not UTF-8 text"),
    ],
)
def test_another_file_is_refused_in_one_sentence(data: bytes, problem: str):
    with pytest.raises(InvalidInput) as caught:
        read_report(data, kind="lines", place="out")
    assert str(caught.value).startswith("out ")
    assert problem in str(caught.value)


@given(
    st.lists(
        st.sampled_from(["a.py:1:1: F401 x\n", "  --> a.rs:1:1\n", "error: x\n", " | ^\n", "\n", "x\n"]) | st.text()
    )
)
def test_any_lines_are_read_or_invalid(parts: list[str]):
    try:
        intake = read_report("".join(parts).encode("utf-8", "surrogatepass"), kind="lines", place="-")
    except InvalidInput:
        return
    assert all(finding.description.strip() for finding in intake.findings)
