"""Tasks in other languages: the English index terms of their words."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import groupby
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.search.tokenizer import READ_MAX, stem

_WORD_MAX: Final = 40
_MEANINGS_MAX: Final = 4
"""English terms of one foreign word: more would drown the rest of the query."""

_RUN: Final = lazy_pattern(
    "(?P<latin>[A-Za-z\u00c0-\u024f\u1e00-\u1eff\u0300-\u036f]+)|(?P<ru>[\u0400-\u052f\u0300-\u036f]+)"
    "|(?P<ar>[\u0610-\u061a\u0620-\u065f\u066e-\u06d3]+)|(?P<ko>[\uac00-\ud7a3]+)"
    "|(?P<han>[\u3005\u3040-\u309f\u30a1-\u30fa\u30fc\u3400-\u4dbf\u4e00-\u9fff]+)"
)
_UMLAUT: Final = lazy_pattern("([aou])e")
_NO_LETTER: Final = lazy_pattern(r"[ '-]")
_KANA: Final = lazy_pattern("[\u3040-\u30ff]")
_HIRAGANA: Final = lazy_pattern("[\u3041-\u3096]")

_LATIN: Final = ("de", "fr", "es", "pt", "it")
_SURE: Final = 2
"""Different function words that show a language."""
_SURE_AMONG_ENGLISH: Final = 3
"""The same in a text with English words: a single `de` or `des` is a name there."""
_STEM_MIN: Final = 3
_ENDING_MAX: Final = 8
_PART_MIN: Final = 4
"""Characters of a part of a German compound."""
_COMPOUND_MIN: Final = 8
_ENTRY_MAX: Final = 12
"""Characters of a Korean entry."""
_AR_FOLD: Final = {
    **dict.fromkeys([*range(0x610, 0x61B), *range(0x64B, 0x660), 0x640, 0x670], None),
    **str.maketrans("أإآٱىةؤئ", "اااايهوي"),
}


@dataclass(frozen=True, slots=True)
class _Dictionary:
    """Translations of one language, by folded form and by stem."""

    meanings: dict[str, tuple[str, ...]]
    stems: dict[str, str]
    """The stem of each of these forms."""
    phrases: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]
    """By the stem of the first word: the stems of the others, and the meanings."""


@dataclass(frozen=True, slots=True)
class _Glossary:
    """Entries of Chinese or Japanese."""

    entries: dict[str, tuple[str, ...]]
    verbs: dict[str, tuple[str, ...]]
    """Stems of Japanese verbs: hiragana follows them."""
    reach: dict[str, int]
    """Characters of the longest entry or stem, by its first character."""


def english_of(text: str) -> list[str]:
    """Return the English index terms of the words of `text` that are not English, in order, as plain words.

    A word that is not known gives nothing, and so does English text. Words that are the same in English are left
    to `words_of`. Reads at most `READ_MAX` characters.
    """
    text = text[:READ_MAX]
    if text.isascii() and _is_english(text):
        return []
    runs = list(_runs_of(unicodedata.normalize("NFKC", text)[:READ_MAX]))
    latin = _language_of([run for script, run in runs if script == "latin"])
    kana = any(script == "han" and _KANA.search(run) for script, run in runs)
    terms: list[str] = []
    for script, group in groupby(runs, key=lambda run: run[0]):
        words = [word for _, word in group]
        if script == "latin":
            terms += _spaced(words, latin) if latin else ()
        elif script == "han":
            terms += [term for word in words for term in _unspaced(word, "ja" if kana else "zh")]
        elif script == "ko":
            terms += _korean(words)
        else:
            terms += _spaced(words, script)
    return [word for term in terms for word in term.split()]


def _is_english(text: str) -> bool:
    words = frozenset(text.lower().split())
    return words.isdisjoint(_hints()) and not words.isdisjoint(_listed("function", "en"))


def _runs_of(text: str) -> Iterator[tuple[str, str]]:
    for found in _RUN.finditer(text):
        yield found.lastgroup or "", found.group()[: READ_MAX if found.lastgroup == "han" else _WORD_MAX]


def _language_of(words: list[str]) -> str:
    """Return the language of words in Latin script, or an empty string for English and what is not known.

    Function words show it; where there are none, as in a title, dictionary words that are not English.
    """
    plain = [_plain(word) for word in words]
    count = Counter(plain)
    accented = not all(word.isascii() for word in words)
    english = sum(count[word] for word in _english_function_words())
    hints = {language: count.keys() & _hints() & _listed("function", language) for language in _LATIN}
    most = max(len(found) for found in hints.values())
    likely = [language for language in _LATIN if len(hints[language]) == most]
    sure = most >= (_SURE_AMONG_ENGLISH if english and not accented else _SURE)
    sure = sure and 2 * sum(count[word] for word in hints[likely[0]]) >= english
    if not words or (english and not sure):
        return ""
    if sure and len(likely) == 1:
        return likely[0]
    unknown = {word for word in plain if len(word) >= _STEM_MIN and stem(word) not in _english_stems()}
    hits = {language: _hits(unknown, language) for language in (likely if sure else _LATIN)}
    best = max(hits, key=lambda language: (hits[language], len(hints[language])))
    return best if hits[best] >= (1 if sure or accented else max(2, 0.5 * len(count))) else ""


def _hits(words: set[str], language: str) -> int:
    meanings = _lexicon(language).meanings
    return sum(1 for word in words if meanings.get(_known(_folded(word, language), language)))


def _plain(word: str) -> str:
    """Return `word` in lower case without accents: `Größe` is `grosse`."""
    word = word.casefold()
    if word.isascii():
        return word
    marked = unicodedata.normalize("NFD", word.replace("œ", "oe").replace("æ", "ae"))
    return "".join(character for character in marked if not unicodedata.combining(character))


def _folded(word: str, language: str) -> str:
    """Return `word` as the lexicon spells it: German `ue` is `u`, as it stands for ü."""
    if language == "ar":
        return word.translate(_AR_FOLD)
    word = _plain(word)
    return _UMLAUT.sub(r"\1", word) if language == "de" else word


@lru_cache(maxsize=1)
def _sections() -> tuple[str, str]:
    """Return the two parts of the data file: words of each language, and terms."""
    text = (resources.files("lessonbook") / "data" / "translation.tsv").read_text(encoding="utf-8")
    grammar, _, terms = text.partition("\n\n")
    return grammar, terms


@lru_cache(maxsize=1)
def _grammar() -> dict[tuple[str, str], tuple[str, ...]]:
    """Return lists of words by what they are and their language, as `("ending", "de")`."""
    lines = [line.split("\t") for line in _sections()[0].splitlines() if not line.startswith("#")]
    return {(kind, language): tuple(words.split()) for kind, language, words in lines}


@lru_cache(maxsize=64)
def _listed(kind: str, language: str) -> frozenset[str]:
    return frozenset(_grammar().get((kind, language), ()))


@lru_cache(maxsize=1)
def _hints() -> frozenset[str]:
    """Return the words that no English text has and some other language in Latin script has in every sentence."""
    words: set[str] = set()
    for language in _LATIN:
        words.update(word for word in _grammar()["function", language] if len(word) > 1)
    return frozenset(words) - _listed("function", "en")


@lru_cache(maxsize=1)
def _columns() -> dict[str, tuple[str, ...]]:
    """Return the cells of the terms, by language."""
    lines = [line.split("\t") for line in _sections()[1].splitlines() if not line.startswith("#")]
    return {name: tuple(cells) for name, *cells in zip(*lines, strict=True)}


@lru_cache(maxsize=1)
def _english_function_words() -> frozenset[str]:
    """Return English words that are in no function words of another language, as `in` and `no` are."""
    return _listed("function", "en").difference(*(_listed("function", language) for language in _LATIN))


@lru_cache(maxsize=1)
def _english_stems() -> frozenset[str]:
    words = [word for term in _columns()["en"] for word in term.split()]
    return frozenset(map(stem, words)) | frozenset(stem(stem(word) + "ion") for word in words)


def _entries(language: str) -> Iterator[tuple[str, str]]:
    """Yield a form of `language` and its English term."""
    for english, cell in zip(_columns()["en"], _columns()[language], strict=True):
        for form in cell.split(",") if cell else ():
            yield form, english


@lru_cache(maxsize=16)
def _lexicon(language: str) -> _Dictionary:
    """Return the words and phrases of a language that puts spaces between words."""
    gaps = _gaps(language)
    meanings: dict[str, dict[str, None]] = {}
    stems: dict[str, str] = {}
    long: list[tuple[list[str], str]] = []
    for form, english in _entries(language):
        words = [word for word in _NO_LETTER.split(_folded(form, language)) if word not in gaps]
        if len(words) == 1:
            stems[words[0]] = _base(words[0], language)
            for key in (words[0], stems[words[0]]):
                meanings.setdefault(key, {})[english] = None
        elif words:
            long.append((words, english))
    lexicon = _Dictionary({key: tuple(found)[:_MEANINGS_MAX] for key, found in meanings.items()}, stems, {})
    phrases: dict[str, dict[tuple[str, ...], dict[str, None]]] = {}
    for words, english in long:
        keys = [_inflected(word, language, lexicon) or _base(word, language) for word in words]
        first, *rest = [stems.get(key, key) for key in keys]
        phrases.setdefault(first, {}).setdefault(tuple(rest), {})[english] = None
        for key in (first, *rest):
            lexicon.meanings.setdefault(key, ())
    for first, others in phrases.items():
        longest = sorted(others.items(), key=lambda item: -len(item[0]))
        lexicon.phrases[first] = tuple((rest, tuple(found)) for rest, found in longest)
    return lexicon


@lru_cache(maxsize=16)
def _gaps(language: str) -> frozenset[str]:
    """Return the words that stand between those of a phrase: `mot de passe` is known as `mot passe`."""
    return frozenset(_folded(word, language) for word in _listed("function", language)) | frozenset("dlnqcsjmt")


def _base(word: str, language: str) -> str:
    """Return the dictionary form `word` without its ending."""
    if language == "ar":
        word = word.removeprefix("ال") if len(word) > _STEM_MIN + 1 else word
        return word.removesuffix("ه") if len(word) > _STEM_MIN else word
    if language == "de" and word.endswith(("ern", "eln")):
        return word[:-1]
    for ending in _grammar().get(("citation", language), ()):
        if word.endswith(ending) and len(word) - len(ending) >= _STEM_MIN:
            return word[: -len(ending)]
    return word


def _spaced(words: list[str], language: str) -> list[str]:
    return [term for terms in _matches(words, language) for term in terms]


def _matches(words: list[str], language: str) -> Iterator[tuple[str, ...]]:
    """Yield the English terms of each phrase and word that is known, the longest phrase first."""
    lexicon, gaps = _lexicon(language), _gaps(language)
    content = [word for word in (_folded(word, language) for word in words) if word not in gaps]
    keys = [_known(word, language) for word in content]
    stems = [lexicon.stems.get(key, key) for key in keys]
    at = 0
    while at < len(content):
        key, word = keys[at], content[at]
        for rest, meanings in lexicon.phrases.get(stems[at], ()):
            if tuple(stems[at + 1 : at + 1 + len(rest)]) == rest:
                yield meanings
                at += len(rest)
                break
        else:
            if key and lexicon.meanings[key]:
                yield lexicon.meanings[key]
            elif not key and language == "de":
                yield from _parts(word)
        at += 1


@lru_cache(maxsize=8_000)
def _known(word: str, language: str) -> str:
    """Return the key of the lexicon that `word` is a form of, or an empty string."""
    lexicon = _lexicon(language)
    keys = (_inflected(form, language, lexicon) for form in _FORMS[language](word))
    return next((key for key in keys if key), "")


def _inflected(word: str, language: str, lexicon: _Dictionary) -> str:
    """Return the longest key that gives `word` with an ending: one with a meaning, else one of a phrase alone."""
    meanings, endings = lexicon.meanings, _listed("ending", language)
    cuts = range(len(word) - 1, max(_STEM_MIN, len(word) - _ENDING_MAX) - 1, -1)
    keys = [key for key in (word, *(word[:cut] for cut in cuts if word[cut:] in endings)) if key in meanings]
    return next((key for key in keys if meanings[key]), keys[0] if keys else "")


def _same(word: str) -> Iterator[str]:
    yield word


def _german_forms(word: str) -> Iterator[str]:
    yield word
    for prefix in ("", *_grammar()["prefix", "de"]):
        if word.startswith((prefix + "ge", prefix + "zu")) and len(word) > len(prefix) + 5:
            yield prefix + word[len(prefix) + 2 :]


def _russian_forms(word: str) -> Iterator[str]:
    yield word
    if word.endswith(("ся", "сь")):
        yield word[:-2]


def _arabic_forms(word: str) -> Iterator[str]:
    """Yield `word`, then what its prefixes and suffixes leave of it, the least cut first."""
    yield word
    bodies = [word, *(word[len(before) :] for before in _grammar()["prefix", "ar"] if word.startswith(before))]
    cut = [body[: -len(after)] for body in bodies for after in _grammar()["ending", "ar"] if body.endswith(after)]
    for body in sorted({*bodies[1:], *cut}, key=lambda body: (-len(body), body)):
        if len(body) >= _STEM_MIN:
            yield body


_FORMS: Final[dict[str, Callable[[str], Iterator[str]]]] = {
    **dict.fromkeys(("fr", "es", "pt", "it"), _same),
    "de": _german_forms,
    "ru": _russian_forms,
    "ar": _arabic_forms,
}


@lru_cache(maxsize=2_000)
def _parts(word: str) -> tuple[tuple[str, ...], ...]:
    """Return the meanings of the parts of a German compound: greedily from the left, else of its head alone."""
    if not _COMPOUND_MIN <= len(word) <= _WORD_MAX:
        return ()
    meanings = _lexicon("de").meanings
    found: list[tuple[str, ...]] = []
    at = 0
    while at < len(word):
        part, end = _next_part(word, at)
        if not part:
            break
        found.append(meanings[part])
        at = end
    if at == len(word):
        return tuple(found)
    for start in range(2, len(word) - _PART_MIN):
        head = _inflected(word[start:], "de", _lexicon("de"))
        if len(head) > _PART_MIN and meanings[head]:
            return (meanings[head],)
    return tuple(found)


def _next_part(word: str, at: int) -> tuple[str, int]:
    """Return the longest known part of `word` at `at`, past a linking letter, and where it ends; or `("", at)`."""
    meanings = _lexicon("de").meanings
    starts = [at, *(at + len(link) for link in _grammar()["link", "de"] if at and word.startswith(link, at))]
    for start in starts if at else ():
        key = _inflected(word[start:], "de", _lexicon("de"))
        if len(key) >= _PART_MIN and meanings[key]:
            return key, len(word)
    for start in starts:
        for end in range(len(word) - 1, start + _PART_MIN - 1, -1):
            if meanings.get(word[start:end]):
                return word[start:end], end
    return "", at


@lru_cache(maxsize=2)
def _glossary(language: str) -> _Glossary:
    """Return the entries of Chinese or Japanese, and those of the other that have no kana and no rival."""
    entries: dict[str, dict[str, None]] = {}
    verbs: dict[str, dict[str, None]] = {}
    for name in (language, "ja" if language == "zh" else "zh"):
        for form, english in _entries(name):
            if name != language and (len(form) == 1 or _KANA.search(form) or _spelled(form, language) in entries):
                continue
            if name == "ja" and _HIRAGANA.match(form[-1]) and not _HIRAGANA.match(form[0]):
                verbs.setdefault(form[:-1], {})[english] = None
            entries.setdefault(_spelled(form, language), {})[english] = None
    reach: dict[str, int] = {}
    for form in (*entries, *verbs):
        reach[form[0]] = max(len(form), reach.get(form[0], 0))
    return _Glossary(
        {form: tuple(found)[:_MEANINGS_MAX] for form, found in entries.items()},
        {form: tuple(found)[:_MEANINGS_MAX] for form, found in verbs.items()},
        reach,
    )


def _spelled(text: str, language: str) -> str:
    """Return Chinese `text` in simplified characters."""
    return text.translate(_simplified()) if language == "zh" else text


@lru_cache(maxsize=1)
def _simplified() -> dict[int, str]:
    return {ord(traditional): simplified for traditional, simplified in _grammar()["simplified", "zh"]}


def _unspaced(run: str, language: str) -> Iterator[str]:
    """Yield the English terms of the longest entries in `run`, from the left.

    An entry of one character counts only in what longer entries leave over, where that is one or two characters
    beside particles.
    """
    glossary = _glossary(language)
    run = _spelled(run, language)
    at = left = 0
    while at < len(run):
        size, terms = _longest(run, at, glossary)
        if not size:
            at += 1
            continue
        yield from _single(run[left:at], glossary.entries)
        yield from terms
        at += size
        left = at
    yield from _single(run[left:], glossary.entries)


def _longest(run: str, at: int, glossary: _Glossary) -> tuple[int, tuple[str, ...]]:
    for size in range(min(glossary.reach.get(run[at], 0), len(run) - at), 0, -1):
        piece = run[at : at + size]
        if size > 1 and piece in glossary.entries:
            return size, glossary.entries[piece]
        if piece in glossary.verbs and _HIRAGANA.match(run, at + size):
            return size, glossary.verbs[piece]
    return 0, ()


def _single(gap: str, entries: dict[str, tuple[str, ...]]) -> Iterator[str]:
    particles = _listed("function", "zh")
    gap = "".join(character for character in gap if character not in particles and not _HIRAGANA.match(character))
    if len(gap) <= 2:  # noqa: PLR2004  # a word and a particle
        for character in gap:
            yield from entries.get(character, ())


@lru_cache(maxsize=1)
def _korean_entries() -> dict[str, tuple[str, ...]]:
    entries: dict[str, dict[str, None]] = {}
    for form, english in _entries("ko"):
        word = form.replace(" ", "")
        ending = next(
            (
                ending
                for ending in _grammar()["citation", "ko"]
                if word.endswith(ending) and len(word) > len(ending) + 1
            ),
            "",
        )
        entries.setdefault(word.removesuffix(ending), {})[english] = None
    return {form: tuple(found)[:_MEANINGS_MAX] for form, found in entries.items()}


def _korean(words: list[str]) -> Iterator[str]:
    """Yield the English terms of the longest entries in each word; an entry may go on in the next word."""
    entries = _korean_entries()
    taken = 0
    for word, following in zip(words, [*words[1:], ""], strict=True):
        at, taken = taken, 0
        if at == 0 and word[:1] in entries and (len(word) == 1 or word[1:] in _listed("ending", "ko")):
            size = next((size for size in range(_ENTRY_MAX, 1, -1) if (word + following)[:size] in entries), 0)
            if size <= len(word):
                yield from entries[word[0]]
                continue
        while at < len(word):
            joined = word[at:] + following
            size = next((size for size in range(min(_ENTRY_MAX, len(joined)), 1, -1) if joined[:size] in entries), 0)
            yield from entries.get(joined[:size], ()) if size else ()
            at += size or 1
        taken = at - len(word)
