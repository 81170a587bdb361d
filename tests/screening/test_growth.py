"""Going through somebody's text takes work that grows with its length, and no faster (SAFETY S22).

What is counted is lines of Python (`tests/growth.py`).
"""

import pytest

from lessonbook.classify.agent_roster import Roster, load_roster
from lessonbook.classify.catalogue import load_catalogue
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding
from lessonbook.search.subjects import subjects_of
from lessonbook.services.report.preparation import prepare
from tests.growth import GROWTH_MAX, growth, lines_run
from tests.reading import read_report

CATALOGUE = load_catalogue(None)
ROSTER = load_roster()
PIECES = [
    "/",
    "a/",
    "../",
    "a",
    "aB",
    "a_",
    "((a ",
    "[a](",
    "'s ",
    "`a` ",
    "not never no ",
    "sql injection ",
    "buffer overflow of the ",
    "password = ",
    "-eyJaaaaaaaa",
    "://a:",
    "<lessons ",
    "<!-- ",
    "--skip-a",
    "; a",
    "QUJD",
    "a.b.",
    "1,",
    "\n",
    "\n\na ",
    "é",
]


@pytest.mark.parametrize("piece", PIECES)
def test_the_work_on_an_issue_grows_no_faster_than_its_words(piece: str):
    def work(text: str) -> object:
        offer = f"Close {text[:1_900]}"
        return prepare(Finding(description=f"x {text}", file=text[:1_000], lesson=offer, why=text[:1_900]), CATALOGUE)

    assert growth(work, piece, 2_000) < GROWTH_MAX


@pytest.mark.parametrize("piece", PIECES)
def test_the_work_on_a_task_grows_no_faster_than_its_words(piece: str):
    assert growth(lambda text: (subjects_of(text), ROSTER.route(text, [text[:1_000]])), piece, 1_000) < GROWTH_MAX


@pytest.mark.parametrize("piece", ["/", "a/", "a", "*/", "ui/", ".tsx/", "src/components/"])
def test_the_work_on_paths_is_bounded_whatever_they_are_made_of(piece: str):
    paths = [f"{number}{piece * 1_000}"[:1_000] for number in range(200)]
    usual = [f"services/web/src/components/{number}/menu.py" for number in range(200)]
    one, other = Roster(ROSTER.agents), Roster(ROSTER.agents)  # each remembers the paths that it has read
    most = lines_run(lambda: one.route("", usual))
    assert lines_run(lambda: other.route("", paths)) < 20 * most


@pytest.mark.parametrize(
    ("first", "piece", "last"),
    [
        ("<testsuite>", "<testcase name='t'><failure/></testcase>", "</testsuite>"),
        ("<testsuite><testcase name='t'>", "<failure/>", "</testcase></testsuite>"),
        ("<testsuite><testcase name='t'><failure>", "\n", "</failure></testcase></testsuite>"),
        ("<testsuite>", "<!-- -->&#27;\x1b", "</testsuite>"),
        ("<!-- ", "-->\n<!--", ""),
        ('{"tests": [', '{"nodeid": "a", "outcome": "failed"}, ', "{}]}"),
        ("[", "[], ", "{}]"),
        ("", "\n{", ""),
        ("", "\n[\n", ""),
        ("", "a\n\n", ""),
    ],
)
def test_the_work_on_a_file_grows_no_faster_than_the_file(first: str, piece: str, last: str):
    def work(text: str) -> object:
        try:
            return read_report(f"{first}{text}{last}".encode(), place="-")
        except InvalidInput:
            return None

    def whole(text: str) -> object:
        return work(piece * (len(text) // len(piece)))

    assert growth(whole, "x", 4_000) < GROWTH_MAX
