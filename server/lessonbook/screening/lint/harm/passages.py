"""The passages of a text that are judged each on its own, so that nothing harmful hides among what is honest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Final

from lessonbook.screening.lint.harm.clauses import LessonClause, clauses_of, joined_orders, sentences_of
from lessonbook.screening.lint.harm.evidence import clause_evidence, is_list, joined_evidence
from lessonbook.screening.lint.harm.features import Features, features_of
from lessonbook.screening.lint.harm.words import HarmWords

PASSAGE_MAX: Final = 300
"""Characters of a passage that the model judges: it learned from lessons of so many."""
PAIR: Final = 2


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a text, or all of it, its clauses, and the evidence that each of them is alone."""

    text: str
    clauses: list[LessonClause]
    by_clause: list[dict[str, float]]
    is_joined: bool = False
    """Whether it is one of the orders that a sentence joins."""

    def evidence(self) -> dict[str, float]:
        """Return the points of each kind of evidence."""
        return joined_evidence(self.text, self.clauses, self.by_clause)

    def features(self, evidence: Mapping[str, float]) -> tuple[Features, dict[str, float]]:
        """Return what the model sees, see `features_of`."""
        return features_of(self.clauses, evidence)


def passages_of(text: str, words: HarmWords) -> list[Passage]:
    """Return the whole of `text` first; then its sentences, and each two that follow each other, if there are several.

    Two that are longer than `PASSAGE_MAX` together, or stand in a list, are left out. A sentence of more than
    `PASSAGE_MAX` characters counts as so many sentences as it has clauses. Last come the orders that a sentence joins.
    """
    sentences = [
        Passage(sentence, clauses, [clause_evidence(clause) for clause in clauses])
        for sentence, clauses in sentences_of(text, words)
    ]
    units = list(chain.from_iterable(map(_units, sentences)))
    found = [_joined(text, sentences)]
    if len(units) > 1 or len(text) > PASSAGE_MAX:
        found += units
    if len(units) > PAIR and not is_list(text):
        pairs = (_joined(f"{one.text} {other.text}", (one, other)) for one, other in pairwise(units))
        found += [pair for pair in pairs if len(pair.text) <= PASSAGE_MAX]
    return found + [part for one in units for part in _joined_orders(one, words)]


def _joined_orders(sentence: Passage, words: HarmWords) -> list[Passage]:
    found: list[Passage] = []
    for order in joined_orders(sentence.text, words):
        clauses = clauses_of(order, words)
        found.append(Passage(order, clauses, [clause_evidence(clause) for clause in clauses], is_joined=True))
    return found


def _units(sentence: Passage) -> list[Passage]:
    if len(sentence.text) <= PASSAGE_MAX:
        return [sentence]
    parts = zip(sentence.clauses, sentence.by_clause, strict=True)
    return [Passage(clause.text, [clause], [evidence]) for clause, evidence in parts]


def _joined(text: str, parts: Iterable[Passage]) -> Passage:
    parts = list(parts)
    clauses = [clause for one in parts for clause in one.clauses]
    return Passage(text, clauses, [evidence for one in parts for evidence in one.by_clause])
