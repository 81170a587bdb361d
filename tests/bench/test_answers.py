"""The structured content of get_lessons costs a model little more than the text."""

from bench.answers import forms_of, measure, served

from lessonbook.classify.catalogue import load_catalogue
from lessonbook.domain.agent_tools import Effect, ServedLesson

RATIO_MAX = 1.35


def test_over_shelves_of_the_catalogue_the_structured_content_costs_little_more_than_the_text() -> None:
    for cost in measure():
        assert cost.largest_ratio <= RATIO_MAX


def test_so_it_does_with_measured_effects_short_lessons_and_a_long_name_of_the_agent() -> None:
    effect = Effect(estimate=0.412, low=0.121, high=0.634, events=31)
    rules = list(load_catalogue().rules)[:20]
    short = ServedLesson(id="L" + "x" * 10, text="Return copies of mutable defaults.", severity="low", trust="offered")
    for lessons in ([served(rule, effect) for rule in rules], [short] * 5, []):
        text, structured = forms_of(lessons, "InfrastructureDevelopmentAgent")
        assert structured <= RATIO_MAX * text
