"""A class name means one thing: it occurs once in the package."""

import re
from collections import defaultdict
from pathlib import Path

SERVER = Path(__file__).parents[1] / "server" / "lessonbook"
CLASS = re.compile(r"^[ ]*class _*(\w+)[(:\[]", re.MULTILINE)
NEWLINE = "\n"


def test_no_class_name_occurs_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in SERVER.rglob("*.py"):
        for found in CLASS.finditer(text := file.read_text(encoding="utf-8")):
            places[found[1]].append(f"{file.relative_to(SERVER)}:{text.count(NEWLINE, 0, found.start()) + 1}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
