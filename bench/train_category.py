"""Trains the model of categories (`data/models/category.json`) on the packaged catalogue of rules.

Run `python -m bench.train_category` when rules were added.

Each rule of the catalogue has a category; its text, its reason and the words people use of it are one text each.
"""

from typing import Final

from bench.training import fit, save
from lessonbook.classify.catalogue import load_catalogue
from lessonbook.classify.text_model import TextModel

_STRENGTH: Final = 5.0
_MOST_TERMS: Final = 4_000


def train() -> TextModel:
    """Return a model of the category of a text."""
    texts: list[str] = []
    labels: list[str] = []
    for rule in load_catalogue().rules:
        if rule.category == "other":
            continue
        for text in (rule.text, rule.why, ". ".join(rule.words), f"{rule.text} {rule.why} {'. '.join(rule.words)}"):
            if text:
                texts.append(text)
                labels.append(rule.category)
    return fit(texts, labels, strength=_STRENGTH, least_documents=2, most_terms=_MOST_TERMS)


def main() -> None:
    """Train and write the model into the package."""
    print(save(train(), "category", ["Lessonbook's own catalogue of rules (its licence)"]))


if __name__ == "__main__":
    main()
