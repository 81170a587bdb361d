"""How well commits are routed to the area their files lie in, by their message alone (`routing_commits.jsonl`)."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final
from unittest.mock import patch

from bench.evaluation import Evaluation, Goal, Row, macro_f1, read_rows
from lessonbook.classify import agent_roster as roster_module
from lessonbook.classify.agent_roster import load_roster
from lessonbook.classify.text_model import TextModel

_FILES_OF_A_COMMIT: Final = 3

GOALS: Final = {"macro_f1": Goal(least=0.60), "cross_project_macro_f1": Goal(least=0.60)}


def evaluate(data: Path) -> Evaluation:
    """Return the area each commit is routed to; where they are labelled, how well.

    The packaged model has seen these labels. `cross_project_macro_f1` is the mean over projects of a router trained on
    fifteen other projects and none of these, `pairwise_macro_f1` of one trained on the other project of this set only,
    `cv_macro_f1` of one trained on this set without the commits it is asked about. `file_right` is the share of files
    that go to an agent of their label's area by message and place, of those that are routed, `file_routed`.
    """
    result = Evaluation("routing", goals=GOALS)
    rows = read_rows(data, "routing_commits")
    if not rows:
        result.missing.append("routing_commits")
        return result
    told = areas_of(rows)
    result.predictions = [{"id": row["id"], "agent": one} for row, one in zip(rows, told, strict=True)]
    if not all(row.get("agent") for row in rows):
        return result
    truth = [row["agent"] for row in rows]
    result.metrics = {"macro_f1": macro_f1(truth, told), **_figures_of_files(rows)}
    result.sets = {area: {"f1": f1_of(area, truth, told)} for area in sorted(set(truth))}
    try:
        from bench.routing_validation import validated  # noqa: PLC0415  # it trains, which needs the extra `bench`
    except ModuleNotFoundError:
        result.missing.append("scikit-learn (extra bench, for cross-validation)")
    else:
        figures, projects = validated(rows)
        result.metrics |= figures
        result.sets |= projects
    return result


def areas_of(rows: Sequence[Row], model: TextModel | None = None) -> list[str]:
    """Return the likeliest area of each row's words, with another area model in place of the packaged one."""
    roster = load_roster()
    places = roster.hints.of_files(())
    with patch.object(roster_module, "load_model", return_value=model) if model else nullcontext():
        areas = [roster.areas(row["query"], roster.hints.of_text(row["query"]), places) for row in rows]
    return [max(each, key=each.__getitem__, default="") for each in areas]


def _figures_of_files(rows: Sequence[Row]) -> dict[str, float]:
    """Return how the first files of commits are routed, one by one. The label stems from the places as well."""
    roster = load_roster()
    areas = {agent.name: agent.area for agent in roster.agents}
    asked = [
        (row["agent"], roster.responsible(row["query"], [path]))
        for row in rows
        if row["agent"] in set(areas.values())
        for path in row.get("paths", [])[:_FILES_OF_A_COMMIT]
    ]
    routed = [(label, areas[agent]) for label, agent in asked if agent is not None]
    if not routed:
        return {}
    right = sum(label == area for label, area in routed)
    return {"file_right": right / len(routed), "file_routed": len(routed) / len(asked)}


def f1_of(label: str, truth: Sequence[str], predicted: Sequence[str]) -> float:
    """Return the harmonic mean of precision and recall of one label."""
    hits = sum(one == other == label for one, other in zip(truth, predicted, strict=True))
    return 2 * hits / (truth.count(label) + predicted.count(label))
