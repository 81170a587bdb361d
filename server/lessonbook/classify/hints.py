"""What the words of a text and the places of files say for each of several claimants."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from lessonbook.domain.path_globs import fits_path, glob_parts, path_parts

_FILE_WEIGHT: Final = 3.0
"""How much more the place of a file says than one word about it."""
_EXTENSION_WEIGHT: Final = 0.5
_FOLDER_WEIGHT: Final = 1.0
_NAME_WEIGHT: Final = 1.5
"""A pattern that knows only the extension says less than one that knows a folder, and that less than a file's name."""
_PHRASE_BONUS: Final = 0.5
"""Added weight of each further word of a phrase."""
_MAX_TEXT_CHARACTERS: Final = 2_000
_MAX_FILES: Final = 50
"""Different files that are looked at."""
_MAX_UNCHANGED_CHARACTERS: Final = 3
"""Words as short as `aws`, `dns` and `ios` are no plurals."""

_TOKEN = re.compile(r"[a-z0-9]+")
_CAMEL = re.compile(r"\b[A-Z]?[a-z]+(?:[A-Z][a-z]+)+\b")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WILD: Final = frozenset("*?")


@dataclass(frozen=True, slots=True)
class _Path:
    """A file's place: its folders and its name in lower case, in order and as a set."""

    parts: tuple[str, ...]
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A claimant's glob, part by part; `names` are the parts that stand in a path as they are written."""

    claimant: int
    parts: tuple[str, ...]
    names: frozenset[str]
    weight: float

    def fits(self, path: _Path) -> bool:
        """Tell whether the glob fits a path, in time that grows with the path's length alone."""
        if not self.names <= path.names:
            return False
        return fits_path(self.parts, path.parts)


class Hints:
    """Words and file patterns of claimants; a hint that many share says little for each.

    Both are given in the order of the claimants; so are the points that come back, none negative.
    """

    __slots__ = ("_claimants", "_longest", "_patterns", "_phrases")

    def __init__(self, words: Sequence[Sequence[str]], files: Sequence[Sequence[str]]) -> None:
        self._claimants = len(words)
        self._phrases = _phrases(words)
        self._longest = max((phrase.count(" ") + 1 for phrase in self._phrases), default=0)
        self._patterns = tuple(_pattern(index, pattern) for index, patterns in enumerate(files) for pattern in patterns)

    def of_text(self, text: str) -> list[float]:
        """Return each claimant's points for the words of `text`, as far as its beginning goes."""
        scores = [0.0] * self._claimants
        words = _words(text[:_MAX_TEXT_CHARACTERS]).split()
        runs = (
            " ".join(words[start:end])
            for start in range(len(words))
            for end in range(start + 1, min(start + self._longest, len(words)) + 1)
        )
        for phrase in dict.fromkeys(run for run in runs if run in self._phrases):
            owners, weight = self._phrases[phrase]
            for index in owners:
                scores[index] += weight
        return scores

    def of_files(self, files: Sequence[str]) -> list[float]:
        """Return each claimant's points for the places of `files`, the mean over the first `_MAX_FILES` of them."""
        scores = [0.0] * self._claimants
        paths = list(islice(dict.fromkeys(map(_path, filter(str.strip, files))), _MAX_FILES))
        for path in paths:
            fits: dict[int, float] = {}
            for pattern in self._patterns:
                if pattern.weight > fits.get(pattern.claimant, 0.0) and pattern.fits(path):
                    fits[pattern.claimant] = pattern.weight
            rarity = _rarity(len(fits), self._claimants)
            for index, weight in fits.items():
                scores[index] += _FILE_WEIGHT * weight * rarity / len(paths)
        return scores


def _phrases(words_of_each: Sequence[Sequence[str]]) -> dict[str, tuple[tuple[int, ...], float]]:
    """Map each phrase to the claimants of it and its weight."""
    owners: dict[str, list[int]] = {}
    for index, words in enumerate(words_of_each):
        for phrase in dict.fromkeys(_words(word).strip() for word in words):
            owners.setdefault(phrase, []).append(index)
    mentions = Counter(word for phrase in owners for word in set(phrase.split()))
    return {
        phrase: (tuple(claimants), _phrase_weight(phrase, len(claimants), len(words_of_each), mentions))
        for phrase, claimants in owners.items()
    }


def _phrase_weight(phrase: str, claimants: int, agents: int, mentions: Mapping[str, int]) -> float:
    """Weigh a phrase by its rarity and length; a single word that many other phrases contain is worth less."""
    parts = phrase.split()
    spread = claimants if len(parts) > 1 else max(claimants, math.ceil(mentions[phrase] / 2))
    return _rarity(spread, agents) * (1.0 + _PHRASE_BONUS * (len(parts) - 1))


def _rarity(claimants: int, agents: int) -> float:
    return math.log(1.0 + agents / claimants) if claimants else 0.0


def _words(text: str) -> str:
    """Return the words of `text` in lower case and singular, each between blanks; CamelCase also in its parts."""
    humps = " ".join(_HUMP.sub(" ", name) for name in _CAMEL.findall(text))
    return f" {' '.join(_singular(word) for word in _TOKEN.findall(f'{text} . {humps}'.casefold()))} "


def _singular(word: str) -> str:
    if len(word) <= _MAX_UNCHANGED_CHARACTERS or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(("xes", "ches", "shes")):
        return word[:-2]
    return word.removesuffix("s")


def _pattern_weight(pattern: str) -> float:
    if pattern.endswith("/**"):
        return _FOLDER_WEIGHT
    return _EXTENSION_WEIGHT if pattern.startswith("*.") and pattern.count(".") == 1 else _NAME_WEIGHT


def _path(place: str) -> _Path:
    """Return a file's place part by part; a slash at its end makes it a folder's."""
    parts = path_parts(place)
    return _Path(parts, frozenset(parts))


def _pattern(claimant: int, glob: str) -> _Pattern:
    """Return a glob over paths with slashes that may begin at any folder: `*` stays within a folder, `**` does not."""
    parts = glob_parts(glob)
    names = frozenset(part for part in parts if not _WILD & set(part))
    return _Pattern(claimant, parts, names, _pattern_weight(glob))
