"""Findings about dependencies: a known vulnerability in a package is not a fault of the code that uses it."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from lessonbook.classify.tools import kind_of_tool
from lessonbook.domain.advisories import names_advisory
from lessonbook.domain.findings import Finding
from lessonbook.machine.patterns import lazy_pattern

ENTRY: Final = "vulnerable-dependency"
"""The catalogue's entry for packages with known vulnerabilities."""

_MANIFESTS: Final = frozenset(
    {
        *("package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock"),
        *("pyproject.toml", "poetry.lock", "uv.lock", "pdm.lock", "pipfile", "pipfile.lock", "setup.py", "setup.cfg"),
        *("go.mod", "go.sum", "cargo.toml", "cargo.lock", "gemfile", "gemfile.lock", "composer.json", "composer.lock"),
        *("pom.xml", "build.gradle", "build.gradle.kts", "gradle.lockfile", "build.sbt", "libs.versions.toml"),
        *("packages.config", "packages.lock.json", "directory.packages.props", "mix.lock", "pubspec.lock"),
        *("podfile.lock", "package.resolved", "conan.lock", "environment.yml"),
    }
)
_REQUIREMENTS = lazy_pattern(r"(?:\A|[/\\])(?:[\w.-]{0,60}requirements[\w.-]{0,60}\.(?:txt|in)|[\w.-]{1,90}\.csproj)\Z")
_VULNERABLE = lazy_pattern(
    r"\b(?:vulnerab\w+|advisor(?:y|ies)|outdated|end[ -]of[ -]life|upgrade|update[ds]?|version"
    r"|dependenc(?:y|ies)|packages?)\b",
    re.IGNORECASE,
)


def is_manifest_path(path: str) -> bool:
    """Return whether a path is of a file that lists dependencies."""
    lower = path.lower()
    return re.split(r"[/\\]", lower)[-1] in _MANIFESTS or _REQUIREMENTS.search(lower) is not None


def is_about_dependency(finding: Finding, keys: Sequence[str], tools: Iterable[str], *, is_known: bool) -> bool:
    """Return whether a finding is that a dependency has a known vulnerability.

    Args:
        finding: the finding; its description is looked at only where nothing else decides.
        keys: its canonical rule ids and names.
        tools: the canonical names of the tools that found it.
        is_known: whether the catalogue has an entry for a rule that the finding names.
    """
    if finding.package or any(kind_of_tool(tool) == "dependencies" for tool in tools):
        return True
    if any(names_advisory(key) for key in keys):
        return True
    if is_known:
        return False
    text = finding.description
    if is_manifest_path(finding.file):
        return names_advisory(text) or (bool(keys) and _VULNERABLE.search(text) is not None)
    return names_advisory(text) and _VULNERABLE.search(text) is not None
