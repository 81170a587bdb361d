"""Small models weigh words and phrases; the packaged ones are small and quick to read."""

from importlib import resources

import pytest

from lessonbook.classify.text_model import (
    Adjustment,
    Phrases,
    ScoreModel,
    TextModel,
    features_of,
    group_features,
    load_model,
    load_score_model,
    softmax,
)

COLOURS = TextModel(
    labels=("red", "blue"),
    bias=(0.0, 0.5),
    scale={"ros": 1.0, "sky": 1.0, "blu sky": 2.0},
    weights={"ros": (3.0, 0.0), "sky": (0.0, 1.0), "blu sky": (0.0, 4.0)},
)


def test_probabilities_add_up_to_one_and_follow_the_words():
    roses, sky = COLOURS.probabilities("A rose is a rose"), COLOURS.probabilities("the blue sky")
    assert sum(roses.values()) == pytest.approx(1.0)
    assert roses["red"] > 0.9
    assert sky["blue"] > COLOURS.probabilities("the sky")["blue"] > 0.7


def test_without_a_known_word_only_the_bias_speaks():
    assert COLOURS.known_words(features_of("green grass")) == 0
    assert COLOURS.probabilities("green grass") == COLOURS.probabilities("")
    assert COLOURS.known_words(features_of("roses in the sky")) == 2


def test_only_the_beginning_of_a_text_is_read():
    assert COLOURS.known_words(features_of("grass " * 1_000 + "rose")) == 0


def test_softmax_is_safe_for_large_scores_and_for_none():
    assert softmax({"a": 5_000.0, "b": 0.0}) == {"a": 1.0, "b": 0.0}
    assert softmax({}) == {}


def test_phrases_are_found_inflected_and_told_apart_at_the_beginning():
    phrases = Phrases({"free": ["use after free"], "race": ["data race", "race"]})
    found, leading = phrases.counts("Data races. " + "filler " * 40 + "A use-after-free, and a race.")
    assert found == {"free": 1, "race": 3}
    assert leading == {"race"}
    assert group_features(phrases, "races " * 50)["race"] == 1.5


def test_a_score_is_the_general_one_on_a_line_with_weights_of_its_own():
    model = ScoreModel(
        bias=5.0,
        scale={"crash": 1.0},
        weights={"crash": 2.0},
        phrases=Phrases({"free": ["double free"]}),
        group_weights={"free": 0.0, "free@lead": 1.0},
        adjustment=Adjustment(bias=1.0, slope=0.5, group_weights={"free@lead": 3.0}, cuts=(4.0, 6.0)),
    )
    assert model.score("crash") == pytest.approx(1.0 + 0.5 * 7.0)
    assert model.score("a double free") == pytest.approx(1.0 + 0.5 * 6.0 + 3.0)
    assert [model.class_of(text) for text in ("nothing", "crash", "a double free")] == [0, 1, 2]


@pytest.mark.parametrize("name", ["severity", "category", "routing"])
def test_packaged_models_are_small(name: str):
    file = resources.files("lessonbook") / "data" / "models" / f"{name}.json"
    assert len(file.read_bytes()) <= 400_000
    (load_score_model if name == "severity" else load_model)(name)
