"""Words and places of files point to those who claim them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.classify.agent_roster import load_roster
from lessonbook.classify.hints import Hints, Places

GLOBS = sorted({glob for agent in load_roster().agents for glob in (*agent.files, *agent.shared_files)})
PART = st.text("ab.*?", min_size=1, max_size=4).filter(lambda part: "**" not in part)
PATHS = st.lists(st.text("abAB.-", min_size=1, max_size=4), min_size=1, max_size=6).map("/".join)


def fits(glob: str, path: str) -> bool:
    return Hints([[]], [Places([glob])]).of_files([path]) != [0.0]


def as_expression(glob: str) -> re.Pattern[str]:
    """Return what a glob means as a regular expression, which takes too long on long paths."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    found = re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", glob)
    return re.compile("(?:.*/)?" + "".join(parts.get(part, re.escape(part)) for part in found), re.IGNORECASE)


@given(st.lists(PART | st.just("**"), min_size=1, max_size=4).map("/".join).filter(lambda glob: glob != "**"), PATHS)
def test_a_glob_fits_what_it_means(glob: str, path: str):
    glob = re.sub(r"(?:\*\*/)+\*\*$", "**", glob)
    assert fits(glob, path) == (as_expression(glob).fullmatch(path) is not None)


def test_every_glob_of_the_roster_fits_what_it_means():
    assert len(GLOBS) > 100
    for glob in GLOBS:
        plain, meant = glob.replace("**", "x/y").replace("*", "z"), as_expression(glob)
        others = (f"a/{plain}", plain.upper(), f"{plain}z", f"z{plain}", f"{plain}/z", plain.replace("x/y", ""))
        for path in (plain, *others):
            if "//" not in path:
                assert fits(glob, path) == (meant.fullmatch(path) is not None), (glob, path)


def test_the_same_path_counts_once_and_a_flood_of_them_counts_no_more():
    hints = Hints([[], []], [Places(["*.py"]), Places(["*.sql"])])
    assert hints.of_files(["a.py", " a.py", "A.py", "/a.py", "b.sql"]) == hints.of_files(["a.py", "b.sql"])
    assert hints.of_files([f"{n}.sql" for n in range(50)] + ["a.py"] * 9) == pytest.approx(hints.of_files(["a.sql"]))


def test_folders_are_written_with_any_slashes():
    assert fits("src/ui/**", "a\\src\\ui\\b.py")
    assert fits("src/ui/**", "/src//ui/")
    assert not fits("src/ui/**", "src/ui")


def test_hyphens_and_underscores_in_folders_are_the_same():
    assert fits("time_series/**", "src/time-series/a.py")
    assert fits("web-*/**", "packages/web_app/a.ts")


def test_the_innermost_of_several_claimed_folders_says_most():
    hints = Hints([[], []], [Places(["services/**"]), Places(["infra/**"])])
    outer, inner = hints.of_files(["services/shop/infra/main.yaml"])
    assert 0 < outer < inner


def test_a_folder_says_little_of_code_that_its_claimant_does_not_write():
    hints = Hints([[], []], [Places(["ui/**"], languages=["tsx"]), Places(["server/**"], languages=["java"])])
    pages, server = hints.of_files(["src/ui/Menu.java"])
    assert pages < server
    pages, server = hints.of_files(["src/ui/menu.json"])  # nobody's language
    assert server == 0 < pages


def test_a_shared_place_counts_only_with_a_word_of_the_work_or_without_a_text():
    hints = Hints([["speech"]], [Places(shared=["voice/**"])])
    assert hints.of_files(["voice/a.kt"]) != [0.0]
    assert hints.of_files(["voice/a.kt"], hints.of_text("magic number")) == [0.0]
    assert hints.of_files(["voice/a.kt"], hints.of_text("speech is cut off")) != [0.0]
