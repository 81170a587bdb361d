"""A class name means one thing: it occurs once in the package."""

import ast
from collections import defaultdict
from pathlib import Path

SERVER = Path(__file__).parents[1] / "server" / "lessonbook"


def test_no_class_name_occurs_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in SERVER.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].append(f"{file.relative_to(SERVER)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
