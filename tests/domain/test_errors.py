"""Errors: what is missing is said in one place."""

import re
from pathlib import Path

import pytest

from lessonbook.domain.errors import NotFound

SERVER = Path(__file__).parents[2] / "server" / "lessonbook"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (NotFound.lesson("L1", "demo"), "There is no lesson 'L1' in project 'demo': check the id"),
        (NotFound.issue("I1", "demo"), "There is no issue 'I1' in project 'demo': check the id"),
        (NotFound.run("r1", "demo"), "There is no run 'r1' in project 'demo': check the id"),
        (NotFound.run("r1", "demo", "leave run_id out"), "There is no run 'r1' in project 'demo': leave run_id out"),
    ],
)
def test_what_is_missing_is_named_with_its_project(error: NotFound, message: str) -> None:
    assert str(error) == message


def test_no_other_module_says_so() -> None:
    said = re.compile(r"There is no (?:lesson|issue|run) \{")
    found = [file.name for file in SERVER.rglob("*.py") if said.search(file.read_text(encoding="utf-8"))]
    assert found == ["errors.py"]
