"""Findings about infrastructure: their weakness is mostly far too broad, so the words of the check decide."""

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Final

from lessonbook.classify.tool_rules import NO_LESSON
from lessonbook.domain.errors import ConfigError
from lessonbook.machine.patterns import lazy_pattern

_HUMP = lazy_pattern(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[A-Z][a-z])")
_POSSESSIVE = lazy_pattern(r"(?<=\w)['\u2019](?=[st]\b)")
_BETWEEN_WORDS = lazy_pattern(r"[^a-z0-9]+")
_READ_MAX: Final = 400
_COLUMNS: Final = 2
_PATH = lazy_pattern(
    r"(?:\A|/)(?:(?:[\w.-]{0,60}\.)?dockerfile(?:\.[\w-]{1,60})?|containerfile|(?:docker-)?compose[\w.-]{0,60}\.ya?ml|chart\.ya?ml"
    r"|serverless\.ya?ml|\.gitlab-ci\.yml|azure-pipelines\.ya?ml|jenkinsfile|vagrantfile|skaffold\.ya?ml)\Z"
    r"|\.(?:tf|tfvars|hcl|bicep|tf\.json)\Z"
    r"|(?:\A|/)(?:\.github/workflows|\.circleci|\.buildkite|k8s|kubernetes|helm|charts|manifests|cloudformation|ansible|playbooks"
    r"|terraform|deploy|roles)/(?:[^/]{1,200}/){0,8}[^/]{1,200}\.(?:ya?ml|json|tpl)\Z",
)


def is_infrastructure_path(path: str) -> bool:
    """Return whether a path is of a file that describes infrastructure: images, clusters, clouds, pipelines."""
    return _PATH.search(path.lower()[-600:]) is not None


def infrastructure_entry(text: str) -> str:
    """Return the id of the catalogue's entry that the title of an infrastructure check speaks of; else nothing.

    The first line of `data/infrastructure_words.tsv` that fits decides.
    """
    words = _spaced(text[:_READ_MAX])
    entry = next(
        (entry for entry, wanted in _patterns() if all(any(one in words for one in each) for each in wanted)), ""
    )
    return "" if entry == NO_LESSON else entry


def _spaced(text: str) -> str:
    """Return the words of a text in lower case, with a blank before and after each."""
    apart = _HUMP.sub(" ", text) if " " not in text.strip() else text
    return f" {_BETWEEN_WORDS.sub(' ', _POSSESSIVE.sub('', apart).lower()).strip()} "


@cache
def _patterns() -> tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]:
    """Return entries with the words that a title needs: of each inner list one, as it stands between blanks.

    Raises:
        ConfigError: a line has not two columns.
    """
    file = resources.files("lessonbook") / "data" / "infrastructure_words.tsv"
    return tuple(_pattern(file.name, *numbered) for numbered in _lines(file.read_text(encoding="utf-8")))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(text.splitlines(), start=1) if line and line[0] != "#")


def _pattern(file: str, number: int, line: str) -> tuple[str, tuple[tuple[str, ...], ...]]:
    columns = line.split("\t")
    if len(columns) != _COLUMNS:
        raise ConfigError(f"{file}: line {number} has {len(columns)} columns instead of {_COLUMNS}")
    return columns[0], tuple(tuple(map(_bounded, each.split("|"))) for each in columns[1].split())


def _bounded(word: str) -> str:
    """Return a word as it is looked for: whole, or its beginning where it ends with `*`."""
    spaced = word.rstrip("*").replace("_", " ")
    return f" {spaced}" if word.endswith("*") else f" {spaced} "
