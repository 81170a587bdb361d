"""Many different lessons in realistic words: the shipped catalogue, then rules combined with places."""

import random
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

from lessonbook.domain.vocabulary import Severity

RULES_FILE = Path(__file__).parent / "data" / "lesson_rules.toml"


@dataclass(frozen=True)
class LessonText:
    """The words of one lesson, the rule ids it answers to, and the issues it was learned from."""

    text: str
    why: str
    severity: Severity
    category: str
    keys: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def lesson_texts(count: int, draw: random.Random) -> list[LessonText]:
    """Return `count` lessons, no two with the same text, in an order drawn by `draw`.

    The catalogue's come first. Past one lesson per rule and place the same subjects return with a narrower scope.
    """
    content = tomllib.loads(RULES_FILE.read_text(encoding="utf-8"))
    subjects = list(product(content["rules"], content["places"]))
    draw.shuffle(subjects)
    lessons = _catalogue()[:count]
    for number in range(count - len(lessons)):
        lessons.append(_combined(*subjects[number % len(subjects)], number // len(subjects)))
    draw.shuffle(lessons)
    return lessons


def _catalogue() -> list[LessonText]:
    folder = files("lessonbook") / "data" / "catalogue"
    return [
        LessonText(rule["text"], rule["why"], rule["severity"], rule["category"], tuple(rule["keys"]))
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".toml")
        for rule in tomllib.loads(file.read_text(encoding="utf-8"))["rule"]
    ]


def _combined(rule: dict[str, Any], place: str, round_number: int) -> LessonText:
    scope = f" (module {round_number})" if round_number else ""
    problem = rule["problem"].format(place=place)
    return LessonText(
        text=f"{rule['text'].format(place=place)}{scope}.",
        why=f"{rule['why']}.",
        severity=rule["severity"],
        category=rule["category"],
        problems=(problem, f"again in review: {problem}"),
    )
