"""What the words of a text and the places of files say for each of several claimants."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import Final

from lessonbook.domain.path_globs import fits_path, glob_parts, is_name_like, path_parts
from lessonbook.machine.patterns import lazy_pattern

_FILE_WEIGHT: Final = 3.0
"""How much more the place of a file says than one word about it."""
_EXTENSION_WEIGHT: Final = 0.5
_FOLDER_WEIGHT: Final = 1.0
_NAME_WEIGHT: Final = 1.5
"""A pattern that knows only the extension says less than one that knows a folder, and that less than a file's name."""
_PHRASE_BONUS: Final = 0.5
"""Added weight of each further word of a phrase."""
_MAX_TEXT_CHARACTERS: Final = 2_000
_PATHS_KEPT: Final = 256
_MAX_FILES: Final = 50
"""Different files that are looked at."""
_DEEPEST_FACTOR: Final = 1.2
"""Of the folders of one path that are claimed, the innermost says most: `services/shop/infra`."""
_OTHER_LANGUAGE_FACTOR: Final = 0.3
"""What a folder counts for a claimant that does not write the language of the file in it."""
_MAX_UNCHANGED_CHARACTERS: Final = 3
"""Words as short as `aws`, `dns` and `ios` are no plurals."""

_TOKEN = lazy_pattern(r"[a-z0-9]+")
_CAMEL = lazy_pattern(r"\b[A-Z]?[a-z]+(?:[A-Z][a-z]+)+\b")
_HUMP = lazy_pattern(r"(?<=[a-z])(?=[A-Z])")
_WILD: Final = frozenset("*?")
_PARTS_OF_FOLDER: Final = len(glob_parts("folder/**"))


@dataclass(frozen=True, slots=True)
class Places:
    """What a claimant says of files.

    Attributes:
        files: globs of its own files.
        shared: globs that code of other kinds has as well; they count only with a word of the claimant's work.
        languages: endings of the code it writes. Each counts like a glob `*.ending`, and its folders count less for
            code that only other claimants write. Empty: any language.
    """

    files: Sequence[str] = ()
    shared: Sequence[str] = ()
    languages: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Path:
    """A file's place: its folders and its name in lower case, in order and as a set."""

    parts: tuple[str, ...]
    names: frozenset[str]

    @property
    def language(self) -> str:
        """The ending of the file's name; empty where it has none."""
        return self.parts[-1].rpartition(".")[2] if "." in self.parts[-1] else ""


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A claimant's glob, part by part; `names` are the parts that stand in a path as they are written.

    `folder` is the glob's last folder, where it means all files in it.
    """

    claimant: int
    parts: tuple[str, ...]
    names: frozenset[str]
    weight: float
    is_shared: bool
    folder: str

    def fits(self, path: _Path) -> bool:
        """Tell whether the glob fits a path, in time that grows with the path's length alone."""
        if not self.names <= path.names:
            return False
        if self.folder and len(self.parts) == _PARTS_OF_FOLDER:
            return self.depth(path) >= 0
        return fits_path(self.parts, path.parts)

    def depth(self, path: _Path) -> int:
        """Return how deep in a path that fits the glob's folder lies; -1 where the glob is not of a folder."""
        if not self.folder:
            return -1
        return max((at for at, part in enumerate(path.parts[:-1]) if is_name_like(part, self.folder)), default=-1)


class _Patterns:
    """Globs, found by a folder or name that they spell out, else by the ending of the file's name."""

    def __init__(self, patterns: Sequence[_Pattern]) -> None:
        self._by_name: defaultdict[str, list[_Pattern]] = defaultdict(list)
        self._by_ending: defaultdict[str, list[_Pattern]] = defaultdict(list)
        self._others: list[_Pattern] = []
        self.fitting = lru_cache(_PATHS_KEPT)(self._fitting)
        """Findings of one file come together."""
        for pattern in patterns:
            _, dot, ending = pattern.parts[-1].rpartition(".")
            if pattern.names:
                self._by_name[max(pattern.names, key=len)].append(pattern)
            elif dot and not _WILD & set(ending):
                self._by_ending[ending].append(pattern)
            else:
                self._others.append(pattern)

    def _fitting(self, path: _Path) -> list[tuple[_Pattern, int]]:
        """Return the globs that fit a path, each with its depth in it."""
        by_names = [self._by_name[name] for name in path.names if name in self._by_name]
        found = chain(*by_names, self._by_ending.get(path.language, ()), self._others)
        return [(pattern, pattern.depth(path)) for pattern in found if pattern.fits(path)]


class Hints:
    """Words and file patterns of claimants; a hint that many share says little for each.

    Both are given in the order of the claimants; so are the points that come back, none negative.
    """

    __slots__ = ("_claimants", "_languages", "_longest", "_patterns", "_phrases", "_written")

    def __init__(self, words: Sequence[Sequence[str]], places: Sequence[Places]) -> None:
        self._claimants = len(words)
        self._phrases = _phrases(words)
        self._longest = max((phrase.count(" ") + 1 for phrase in self._phrases), default=0)
        self._languages = tuple(frozenset(place.languages) for place in places)
        self._written = frozenset[str]().union(*self._languages)
        self._patterns = _Patterns(
            [
                _pattern(index, glob, is_shared=is_shared)
                for index, place in enumerate(places)
                for globs, is_shared in (
                    ([*place.files, *(f"*.{ending}" for ending in place.languages)], False),
                    (place.shared, True),
                )
                for glob in globs
            ]
        )

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

    def of_files(self, files: Sequence[str], words: Sequence[float] | None = None) -> list[float]:
        """Return each claimant's points for the places of `files`, the mean over the first `_MAX_FILES` of them.

        `words` are the claimants' points for the text about the files: a shared place counts only for claimants that
        have some. None: there is no text, and all places count.
        """
        scores = [0.0] * self._claimants
        paths = list(islice(dict.fromkeys(map(_path, filter(str.strip, files))), _MAX_FILES))
        for path in paths:
            fits = self._fits(path, words)
            rarity = _rarity(len(fits), self._claimants)
            for index, weight in fits.items():
                scores[index] += _FILE_WEIGHT * weight * rarity / len(paths)
        return scores

    def _fits(self, path: _Path, words: Sequence[float] | None) -> dict[int, float]:
        """Return the claimants of one path, each with the weight of its best glob."""
        found = [
            (pattern, depth)
            for pattern, depth in self._patterns.fitting(path)
            if words is None or not pattern.is_shared or words[pattern.claimant]
        ]
        deepest = max((depth for _, depth in found), default=-1)
        fits: dict[int, float] = {}
        for pattern, depth in found:
            weight = pattern.weight
            if depth >= 0:
                weight *= _DEEPEST_FACTOR if depth == deepest else 1.0
                weight *= _OTHER_LANGUAGE_FACTOR if self._is_foreign(path.language, pattern.claimant) else 1.0
            fits[pattern.claimant] = max(weight, fits.get(pattern.claimant, 0.0))
        return fits

    def _is_foreign(self, language: str, claimant: int) -> bool:
        own = self._languages[claimant]
        return bool(own) and language in self._written and language not in own


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
    """Return a file's place part by part; a slash at its end makes it a folder's, and `-` is read as `_`."""
    parts = path_parts(place.replace("-", "_"))
    return _Path(parts, frozenset(parts))


def _pattern(claimant: int, glob: str, *, is_shared: bool) -> _Pattern:
    """Return a glob over paths with slashes that may begin at any folder: `*` stays within a folder, `**` does not."""
    parts = glob_parts(glob.replace("-", "_"))
    names = frozenset(part for part in parts if not _WILD & set(part))
    folder = parts[-3] if glob.endswith("/**") else ""
    return _Pattern(claimant, parts, names, _pattern_weight(glob), is_shared, folder)
