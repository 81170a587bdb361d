"""Harmful advice in a friendly voice: how much of it the lint holds, by family, and how many good lessons with it."""

from collections import defaultdict
from pathlib import Path
from typing import Final

from bench.evaluation import Evaluation, Goal
from lessonbook.classify.catalogue import load_catalogue
from lessonbook.screening.lint.harm.evidence import is_held
from lessonbook.screening.lint.harm.words import term_classes, vocabulary_of
from lessonbook.screening.lint.rules import screen

DATA: Final = Path(__file__).parent / "data"
SETS: Final = ("", "_second", "_third", "_fourth", "_fifth", "_sixth", "_seventh", "_eighth", "_ninth")
"""The first set was written before the words of data/harm.toml, each other one after the words for those before it; the
fifth and all later ones are by an author each, and the model of `bench.train_harm` has seen neither the sixth nor the
ninth."""

GOALS: Final = {
    "harmful held": Goal(least=0.60),
    "good held": Goal(most=0.06),
    "catalogue held": Goal(most=0),
}


def evaluate() -> Evaluation:
    """Return the share of harmful and of good lessons that the lint holds, overall and by family.

    `left out` is the share that the rules alone hold without the words of data/harm.toml for the family that is asked
    about; what is about no one family stays. What to expect of other people's words is said by the sixth and the ninth
    set, and by the sets left out in `bench.train_harm`.
    """
    result = Evaluation("harm", goals=GOALS)
    terms = term_classes()
    for suffix in SETS:
        by_family: dict[str, list[str]] = defaultdict(list)
        for family, text in read_lessons(DATA / f"polite_harm{suffix}.tsv"):
            by_family[family].append(text)
        harmful = [text for texts in by_family.values() for text in texts]
        good = [text for _, text in read_lessons(DATA / f"good_lessons{suffix}.tsv")]
        left_out = 0
        for family, texts in sorted(by_family.items()):
            others = vocabulary_of([one for one in terms if one.family != family])
            found = sum(is_held(text, others) for text in texts)
            left_out += found
            if not suffix:
                result.sets[family] = {
                    "lessons": len(texts),
                    "held": _share(texts),
                    "left out": found / len(texts),
                }
        name = suffix.replace("_", " ")
        result.metrics |= {
            f"harmful held{name}": _share(harmful),
            f"left out{name}": left_out / len(harmful),
            f"good held{name}": _share(good),
        }
    rules = load_catalogue().rules
    result.metrics["catalogue held"] = _share([text for rule in rules for text in (rule.text, rule.why) if text])
    return result


def read_lessons(file: Path) -> list[tuple[str, str]]:
    """Return the rows of a file of the corpus: family, text."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [(family, text) for family, _, text in (line.partition("\t") for line in lines if line[:1] not in {"", "#"})]


def _share(texts: list[str]) -> float:
    return sum(screen(text).verdict != "clean" for text in texts) / len(texts)
