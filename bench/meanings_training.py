"""Fitting vectors of words (`learning/meanings`) to a sentence encoder, and to questions with their lessons.

Needs torch and sentence-transformers, which are part of no extra.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lessonbook.search.tokenizer import words_of
from lessonbook.search.vectors import Meanings

DIMENSIONS: Final = 64
STEPS: Final = 700
NEARNESS: Final = 2.0
"""How hard a word is pulled back to where the encoder had it."""
QUESTIONS: Final = 0.5
"""What questions and their lessons count beside the encoder's opinion."""
SOFTNESS: Final = 0.07
TEXT_MAX: Final = 400
PIECE: Final = 160
"""Characters of consecutive sentences that make one piece, about what the encoder was made for."""
PIECES_MAX: Final = 40
BATCH: Final = 384
QUESTIONS_AT_ONCE: Final = 128
BASIS_WORDS: Final = 6_000
READ_WORDS: Final = 64
_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+|\n+")
_LETTERS: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_WORD: Final = re.compile(r"[a-z]{3,}")
_SHORTEST: Final = 8

Matrix = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Words:
    """Index terms, and a vector for each, as long as the word tells."""

    words: list[str]
    vectors: Matrix

    @property
    def usual_length(self) -> float:
        """How long the vector of a rare word is, in the units of `packed`."""
        return round(float(np.median(np.linalg.norm(self.packed.astype(float), axis=1))), 1)

    @property
    def packed(self) -> Matrix:
        """The vectors as signed bytes, on one scale."""
        scale = 127 / np.quantile(np.abs(self.vectors), 0.9999)
        return np.clip(np.round(self.vectors * scale), -127, 127).astype(np.int8)

    def meanings(self) -> Meanings:
        """Return the vectors as search reads them."""
        rows = (vector.tobytes() for vector in self.packed)
        return Meanings(dict(zip(self.words, rows, strict=True)), self.vectors.shape[1], self.usual_length)


class Encoder:
    """A sentence encoder that remembers, in a file if one is named, what it has told."""

    def __init__(self, folder: Path, memory: Path | None = None, read_words: int | None = READ_WORDS) -> None:
        import torch  # noqa: PLC0415  # heavy, and not part of any extra
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415  # the same

        self.torch: Any = torch
        self.name = folder.name
        self._model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        if read_words is not None:
            self._model.max_seq_length = read_words
        self._memory = memory
        self._told: dict[str, Matrix] = {}
        if memory is not None and memory.is_file():
            with np.load(memory) as kept:
                self._told = dict(zip(kept["names"].tolist(), kept["vectors"], strict=True))

    def vocabulary(self) -> list[str]:
        """Return the whole words that the encoder knows of itself."""
        return [word for word in self._model.tokenizer.get_vocab() if _WORD.fullmatch(word) and words_of(word)]

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return a vector of length 1 for each text."""
        names = [hashlib.sha256(text.encode()).hexdigest()[:24] for text in texts]
        new = {name: text for name, text in zip(names, texts, strict=True) if name not in self._told}
        if new:
            vectors = self._model.encode(list(new.values()), normalize_embeddings=True, batch_size=64)
            self._told |= dict(zip(new, np.asarray(vectors, np.float32), strict=True))
            if self._memory is not None:
                np.savez(self._memory, names=list(self._told), vectors=np.array(list(self._told.values())))
        return np.array([self._told[name] for name in names])


def pieces_of(text: str) -> list[str]:
    """Return a text in pieces of whole sentences, of about `PIECE` characters each."""
    pieces: list[str] = []
    piece = ""
    for sentence in (part.strip() for part in _SENTENCE.split(text)):
        if len(sentence) <= _SHORTEST:
            continue
        if piece and len(piece) + len(sentence) >= PIECE:
            pieces.append(piece)
            piece = ""
        piece = f"{piece} {sentence}".strip()
    return [part[:TEXT_MAX] for part in (*pieces, piece) if part][:PIECES_MAX]


def forms_of(texts: Sequence[str], known: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return index terms, each with the word it is mostly written as and the number of texts that hold it.

    Terms are those of at least two texts, and those of the words in `known`.
    """
    written: dict[str, Counter[str]] = {}
    frequency: Counter[str] = Counter()
    for text in texts:
        frequency.update(set(words_of(text)))
        for word in set(_LETTERS.findall(text)):
            for term in words_of(word):
                written.setdefault(term, Counter())[word.lower()] += 1
    of_encoder = {term: word for word in known for term in words_of(word)}
    terms = dict.fromkeys([*(term for term, count in frequency.items() if count > 1), *of_encoder])
    return {
        term: (written[term].most_common(1)[0][0] if term in written else of_encoder.get(term, term), frequency[term])
        for term in terms
    }


class Trainer:
    """Vectors of a vocabulary, fitted to an encoder and to questions."""

    def __init__(self, encoder: Encoder, texts: Sequence[str], dimensions: int = DIMENSIONS) -> None:
        torch = self.torch = encoder.torch
        self._encoder, self._texts = encoder, list(dict.fromkeys(texts))
        terms = forms_of(self._texts, encoder.vocabulary())
        self.words = list(terms)
        self._places = {word: place for place, word in enumerate(self.words)}
        told = torch.tensor(encoder.encode([form for form, _ in terms.values()]))
        told = told - told.mean(0)
        basis = torch.linalg.svd(told[:BASIS_WORDS], full_matrices=False)[2][:dimensions]
        self._start = torch.nn.functional.normalize(told @ basis.T, dim=1)
        frequency = torch.tensor([float(count) for _, count in terms.values()])
        rarity = torch.log(1 + len(self._texts) / (frequency + 3))
        self._gain_start = torch.log(rarity / rarity.mean())

    def _bag(self, text: str) -> list[int]:
        return list(dict.fromkeys(self._places[word] for word in words_of(text) if word in self._places))

    def fitted(
        self,
        questions: Sequence[Sequence[tuple[str, str]]],
        steps: int = STEPS,
        nearness: float = NEARNESS,
        weight: float = QUESTIONS,
    ) -> Words:
        """Return the fitted vectors; `questions` are pairs of a text and one that it should find, in groups.

        A group is what is told apart at once: the lessons of one set.
        """
        torch, functional = self.torch, self.torch.nn.functional
        torch.manual_seed(0)
        vectors = torch.nn.Parameter(self._start.clone())
        gains = torch.nn.Parameter(self._gain_start.clone())
        bags = [self._bag(text) for text in self._texts]
        useful = np.array([place for place, bag in enumerate(bags) if len(bag) > 1])
        told = torch.tensor(self._encoder.encode(self._texts))
        told = functional.normalize(told - told.mean(0), dim=1)
        groups = [self._asked(group) for group in questions]
        groups = [group for group in groups if len(group) > 1]

        def summed(parts: Sequence[list[int]]) -> Any:
            flat = torch.tensor([place for part in parts for place in part])
            starts = torch.tensor(np.cumsum([0, *(len(part) for part in parts[:-1])]))
            return functional.normalize(
                functional.embedding_bag(flat, vectors, starts, mode="sum", per_sample_weights=torch.exp(gains)[flat]),
                dim=1,
            )

        draw = np.random.default_rng(0)
        optimiser = torch.optim.Adam([vectors, gains], lr=0.01)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = 0.01 * (1 - step / steps)
            loss = nearness * ((vectors - self._start) ** 2).sum(1).mean()
            loss = loss + 0.1 * nearness * ((gains - self._gain_start) ** 2).mean()
            chosen = draw.choice(useful, min(BATCH, len(useful)), replace=False)
            mine, theirs = summed([bags[place] for place in chosen]), told[chosen]
            likeness, wanted = mine @ mine.T, theirs @ theirs.T
            itself = torch.eye(len(chosen)).bool()
            loss = loss + 20 * ((likeness - wanted) ** 2 * ~itself).mean()
            nearest = functional.softmax((wanted / 0.1).masked_fill(itself, -1e9), 1)
            guessed = functional.log_softmax((likeness / 0.1).masked_fill(itself, -1e9), 1)
            loss = loss - 0.3 * (nearest * guessed).sum(1).mean()
            if groups and weight:
                group = groups[step % len(groups)]
                few = [group[at] for at in draw.choice(len(group), min(QUESTIONS_AT_ONCE, len(group)), replace=False)]
                ones, others = summed([one for one, _, _ in few]), summed([other for _, other, _ in few])
                right = torch.tensor([[text == wanted for _, _, text in few] for _, _, wanted in few])
                found = functional.log_softmax(ones @ others.T / SOFTNESS, 1)
                loss = loss - weight * torch.logsumexp(found.masked_fill(~right, -1e9), 1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        lengths = np.exp(np.asarray(gains.detach()))[:, None]
        return Words(self.words, np.asarray(vectors.detach()) * lengths)

    def _asked(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int], str]]:
        bags = ((self._bag(one), self._bag(other), other) for one, other in pairs)
        return [(one, other, text) for one, other, text in bags if one and other]
