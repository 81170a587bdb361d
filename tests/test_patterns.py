"""No regular expression of the package takes more than linear time, whatever the text (SAFETY S22)."""

import ast
import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lessonbook
from lessonbook.machine.patterns import LazyPattern, lazy_pattern
from lessonbook.screening.secrets.token_formats import FORMATS
from tests.backtracking import Exhausted, Matcher, attacks

ROOT = Path(lessonbook.__path__[0])
SMALL, LARGE = 16, 64
GROWTH_MAX = 6.0
"""Of the work on a text four times as long: four times, and what is done once; sixteen times would be the square."""
STEPS_MAX = 100_000
PARTS = 16
"""In so many tests the patterns are looked at, so that several processes can share the work."""
MADE_BY_FUNCTIONS = {
    "classify/severity.py": "kept in the module's tables of words, and found there",
    "screening/lint/polarity.py": "kept in the tables of signs in advice.py and prompt_injection.py, and found there",
    "machine/patterns.py": "the patterns of others, which call it by name",
    "screening/secrets/calls.py": "kept in the module's table of calls, and found there",
    "screening/secrets/commands.py": "kept in the module's table of programs, and found there",
    "screening/secrets/token_formats.py": "compiled when a hint of its is met, from the table FORMATS",
    "screening/secrets/by_place.py": "kept in the module's table of statements, and found there",
}
"""Modules in which a function compiles a pattern from what it is given, and where those patterns are found. Data files
hold no patterns: one that did would need such a function."""


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(lessonbook.__path__, "lessonbook."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def patterns_in(value: Any, place: str, seen: set[int]) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Yield the compiled patterns that a value holds, however deep."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, (re.Pattern, LazyPattern)):
        yield place, value if isinstance(value, re.Pattern) else value.compiled
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from patterns_in(key, place, seen)
            yield from patterns_in(item, f"{place}[{key!r:.20}]", seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for number, item in enumerate(value):
            yield from patterns_in(item, f"{place}[{number}]", seen)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from patterns_in(getattr(value, field.name, None), f"{place}.{field.name}", seen)


def calls_of_re(path: Path) -> Iterator[tuple[ast.Call, str, bool]]:
    """Yield each call in a file that makes a pattern, the name of what it calls in `re`, and whether ours call it."""
    text = path.read_text("utf-8")
    ahead: list[tuple[ast.AST, bool]] = [(ast.parse(text), False)] if "re." in text or "lazy_" in text else []
    while ahead:
        node, is_inside = ahead.pop()
        is_inside = is_inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        ahead += [(child, is_inside) for child in ast.iter_child_nodes(node)]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id == "re" and node.func.attr != "escape":
                yield node, node.func.attr, is_inside
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == lazy_pattern.__name__:
            yield node, "compile", is_inside


def patterns_in_calls() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Yield the patterns that are written where they are used: `re.sub(r"...", ...)`."""
    for path in sorted(ROOT.rglob("*.py")):
        for call, name, is_inside in calls_of_re(path):
            if name == "compile" and not is_inside:
                continue  # kept in the module, and found there
            place = f"{path.relative_to(ROOT)}:{call.lineno}"
            if not isinstance(call.args[0], ast.Constant):
                assert str(path.relative_to(ROOT)) in MADE_BY_FUNCTIONS, f"say where the patterns of {place} are found"
                continue
            flags = next((ast.unparse(word.value) for word in call.keywords if word.arg == "flags"), "0")
            told = eval(flags, {"re": re})
            whole = {"match": r"\A(?:%s)", "fullmatch": r"\A(?:%s)\Z"}.get(name, "%s")
            yield place, re.compile(whole % call.args[0].value, told)


@cache
def all_patterns() -> dict[str, re.Pattern[Any]]:
    seen: set[int] = set()
    found = [pair for module in modules() for pair in patterns_in(vars(module), module.__name__, seen)]
    found += patterns_in_calls()
    found += [(f"{kind} {number}", re.compile(text)) for number, (kind, _, text, _) in enumerate(FORMATS)]
    unique = {(pattern.pattern, pattern.flags): (place, pattern) for place, pattern in reversed(found)}
    return {f"{place} {pattern.pattern!r:.60}": pattern for place, pattern in unique.values()}


def growth(matcher: Matcher, attack: tuple[str, str, str]) -> float:
    """Return how many times as much work a text is that repeats a piece four times as often."""
    first, piece, last = attack
    try:
        if not matcher.has_loops:  # the work at each place is bounded, however long the text: it is to be little
            matcher.search_steps(first + piece * SMALL + last, STEPS_MAX * SMALL // LARGE)
            return 1.0
        small, large = (matcher.search_steps(first + piece * n + last, STEPS_MAX) for n in (SMALL, LARGE))
    except Exhausted:
        return float("inf")
    return large / small


def worst(pattern: re.Pattern[Any]) -> tuple[float, tuple[str, str, str]]:
    """Return the first growth that is too much, else the greatest, and what made it."""
    matcher = Matcher(pattern)
    most, by = 0.0, ("", "", "")
    for attack in attacks(matcher, pattern.flags):
        if (found := growth(matcher, attack)) > most:
            most, by = found, attack
        if most > GROWTH_MAX:
            break
    return most, by


def test_the_patterns_are_found():
    assert len(all_patterns()) > 250
    rooms = Counter(place.split(".")[1] for place in all_patterns() if place.startswith("lessonbook."))
    assert rooms["screening"] > 100
    assert rooms["classify"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_the_work_of_a_pattern_grows_no_faster_than_the_text(part: int):
    found = {place: worst(pattern) for place, pattern in list(all_patterns().items())[part::PARTS]}
    assert {place: attack for place, (most, attack) in found.items() if most > GROWTH_MAX} == {}


class TestCounting:
    @pytest.mark.parametrize(
        "text",
        [
            r"(a+)+b",
            r"(?:a|a)*b",
            r"(?:a|aa)+$",
            r"\s+$",
            r"\w+[\w.]*\(",
            r"<x[^>]*>",
            r"a.*b.*c",
            r"(?:.*/)?(?:.*/)?a",
            r"(?:/.*)*x",
            r"\d+\d+x",
            r"(?i)x[ab]*[bc]*y",
            r"[a-z]+(?:-[a-z]+)+\Z",
            r"(?:\w{1,40} ?){1,40}!",
            r"(?=.*b)a",
        ],
    )
    def test_patterns_that_take_more_than_linear_time_are_caught(self, text: str):
        assert worst(re.compile(text, re.S))[0] > GROWTH_MAX

    @pytest.mark.parametrize(
        "text",
        [
            r"[a-z]+",
            r"\bfoo\s+bar\b",
            r"\A[a-z]+(?:-[a-z]+)+\Z",
            r"\w++:",
            r"(?>\w+)x|y",
            r"\s{1,20}x",
            r"<[^<>]{1,90}>",
        ],
    )
    def test_others_are_not(self, text: str):
        assert worst(re.compile(text))[0] <= GROWTH_MAX or text in {r"\w++:", r"(?>\w+)x|y"}

    PARTS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "(?:a|b)", "(?:a|ab)", "(a)", r"\w"])
    ANCHORS = st.sampled_from(["", "^", "$", r"\b", "(?=a)", "(?!a)", "(?<=a)", "(?<!b)"])
    REPEATED = st.tuples(PARTS, st.sampled_from(["", "", "*", "+", "?", "*?", "+?", "{1,2}", "*+"]), ANCHORS).map(
        "".join
    )

    @given(st.lists(REPEATED, min_size=1, max_size=4).map("".join), st.text("ab \n", max_size=8))
    def test_the_matcher_finds_what_pythons_finds(self, text: str, subject: str):
        pattern = re.compile(text)
        ours = Matcher(pattern).spans(subject)
        assert {span for span in ours if span[0] != span[1]} <= {
            match.span() for start in range(len(subject)) if (match := pattern.match(subject, start))
        }
        assert bool(ours) == (pattern.search(subject) is not None)


def test_patterns_of_the_lint_are_compiled_when_it_is_asked() -> None:
    folder = str(ROOT / "screening" / "lint")
    for found in pkgutil.walk_packages([folder], "lessonbook.screening.lint."):
        values = vars(importlib.import_module(found.name)).items()
        assert [name for name, value in values if isinstance(value, re.Pattern)] == [], found.name
