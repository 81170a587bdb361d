"""What was dealt with before, searched for what a new issue is an instance of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, count
from pathlib import Path
from threading import RLock
from typing import Final

from lessonbook.classify.catalogue import Catalogue
from lessonbook.dedup import likeness
from lessonbook.dedup.likeness import FEATURES, Corpus, Likeness, Sketch, load_likeness, sketch, terms_of
from lessonbook.machine import packed_words
from lessonbook.machine.packed_words import NumbersByWord, pack_numbers
from lessonbook.machine.prepared import prepared
from lessonbook.search import tokenizer, writing_systems

MERGE: Final = 0.7
"""The least probability at which an issue joins a group: at most one new thing in twenty is taken for a known one."""
MERGE_SAME_WEAKNESS: Final = 0.2
"""The same where issue and group surely tell one weakness in the field's own terms."""
AMBIGUOUS: Final = 0.2
"""From here on a likeness is told to the reviewer."""
MEMBERS_MAX: Final = 8
"""Texts of one group that are compared."""
GROUPS_MAX: Final = 6
"""Groups that are weighed in full, of those that share the most telling words with an issue."""
LOOKED_UP_MAX: Final = 3_000
"""Members that are met on the way to the candidates of one issue."""
_GENERATIONS: Final = count()


@dataclass(frozen=True, slots=True)
class GroupMatch:
    """A group an issue may be an instance of, the member most like it, and how probable that is."""

    group: str
    member: str
    probability: float
    same_weakness: bool = False

    @property
    def is_sure(self) -> bool:
        """Whether the issue is to be taken for an instance of the group."""
        return self.probability >= (MERGE_SAME_WEAKNESS if self.same_weakness else MERGE)

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """A sort key: the surest match first."""
        return not self.is_sure, not self.same_weakness, -self.probability


@dataclass(frozen=True, slots=True)
class Member:
    """A text of a group."""

    group: str
    sketch: Sketch


class Precedents:
    """Texts in groups: those of one group are instances of one lesson.

    `parent` lends its texts without being changed: what a transaction adds is seen by it alone. Threads may share a
    parent: each method holds its `lock`, as does whoever needs several answers to agree.
    """

    def __init__(self, background: Corpus | None = None, *, parent: Precedents | None = None) -> None:
        self._parent = parent
        self.lock: RLock = RLock() if parent is None else parent.lock
        self.generation = next(_GENERATIONS) if parent is None else parent.generation
        """A number that is another one once an issue may be decided on otherwise than before; see `renew`."""
        self.collection = Corpus(background) if parent is None else parent.collection
        self._members: dict[str, Member] = {}
        self._groups: dict[str, list[str]] = {}
        self._postings: dict[str, str | list[str]] = {}
        """The members that have a word or word pair; most have one, which stands there without a list around it."""

    def __len__(self) -> int:
        """Return how many texts there are, those of the parent included."""
        return len(self._members) + (0 if self._parent is None else len(self._parent))

    def renew(self) -> None:
        """Begin another generation: texts came or changed on which decisions rest."""
        self.generation = next(_GENERATIONS)

    def put(self, member: str, group: str, text: str) -> None:
        """Remember a text as a member of a group, in place of what was known of that member."""
        sketched = sketch(text)
        with self.lock:
            known = self._members.get(member)
            if known is not None and known.group == group and known.sketch is sketched:
                return
            self.discard(member)
            self._members[member] = Member(group, sketched)
            self._groups.setdefault(group, []).append(member)
            if self._parent is None:
                self.collection.add(sketched.words)
            for term in sketched.words:
                held = self._postings.setdefault(term, member)
                if isinstance(held, list):
                    held.append(member)
                elif held != member:
                    self._postings[term] = [held, member]

    def discard(self, member: str) -> None:
        """Forget a text, if it is known here."""
        with self.lock:
            known = self._members.pop(member, None)
            if known is None:
                return
            self._groups[known.group].remove(member)
            if not self._groups[known.group]:
                del self._groups[known.group]
            if self._parent is None:
                self.collection.add(known.sketch.words, -1)
            for term in known.sketch.words:
                held = self._postings[term]
                if isinstance(held, list) and len(held) > 1:
                    held.remove(member)
                else:
                    del self._postings[term]

    def forget(self, group: str) -> None:
        """Forget all texts of a group that are known here."""
        with self.lock:
            for member in tuple(self._groups.get(group, ())):
                self.discard(member)

    def members_of(self, group: str) -> list[str]:
        """Return the members of a group, oldest first."""
        with self.lock:
            return ([] if self._parent is None else self._parent.members_of(group)) + self._groups.get(group, [])

    def tell(self, group: str, cwe: str) -> bool:
        """Return whether a text of the group surely tells that weakness."""
        with self.lock:
            members = [self.find(member) for member in self.members_of(group)[-MEMBERS_MAX:]]
        return any(member.sketch.surely_tells == cwe for member in members)

    def matches(self, text: str, model: Likeness | None = None) -> list[GroupMatch]:
        """Return the groups that `text` may be an instance of, the surest first."""
        model, told = model or load_likeness(), FEATURES.index("same_weakness")
        issue = sketch(text)
        found: list[GroupMatch] = []
        with self.lock:
            for group, nearest, features in self.compared(text):
                probability = model.probability(features)
                if issue.is_other_story(self.find(nearest).sketch):
                    probability = min(probability, AMBIGUOUS)
                found.append(GroupMatch(group, nearest, probability, features[told] > 0))
        return sorted(found, key=lambda match: match.rank)

    def compared(self, text: str) -> Iterator[tuple[str, str, list[float]]]:
        """Yield each candidate group of `text`, its member most like it, and the features the model weighs."""
        issue = sketch(text)
        for group, nearest in self._candidates(issue):
            members = [self.find(member).sketch for member in self.members_of(group)[-MEMBERS_MAX:]]
            yield group, nearest, self.collection.features(issue, members)

    def _candidates(self, issue: Sketch) -> list[tuple[str, str]]:
        """Return the groups whose words are most like the issue's, each with its member most like it, best first."""
        best: dict[str, tuple[float, str]] = {}
        for member, product in self._products(issue).items():
            known = self.find(member)
            likeness = product / self.collection.length(known.sketch)
            if likeness > best.get(known.group, (0.0, ""))[0]:
                best[known.group] = (likeness, member)
        ranked = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))
        return [(group, nearest) for group, (_, nearest) in ranked[:GROUPS_MAX]]

    def _products(self, issue: Sketch) -> dict[str, float]:
        """Return the product of word vectors of the members that share telling words with the issue.

        The rarest words are looked up first, and no more once `LOOKED_UP_MAX` members were met: time stays bounded.
        """
        products: dict[str, float] = {}
        holders = sorted(((self.holders(term), term) for term in issue.words), key=lambda pair: len(pair[0]))
        left = LOOKED_UP_MAX
        for members, term in holders:
            left -= len(members)
            if left < 0:
                break
            weight = self.collection.idf(term) ** 2
            for member in members:
                products[member] = products.get(member, 0.0) + weight
        return products

    def holders(self, term: str) -> Sequence[str]:
        """Return the members that have a word or word pair."""
        held = self._postings.get(term, ())
        own = (held,) if isinstance(held, str) else held
        return own if self._parent is None else (*self._parent.holders(term), *own)

    def find(self, member: str) -> Member:
        """Return a member; it has to be known."""
        known = self._members.get(member)
        if known is not None:
            return known
        assert self._parent is not None  # noqa: S101  # postings and groups name members only
        return self._parent.find(member)


@cache
def words_of_catalogue(catalogue: Catalogue) -> Corpus:
    """Return the words of the curated lessons: they tell rare from common while an agent has few issues.

    Their counts are kept between processes: counting takes longer than the rest of a process's first report.
    """
    texts = [rule.text for rule in catalogue.rules]
    code = (
        Path(module).read_bytes()
        for module in (__file__, likeness.__file__, tokenizer.__file__, writing_systems.__file__, packed_words.__file__)
    )
    counts = prepared(
        "catalogue_words", chain(code, map(str.encode, texts)), lambda: pack_numbers(_counts_of(texts), "H")
    )
    return Corpus.of_counts(NumbersByWord(counts, "H"), len(texts))


def _counts_of(texts: Iterable[str]) -> dict[str, int]:
    return dict(Counter(term for text in texts for term in terms_of(text)))
