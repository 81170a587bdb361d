"""Which field of work a text speaks of, told by a small model trained on commits of public projects."""

from math import log

from lessonbook.classify.text_model import features_of, load_model, softmax


def area_probabilities(text: str) -> dict[str, float]:
    """Return the probability of each area the model knows; empty where it knows no word of `text`.

    Few words are little evidence, whatever they are: of `n` known ones the log-probabilities count `n / (n + 1)`.
    """
    model = load_model("routing")
    features = features_of(text)
    known = model.known_words(features)
    if not known:
        return {}
    share = known / (known + 1)
    return softmax({area: share * log(probability) for area, probability in model.probabilities_of(features).items()})
