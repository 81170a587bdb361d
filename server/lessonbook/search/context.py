"""Where a task takes place: the languages of its files, its folder, and how often issues came there before."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import log
from typing import Final

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
_NAME: Final = re.compile(r"(?<![\w.+#-])(c\+\+|c#|[a-z]+)(?![\w+#])", re.IGNORECASE)
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
"""Languages and frameworks that code of a language may be of as well: rules about those are not about something else."""
_GITHUB_ACTIONS: Final = ".github/workflows/"
COUNTED_MAX: Final = 2_000
"""An agent's latest issues that tell what comes how often in which place."""
FOLDER_DEPTH: Final = 2
_PRIOR: Final = 0.05
"""What a lesson without an issue in a place counts as having there, in issues."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task takes place. Languages are named as in the catalogue; empty where nothing tells."""

    languages: frozenset[str] = frozenset()
    language: str = ""
    folders: frozenset[str] = frozenset()

    def about(self, languages: Collection[str]) -> float:
        """Return 1 if a rule for `languages` is about this place's, −1 if it is about others, 0 if nothing tells."""
        if not languages or not self.languages:
            return 0.0
        if not self.languages.isdisjoint(languages):
            return 1.0
        related = frozenset[str]().union(*(_RELATED.get(name, frozenset()) for name in self.languages))
        return -1.0 if related.isdisjoint(languages) else 0.0


def place_of(task: str, files: Iterable[str]) -> Place:
    """Return where a task takes place: by its files, else by the languages that its words name."""
    files = list(files)
    languages = list(dict.fromkeys(filter(None, map(language_of, files))))
    if not languages:
        named = (_NAMED.get(name.lower(), "") for name in _NAME.findall(task[:1_000]))
        languages = list(dict.fromkeys(filter(None, named)))
    folders = frozenset(folder for file in files if (folder := folder_of(file)))
    return Place(frozenset(languages), languages[0] if languages else "", folders)


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


def folder_of(file: str) -> str:
    """Return the first folders of a path, `FOLDER_DEPTH` at most; empty for a file at the top."""
    parts = [part for part in file.replace("\\", "/").split("/")[:-1] if part not in ("", ".")]
    return "/".join(parts[:FOLDER_DEPTH]).lower()


@dataclass(slots=True)
class IssueCounts:
    """How often each lesson's issue came lately: in all, by language and by folder."""

    total: int = 0
    by_lesson: dict[str, int] = field(default_factory=dict[str, int])
    in_language: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    in_folder: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])

    def add(self, lesson_id: str, file: str) -> None:
        """Count an issue of a lesson, seen in a file."""
        self.total += 1
        self.by_lesson[lesson_id] = self.by_lesson.get(lesson_id, 0) + 1
        for name, counts in ((language_of(file), self.in_language), (folder_of(file), self.in_folder)):
            if name:
                of_place = counts.setdefault(name, {})
                of_place[lesson_id] = of_place.get(lesson_id, 0) + 1

    def here(self, place: Place) -> dict[str, int]:
        """Return how often the issue of each lesson came in code of the place's languages."""
        found: dict[str, int] = {}
        for language in place.languages:
            for lesson_id, count in self.in_language.get(language, {}).items():
                found[lesson_id] = found.get(lesson_id, 0) + count
        return found

    def folder_share(self, lesson_id: str, place: Place) -> float:
        """Return the share of the issues of the place's folders that are of this lesson, 0 where there were none."""
        seen = [self.in_folder[folder] for folder in place.folders if folder in self.in_folder]
        total = sum(sum(counts.values()) for counts in seen)
        return sum(counts.get(lesson_id, 0) for counts in seen) / total if total else 0.0


def log_share(count: int, total: int) -> float:
    """Return the logarithm of a lesson's share of a place's issues, shrunk towards 0 issues."""
    return log((count + _PRIOR) / (total + 1))
