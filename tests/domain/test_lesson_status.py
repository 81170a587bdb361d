"""Statuses: one table, from which every set of them follows."""

import ast
import re
from pathlib import Path
from typing import cast, get_args

import pytest

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.lesson_status import (
    COMES_BACK,
    JOINABLE,
    LISTED,
    RULES,
    SERVABLE,
    STANDING,
    STATUSES,
    SUGGESTED,
    TOMBSTONES,
    Action,
    Servable,
    Status,
    allowed_targets,
    targets,
)

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "server" / "lessonbook"
ACTIONS = get_args(Action)


def reachable(start: str) -> set[str]:
    """Return every status that a lesson may have some time after it had `start`."""
    found: set[str] = set()
    left = [start]
    while left:
        status = left.pop()
        if status not in found:
            found.add(status)
            left += [after for action in ACTIONS for after in targets(action, cast("Status", status))]
    return found


def test_every_status_has_its_row() -> None:
    assert tuple(RULES) == STATUSES


def test_a_new_lesson_may_reach_every_status() -> None:
    assert reachable("quarantined") == set(STATUSES)
    assert reachable("probation") == set(STATUSES)  # quarantined only where a rollback of one that was is undone


def test_what_the_words_of_a_status_say_agrees() -> None:
    assert set(get_args(Servable)) == SERVABLE
    assert set(SUGGESTED) < JOINABLE < set(STANDING)
    assert SERVABLE < COMES_BACK <= JOINABLE | {"expired"}
    assert not TOMBSTONES & {*STANDING, *JOINABLE, *COMES_BACK}
    assert set(STATUSES) - set(LISTED) < TOMBSTONES
    by_rank = sorted(STATUSES, key=lambda status: -RULES[status].rank)
    assert set(by_rank[: len(SERVABLE)]) == SERVABLE
    assert set(by_rank[-len(TOMBSTONES) :]) == TOMBSTONES


@pytest.mark.parametrize("status", STATUSES)
def test_an_action_that_the_table_does_not_have_is_refused(status: Status) -> None:
    for action in ACTIONS:
        rule = RULES[status]
        if action in rule.becomes or action in rule.keeps:
            assert allowed_targets("L1", action, status) == targets(action, status)
        else:
            with pytest.raises(InvalidInput, match=f"Lesson L1 is {status}, so it cannot be changed by '{action}'"):
                allowed_targets("L1", action, status)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_view_counts_no_tombstones(dialect: str) -> None:
    schema = (ROOT / "tests" / "migrations" / f"schema.{dialect}.sql").read_text()
    left_out = re.findall(r"status (?:NOT IN|<> ALL) \((.*?)\)", schema)
    assert left_out
    assert all(set(re.findall(r"'(\w+)'", words)) == TOMBSTONES for words in left_out)


def test_no_other_module_spells_a_set_of_statuses() -> None:
    spelt = [
        f"{file.relative_to(SERVER)}:{node.lineno}"
        for file in SERVER.rglob("*.py")
        if file.name != "lesson_status.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Set | ast.List | ast.Tuple | ast.Dict) and is_of_statuses(node)
    ]
    assert spelt == []


def is_of_statuses(node: ast.Set | ast.List | ast.Tuple | ast.Dict) -> bool:
    held = node.keys if isinstance(node, ast.Dict) else node.elts
    words = [part.value for part in held if isinstance(part, ast.Constant)]
    return len(words) > 1 and len(words) == len(held) and set(words) <= set(STATUSES)
