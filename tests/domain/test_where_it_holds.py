"""Where a lesson holds is said by languages and path globs, and checked against the files at hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.classify.stacks import load_technologies
from lessonbook.domain import where_it_holds as module
from lessonbook.domain.where_it_holds import ANYWHERE, Holds, holds_for, where_it_holds
from tests.growth import lines_run

CASES: list[tuple[Holds, list[str], bool]] = [
    (ANYWHERE, ["a.py"], True),
    (Holds(("python",)), [], True),
    (Holds(("python",)), ["src/a.py"], True),
    (Holds(("python",)), ["src/a.go"], False),
    (Holds(("python",)), ["src/a.go", "src/a.py"], True),
    (Holds(("python",)), ["README.md"], True),
    (Holds(("python",)), ["README.md", "a.go"], False),
    (Holds(("javascript",)), ["a.ts", "b.tsx"], True),
    (Holds(("typescript",)), ["a.js"], False),
    (Holds(("react",)), ["a.tsx"], True),
    (Holds(("django",)), ["shop/models.py"], True),
    (Holds(("django",)), ["a.rb"], False),
    (Holds(("sql",)), ["store.go"], True),
    (Holds(("zig",)), ["a.go"], True),
    (Holds(("dockerfile",)), ["deploy/Dockerfile"], True),
    (Holds(("dockerfile",)), ["a.py"], False),
    (Holds(("kubernetes",)), ["deploy/web.yaml"], True),
    (Holds(("kubernetes",)), ["a.py"], False),
    (Holds(paths=("src/api/**",)), ["src/api/v1/a.py"], True),
    (Holds(paths=("src/api/**",)), ["mono/src/api/a.py"], True),
    (Holds(paths=("src/api/**",)), ["src/apis/a.py"], False),
    (Holds(paths=("src/api/*",)), ["src/api/v1/a.py"], False),
    (Holds(paths=("*.sql", "migrations/**")), ["migrations/0001.py"], True),
    (Holds(paths=("*.sql",)), ["SRC\\A.SQL"], True),
    (Holds(("python",), ("src/**",)), ["src/a.py"], True),
    (Holds(("python",), ("src/**",)), ["src/a.go", "tests/a.py"], False),
    (Holds(paths=("src/**",)), [" "], True),
]


@pytest.mark.parametrize(("holds", "files", "expected"), CASES)
def test_a_lesson_holds_unless_the_files_rule_it_out(holds: Holds, files: list[str], expected: bool) -> None:
    assert holds_for(holds, files) is expected


@given(
    st.lists(st.text(max_size=20), max_size=4),
    st.lists(st.text(max_size=20), max_size=4),
    st.lists(st.text(max_size=30)),
)
def test_any_words_are_an_answer(languages: list[str], paths: list[str], files: list[str]) -> None:
    holds = Holds(tuple(languages), tuple(paths))
    assert holds_for(holds, files) in {True, False}
    assert holds_for(holds, [])


@given(st.lists(st.text(min_size=1, max_size=20), max_size=4), st.lists(st.text(min_size=1, max_size=20), max_size=4))
def test_what_is_kept_comes_back(languages: list[str], paths: list[str]) -> None:
    holds = Holds(tuple(languages), tuple(paths))
    assert where_it_holds({"written_by": "person", **holds.as_provenance()}) == holds
    assert ANYWHERE.as_provenance() == {}


@pytest.mark.parametrize("kept", [None, "python", 7, [], {"languages": "python"}, {"paths": [1, None, ""]}])
def test_what_is_kept_otherwise_says_nothing(kept: Any) -> None:
    assert where_it_holds({"holds": kept}) == ANYWHERE


def test_the_work_grows_with_the_path_and_no_faster() -> None:
    holds = Holds(paths=("**/a*a*a*a*b/**/*a*a*c",))
    short, long = (lines_run(lambda n=n: holds_for(holds, ["a" * n + "/" + "a" * n])) for n in (50, 400))
    assert long < 10 * short


def test_endings_speak_of_known_languages() -> None:
    named = {name for names in module._OF_ENDING.values() for name in names}
    languages = {language for rule in load_catalogue().rules for language in rule.languages}
    assert named <= {*load_technologies().all, *languages}
    assert languages <= named
