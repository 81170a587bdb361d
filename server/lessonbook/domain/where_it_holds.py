"""Where a lesson holds: in which languages, and for which files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lessonbook.domain.documents import list_of, object_of
from lessonbook.domain.path_globs import fits_path, glob_parts, path_parts

LANGUAGES_MAX: Final = 20
PATHS_MAX: Final = 20
_KEY: Final = "holds"

_NODE: Final = (
    "javascript",
    "node",
    "express",
    "nestjs",
    "react",
    "vue",
    "nextjs",
    "angular",
    "svelte",
    "react-native",
)
_PYTHON: Final = (
    "python",
    "django",
    "flask",
    "fastapi",
    "sqlalchemy",
    "celery",
    "airflow",
    "pytest",
    "pandas",
    "pytorch",
)
_JVM: Final = ("java", "spring", "hibernate", "android")
_EMBEDDED: Final = frozenset({"sql", "shell", "html", "css"})
"""Languages that stand in files of others, so that a file's name does not rule them out."""
_OF_ENDING: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("py", "pyi", "pyx", "ipynb"), _PYTHON),
    **dict.fromkeys(("js", "jsx", "mjs", "cjs"), _NODE),
    **dict.fromkeys(("ts", "tsx", "mts", "cts"), ("typescript", *_NODE)),
    **dict.fromkeys(("vue", "svelte"), ("typescript", "javascript", "vue", "svelte")),
    "java": _JVM,
    **dict.fromkeys(("kt", "kts"), ("kotlin", *_JVM)),
    "scala": ("scala", "java"),
    "swift": ("swift", "ios"),
    **dict.fromkeys(("m", "mm"), ("ios", "c")),
    "go": ("go", "gin"),
    "rs": ("rust", "axum"),
    "c": ("c",),
    "h": ("c", "cpp"),
    **dict.fromkeys(("cc", "cpp", "cxx", "hpp", "hh", "hxx"), ("cpp",)),
    **dict.fromkeys(("cs", "cshtml", "razor"), ("csharp", "dotnet", "entityframework")),
    **dict.fromkeys(("php", "phtml"), ("php", "laravel", "symfony", "wordpress")),
    **dict.fromkeys(("rb", "erb", "rake"), ("ruby", "rails")),
    "groovy": ("groovy", "java", "kotlin"),
    "sol": ("solidity",),
    "proto": ("protobuf",),
    "cls": ("apex",),
    "dart": ("dart", "flutter"),
    **dict.fromkeys(("ex", "exs"), ("elixir",)),
    "sql": ("sql", "postgresql", "mysql", "sqlite", "sqlserver", "django", "rails", "laravel", "dbt"),
    **dict.fromkeys(("html", "htm", "jinja", "j2"), ("html", "django", "flask", "react", "vue", "angular")),
    **dict.fromkeys(("css", "scss", "sass", "less"), ("css", "react", "vue", "angular")),
    **dict.fromkeys(("sh", "bash", "zsh"), ("shell",)),
    **dict.fromkeys(("tf", "tfvars", "hcl"), ("terraform", "aws")),
    **dict.fromkeys(
        ("yaml", "yml", "tpl"),
        ("kubernetes", "github-actions", "gitlab-ci", "ansible", "docker", "dockerfile", "terraform"),
    ),
    "dockerfile": ("dockerfile", "docker"),
}
"""Languages and frameworks that a file may be of, by the ending of its name."""
_KNOWN: Final = frozenset(name for names in _OF_ENDING.values() for name in names)


@dataclass(frozen=True, slots=True)
class Holds:
    """In which languages and for which path globs a lesson holds; where a list is empty, in all."""

    languages: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return bool(self.languages or self.paths)

    def as_provenance(self) -> dict[str, Any]:
        """Return the entry of a lesson's provenance that keeps it; empty where nothing is said."""
        said = {"languages": list(self.languages), "paths": list(self.paths)}
        return {_KEY: {name: value for name, value in said.items() if value}} if self else {}


ANYWHERE: Final = Holds()


def where_it_holds(provenance: Mapping[str, Any]) -> Holds:
    """Return where the lesson of that provenance holds; `ANYWHERE` if it does not say so, or not as it should."""
    kept = object_of(provenance.get(_KEY))
    return Holds(*(_texts(kept.get(name)) for name in ("languages", "paths")))


def holds_for(holds: Holds, files: Iterable[str]) -> bool:
    """Return whether a lesson holds for work on `files`.

    It does unless the files rule it out: none is like one of its paths, or those whose language is known are all of
    other languages. One file for which it holds is enough; without files nothing is ruled out. A framework holds where
    its language does. The work grows with the number of files times globs, and with their lengths.
    """
    places = [path_parts(file) for file in files if file.strip()]
    if not holds or not places:
        return True
    if holds.paths:
        globs = [glob_parts(glob) for glob in holds.paths]
        places = [place for place in places if any(fits_path(glob, place) for glob in globs)]
        if not places:
            return False
    wanted = set(holds.languages)
    if not wanted or wanted & _EMBEDDED or not wanted <= _KNOWN:
        return True
    known = [languages for place in places if (languages := _languages_of(place[-1]))]
    return not known or any(not wanted.isdisjoint(languages) for languages in known)


def _languages_of(name: str) -> tuple[str, ...]:
    """Return what a file of that name may be written in; empty where the name does not say."""
    start, dot, ending = name.rpartition(".")
    if name.startswith("dockerfile"):
        return _OF_ENDING["dockerfile"]
    return _OF_ENDING.get(ending, ()) if dot and start else ()


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in list_of(value) if isinstance(item, str) and item)
