"""Findings about infrastructure: their weakness is mostly far too broad, so the words of the check decide."""

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Final

from lessonbook.domain.errors import ConfigError
from lessonbook.search.tokenizer import stem

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_READ_MAX: Final = 400
_COLUMNS: Final = 2
_PATH = re.compile(
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

    The first line of `data/infrastructure_words.tsv` whose words the text all has decides.
    """
    words = frozenset(_words(text[:_READ_MAX]))
    return next((entry for entry, wanted in _patterns() if all(words & each for each in wanted)), "")


def _words(text: str) -> Iterator[str]:
    return (stem(word.lower()) for word in _WORD.findall(text))


@cache
def _patterns() -> tuple[tuple[str, tuple[frozenset[str], ...]], ...]:
    """Return entries with the sets of words of which a text has one each.

    Raises:
        ConfigError: a line has not two columns.
    """
    file = resources.files("lessonbook") / "data" / "infrastructure_words.tsv"
    found: list[tuple[str, tuple[frozenset[str], ...]]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        columns = line.split("\t")
        if len(columns) != _COLUMNS:
            raise ConfigError(f"{file.name}: line {number} has {len(columns)} columns instead of {_COLUMNS}")
        wanted = tuple(frozenset(_words(each)) for each in columns[1].split())
        found.append((columns[0], wanted))
    return tuple(found)
