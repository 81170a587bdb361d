"""Small models weigh words and phrases; the packaged ones are small and quick to read."""

from importlib import resources

import pytest

from lessonbook.classify.text_model import (
    TextModel,
    features_of,
    load_model,
    softmax,
)

COLOURS = TextModel(
    labels=("red", "blue"),
    bias=(0.0, 0.5),
    scale={"ros": 1.0, "sky": 1.0, "blu sky": 2.0},
    weights={"ros": (3.0, 0.0), "sky": (0.0, 1.0), "blu sky": (0.0, 4.0)},
)


def of(text: str) -> dict[str, float]:
    return COLOURS.probabilities(features_of(text))


def test_probabilities_add_up_to_one_and_follow_the_words():
    roses, sky = of("A rose is a rose"), of("the blue sky")
    assert sum(roses.values()) == pytest.approx(1.0)
    assert roses["red"] > 0.9
    assert sky["blue"] > of("the sky")["blue"] > 0.7


def test_without_a_known_word_only_the_bias_speaks():
    assert COLOURS.known_words(features_of("green grass")) == 0
    assert of("green grass") == of("")
    assert COLOURS.known_words(features_of("roses in the sky")) == 2


def test_only_the_beginning_of_a_text_is_read():
    assert COLOURS.known_words(features_of("grass " * 1_000 + "rose")) == 0


def test_softmax_is_safe_for_large_scores_and_for_none():
    assert softmax({"a": 5_000.0, "b": 0.0}) == {"a": 1.0, "b": 0.0}
    assert softmax({}) == {}


@pytest.mark.parametrize("name", ["category", "routing"])
def test_packaged_models_are_small(name: str):
    file = resources.files("lessonbook") / "data" / "models" / f"{name}.json"
    assert len(file.read_bytes()) <= 400_000
    load_model(name)
