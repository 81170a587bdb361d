"""Commands as a person runs them: whole processes, from spawn to exit, on a database that is there already."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.hooks import Place, figures_of
from bench.measure import Report

GOAL_MS: Final = 500.0
TASK: Final = "add a search endpoint over the products table"
LIBRARIES: Final = "import sqlalchemy, pydantic, typer"
"""What `get` and `report` cannot do without."""
_FINDINGS: Final = 40


def measure(rounds: int) -> Report:
    """Return what commands take on SQLite, each once in a round, so that noise meets all of them."""
    report = Report("start", "Commands, whole processes", {"rounds": rounds})
    with tempfile.TemporaryDirectory() as folder:
        place = Place.at(Path(folder))
        place.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as where the program is installed
        (place.home / "findings.sarif").write_text(json.dumps(_sarif()), encoding="utf-8")
        place.run(place.command("lessons", "starter", "BackendDevelopmentAgent", "--stack", "python"))
        commands = {
            "bare Python": [sys.executable, "-c", "pass"],
            LIBRARIES: [sys.executable, "-c", LIBRARIES],
            "--help": place.command("--help"),
            "get": place.command("get", TASK),
            "report": place.command("report", "findings.sarif"),
        }
        for command in commands.values():
            place.run(command)  # compiles modules, and prepares the packaged data
        taken = [{name: place.run(command)[:2] for name, command in commands.items()} for _ in range(rounds)]
    for name in commands:
        goal_ms = GOAL_MS if commands[name][1:2] != ["-c"] else None
        report.add(name, figures_of([one[name] for one in taken], goal_ms))
    return report


def _sarif() -> dict[str, object]:
    """Return a report of one scanner with findings of one rule."""
    place = {"physicalLocation": {"artifactLocation": {"uri": "app/db.py"}, "region": {"startLine": 1}}}
    message = {"text": "Possible SQL injection vector through string-based query construction."}
    found = [{"ruleId": "B608", "level": "warning", "message": message, "locations": [place]}] * _FINDINGS
    return {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "bandit"}}, "results": found}]}
