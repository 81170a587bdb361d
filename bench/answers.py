"""What an answer of get_lessons costs a model: the text form beside the structured content, in estimated tokens.

Shelves are drawn from the packaged catalogue. Nothing is served: both forms are rendered as the server renders them.
"""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from lessonbook.classify.catalogue import CatalogueRule, load_catalogue
from lessonbook.domain.agent_tools import Effect, Lessons, ServedLesson
from lessonbook.domain.token_estimate import estimate_tokens
from lessonbook.services.prompt_section import DELIMITER_CHARACTERS, guidance, section, structured_form

COUNTS = (0, 1, 3, 5, 10, 20)
DRAWS = 400
RUN_ID = "r" * 26


@dataclass(frozen=True, slots=True)
class Cost:
    """The mean tokens of both forms over shelves of one size, and the largest ratio structured ÷ text among them."""

    lessons: int
    text: float
    structured: float
    largest_ratio: float


def forms_of(lessons: Sequence[ServedLesson], agent_name: str = "BackendDevelopmentAgent") -> tuple[int, int]:
    """Return the estimated tokens of the text form and of the structured content."""
    answer = Lessons(
        run_id=RUN_ID,
        agent_name=agent_name,
        guidance=guidance(RUN_ID),
        lessons=list(lessons),
        tokens=0,
        note="" if lessons else "There is no lesson for this run.",
    )
    text, structured = section(answer, "x" * DELIMITER_CHARACTERS), structured_form(answer)
    return estimate_tokens(text), estimate_tokens(structured)


def served(rule: CatalogueRule, effect: Effect | None = None) -> ServedLesson:
    """Return a lesson of the catalogue as an agent gets it."""
    return ServedLesson.model_validate(
        {
            "id": "L" + "x" * 10,
            "text": rule.text,
            "why": rule.why,
            "severity": rule.severity,
            "category": rule.category,
            "trust": "curated",
            "effect": effect,
        }
    )


def measure(seed: int = 1) -> list[Cost]:
    """Return the costs of shelves of each size of `COUNTS`, `DRAWS` shelves each."""
    rules, draw = list(load_catalogue().rules), random.Random(seed)
    costs: list[Cost] = []
    for count in COUNTS:
        drawn = [forms_of([served(rule) for rule in draw.sample(rules, count)]) for _ in range(DRAWS)]
        texts, structured = zip(*drawn, strict=True)
        largest = max(of_structure / of_text for of_text, of_structure in drawn)
        costs.append(Cost(count, statistics.mean(texts), statistics.mean(structured), largest))
    return costs


def table() -> Table:
    """Return the costs as a table."""
    shown = Table("lessons", "text, tokens", "structured, tokens", "largest ratio", title="Cost of an answer")
    for cost in measure():
        ratio = f"{cost.largest_ratio:.2f}"
        shown.add_row(str(cost.lessons), f"{cost.text:.0f}", f"{cost.structured:.0f}", ratio)
    return shown
