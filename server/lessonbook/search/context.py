"""Where a task takes place: the languages of its files, its folder, and how often issues came there before."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, log2
from typing import Final

from lessonbook.machine.patterns import lazy_pattern

_LANGUAGE_OF_SUFFIX: Final[Mapping[str, str]] = {
    "bash": "shell",
    "c": "c",
    "cc": "cpp",
    "cjs": "javascript",
    "cpp": "cpp",
    "cs": "csharp",
    "css": "css",
    "cxx": "cpp",
    "dart": "dart",
    "erb": "ruby",
    "go": "go",
    "gradle": "java",
    "h": "c",
    "hh": "cpp",
    "hpp": "cpp",
    "htm": "html",
    "html": "html",
    "ipynb": "python",
    "java": "java",
    "js": "javascript",
    "jsx": "javascript",
    "kt": "kotlin",
    "kts": "kotlin",
    "mjs": "javascript",
    "php": "php",
    "prisma": "sql",
    "ps1": "powershell",
    "py": "python",
    "pyi": "python",
    "rb": "ruby",
    "rs": "rust",
    "scala": "scala",
    "scss": "css",
    "sh": "shell",
    "sql": "sql",
    "svelte": "javascript",
    "swift": "swift",
    "tf": "terraform",
    "tfvars": "terraform",
    "ts": "typescript",
    "tsx": "typescript",
    "vue": "javascript",
    "xml": "xml",
    "yaml": "yaml",
    "yml": "yaml",
}
_NAMED: Final[Mapping[str, str]] = {
    "c": "c",
    "c#": "csharp",
    "c++": "cpp",
    "csharp": "csharp",
    "css": "css",
    "dockerfile": "dockerfile",
    "golang": "go",
    "html": "html",
    "java": "java",
    "javascript": "javascript",
    "kotlin": "kotlin",
    "php": "php",
    "python": "python",
    "ruby": "ruby",
    "rust": "rust",
    "sql": "sql",
    "swift": "swift",
    "terraform": "terraform",
    "typescript": "typescript",
}
"""Names by which a task speaks of a language; others ("go", "shell") are words of other meanings as well."""
_NAME: Final = lazy_pattern(r"(?<![\w.+#-])(c\+\+|c#|[a-z]+)(?![\w+#])", re.IGNORECASE)
_RELATED: Final[Mapping[str, frozenset[str]]] = {
    "c": frozenset({"cpp"}),
    "cpp": frozenset({"c"}),
    "csharp": frozenset({"html", "sql"}),
    "html": frozenset({"css", "javascript", "typescript", "react", "vue"}),
    "css": frozenset({"html", "react", "vue"}),
    "dockerfile": frozenset({"shell", "kubernetes"}),
    "java": frozenset({"kotlin", "android", "sql"}),
    "javascript": frozenset({"typescript", "react", "vue", "html", "css", "sql"}),
    "kotlin": frozenset({"java", "android"}),
    "php": frozenset({"laravel", "html", "sql"}),
    "python": frozenset({"django", "flask", "fastapi", "airflow", "sql"}),
    "ruby": frozenset({"rails", "html", "sql"}),
    "rust": frozenset({"sql"}),
    "go": frozenset({"sql"}),
    "swift": frozenset({"ios"}),
    "terraform": frozenset({"kubernetes"}),
    "typescript": frozenset({"javascript", "react", "vue", "html", "css", "sql"}),
    "yaml": frozenset({"kubernetes", "github-actions", "dockerfile"}),
}
"""Languages and frameworks that code of a language may be of as well: a rule about those is not about others."""
_GITHUB_ACTIONS: Final = ".github/workflows/"
_TEST: Final = lazy_pattern(r"(?:^|[/._-])(?:tests?|specs?|e2e)(?:[/._-]|$)")
NAMED_WITHIN: Final = 1_000
"""Characters of a task in which a language is looked for."""
COUNTED_MAX: Final = 2_000
"""An agent's latest issues that tell what comes how often in which place."""
FOLDER_DEPTH: Final = 2
HALF_LIFE_DAYS: Final = 90.0
"""An issue counts half as much after so many days."""
_PRIOR: Final = 0.05
"""What a lesson without an issue in a place counts as having there, in issues."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task takes place. Languages are named as in the catalogue; empty where nothing tells."""

    languages: frozenset[str] = frozenset()
    language: str = ""
    folders: frozenset[str] = frozenset()
    is_test: bool = False

    def about(self, languages: Collection[str]) -> float:
        """Return 1 if a rule for `languages` is about this place's, −1 if it is about others, 0 if nothing tells."""
        return _about(self.languages, frozenset(languages)) if languages and self.languages else 0.0


@lru_cache(maxsize=4_000)
def _about(here: frozenset[str], languages: frozenset[str]) -> float:
    if not here.isdisjoint(languages):
        return 1.0
    related = frozenset[str]().union(*(_RELATED.get(name, frozenset()) for name in here))
    return -1.0 if related.isdisjoint(languages) else 0.0


def place_of(task: str, files: Iterable[str]) -> Place:
    """Return where a task takes place: by its files, else by the languages that its words name."""
    files = list(files)
    languages = [language for file in files if (language := language_of(file))]
    if not languages:
        names: list[str] = _NAME.findall(task[:NAMED_WITHIN])
        languages = [_NAMED[name.lower()] for name in names if name.lower() in _NAMED]
    folders = frozenset(folder for file in files if (folder := folder_of(file)))
    return Place(frozenset(languages), languages[0] if languages else "", folders, any(map(is_test, files)))


def language_of(file: str) -> str:
    """Return the language of a file by its name; empty where the name does not tell."""
    path = file.replace("\\", "/").lower()
    name = path.rsplit("/", 1)[-1]
    if name.startswith("dockerfile") or name.endswith(".dockerfile"):
        return "dockerfile"
    if name.endswith((".yml", ".yaml")) and _GITHUB_ACTIONS in path:
        return "github-actions"
    if name.startswith(("docker-compose", "compose.")):
        return "dockerfile"
    return _LANGUAGE_OF_SUFFIX.get(name.rsplit(".", 1)[1], "") if "." in name else ""


def is_test(file: str) -> bool:
    """Return whether a path is that of a test."""
    return _TEST.search(file.replace("\\", "/").lower()) is not None


def folder_of(file: str) -> str:
    """Return the first folders of a path, `FOLDER_DEPTH` at most; empty for a file at the top."""
    parts = [part for part in file.replace("\\", "/").split("/")[:-1] if part not in ("", ".")]
    return "/".join(parts[:FOLDER_DEPTH]).lower()


class IssueCounts:
    """How often each lesson's issue came lately, and where. It is not changed once it is asked."""

    def __init__(self, issues: Iterable[tuple[str, str, float]] = ()) -> None:
        """Take issues: the lesson's id, the file, and how many days ago it came."""
        self._weights: dict[tuple[str, str, bool], dict[str, float]] = {}
        for lesson_id, file, age_days in issues:
            language = language_of(file)
            if language:
                of_place = self._weights.setdefault((language, folder_of(file), is_test(file)), {})
                of_place[lesson_id] = of_place.get(lesson_id, 0.0) + 0.5 ** (max(age_days, 0.0) / HALF_LIFE_DAYS)

    def here(self, place: Place) -> dict[str, float]:
        """Return how often the issue of each lesson came in the languages of a place; empty where none are known.

        An issue counts twice where its folder is the place's as well, and twice where both are tests or neither is.
        """
        found: dict[str, float] = {}
        for (language, folder, test), counts in self._weights.items():
            if language not in place.languages:
                continue
            alike = (2.0 if folder in place.folders else 1.0) * (2.0 if test == place.is_test else 1.0)
            for lesson_id, weight in counts.items():
                found[lesson_id] = found.get(lesson_id, 0.0) + alike * weight
        return found


HISTORY_BIAS: Final = 2.64
HISTORY_SHARE: Final = 0.87
HISTORY_WORDS: Final = 0.73
"""Logistic regression on tasks of a project with reported issues: a lesson's log share of them, its words' log odds."""
_WORDS_MIN: Final = 1e-3
UNSEEN_AFTER: Final = 20
"""After so many issues of a language a lesson without any of them is half as likely as the catalogue says."""


def likely_by_history(count: float, total: float, relevance: float) -> float:
    """Return how probably a task raises the issue of a lesson that came `count` times among `total` in this language.

    `relevance` is how probably its words fit the task.
    """
    share = log((count + _PRIOR) / (total + 1))
    words = min(max(relevance, _WORDS_MIN), 1 - _WORDS_MIN)
    score = HISTORY_BIAS + HISTORY_SHARE * share + HISTORY_WORDS * log(words / (1 - words))
    return 1.0 / (1.0 + exp(-score))


def unseen(total: float) -> float:
    """Return the share of what the catalogue says that is left for a lesson of which `total` issues show none."""
    return UNSEEN_AFTER / (UNSEEN_AFTER + total)


def recurring(probability: float, issues: int) -> float:
    """Return how probable what the catalogue says becomes where the issue came `issues` times in this project.

    The odds double with the first issue, and grow with the logarithm of their number.
    """
    odds = probability / (1 - probability) * (1 + log2(1 + issues)) if probability < 1 else 0.0
    return odds / (1 + odds) if probability < 1 else 1.0
