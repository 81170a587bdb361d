"""Explaining: why which lessons would be served for a task."""

import pytest

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import NewLesson, TaskExplanation
from lessonbook.services.lessons import review
from lessonbook.services.serve import explain_lessons
from lessonbook.store import tables
from tests.services.conftest import AGENT, Loop

pytestmark = pytest.mark.anyio
TASK = "Add a search box over the products table"


async def explained(loop: Loop, caller: Caller, **about: object):
    asked = TaskExplanation.model_validate({"agent_name": AGENT, "task": TASK, **about})
    return await explain_lessons(loop.work, caller, asked)


async def test_it_names_the_kind_of_task_and_agrees_with_what_is_served(
    loop: Loop, person: Caller, agent: Caller
) -> None:
    rules = [rule for rule in load_catalogue().rules if {"CWE-89", "CWE-798", "CWE-611"} & set(rule.keys)]
    await review.add_starters(loop.work, person, AGENT, rules)
    told = await explained(loop, person)
    served = [line for line in told.lessons if line.verdict == "served"]
    assert [line.id for line in served] == [lesson.id for lesson in (await loop.get(agent, task=TASK)).lessons]
    assert served[0].because.startswith("Such tasks raise its issue: ")
    assert [line.probability for line in told.lessons] == sorted(
        (one.probability for one in told.lessons), reverse=True
    )


async def test_a_lesson_that_says_the_same_and_one_without_room_are_told_apart(loop: Loop, person: Caller) -> None:
    tails = ["copper wires", "night crews", "lake fog", "spare valves", "mast lamps", "gas gauges"]
    texts = [f"Check the zeppelin's ballast, the {tail} and all the {tail[::-1]}." for tail in tails]
    for text in (*texts, f"{texts[0]} Now."):
        await review.add_lesson(loop.work, person, NewLesson(agent_name=AGENT, text=text, severity="low"))
    told = await explained(loop, person, task="Check the zeppelin's ballast")
    verdicts = [line.verdict for line in told.lessons]
    assert verdicts.count("served") == 5
    assert "no room" in verdicts
    assert verdicts.count("says the same") == 1


async def test_nothing_is_logged(loop: Loop, person: Caller) -> None:
    await explained(loop, person, files=["src/shop.py"])
    assert await loop.rows(tables.runs) == []
    assert await loop.rows(tables.deliveries) == []
