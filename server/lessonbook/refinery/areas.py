"""Which field of work a text speaks of, told by a small model trained on commits of public projects."""

from lessonbook.refinery.text_model import load_model


def area_probabilities(text: str) -> dict[str, float]:
    """Return the probability of each area the model knows; empty where it knows no word of `text`."""
    model = load_model("routing")
    return model.probabilities(text) if model.knows(text) else {}
