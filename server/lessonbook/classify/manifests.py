"""What manifests name: the dependencies in them, and the technologies that these and their own names show."""

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Final

from lessonbook.classify.stacks import Technology, any_fits, load_technologies
from lessonbook.domain.documents import list_of, object_of, text_of
from lessonbook.machine.patterns import lazy_pattern

_FROM = lazy_pattern(r"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)?([\w./-]+)", re.MULTILINE | re.IGNORECASE)
_IMAGE = lazy_pattern(r"^[ \t]*(?:-[ \t]*)?image:[ \t]*[\"']?([\w./-]+)", re.MULTILINE)
_API_VERSION = lazy_pattern(r"^apiVersion:", re.MULTILINE)
_KIND = lazy_pattern(r"^kind:", re.MULTILINE)
_REQUIREMENT = lazy_pattern(r"^[ \t]*(?:-[ \t]*)?([A-Za-z][\w.-]*)", re.MULTILINE)
_QUOTED = lazy_pattern(r"[\"']([\w@./:-]{2,200})[\"']")
_TAG = lazy_pattern(r"<(?:groupId|artifactId)>([\w.-]{1,200})<|(?:Include|Sdk)=\"([\w.-]{1,200})\"")
_GEM = lazy_pattern(r"^[ \t]*gem[ \t]+[\"']([\w-]+)", re.MULTILINE)
_MODULE = lazy_pattern(r"^[ \t]*(?:require[ \t]+)?([\w.-]+/[\w./-]+)", re.MULTILINE)
_PUB = lazy_pattern(r"^[ ]{2,}([a-z][a-z0-9_]{0,100}):", re.MULTILINE)
_PROVIDER = lazy_pattern(r"^[ \t]*provider(?: {0,9}= {0,9}| {1,9})\"(\w+)\"", re.MULTILINE)
_KOTLIN_PLUGIN: Final = "kotlin("
_YAML: Final = (".yaml", ".yml")
_TEXT_MAX: Final = 64 * 1024


def is_manifest(path: str) -> bool:
    """Return whether the file at a relative `path` may say what a folder is built with."""
    name = path.rpartition("/")[2]
    if name.endswith(_YAML) or _reader(name):
        return True
    return any(any_fits(each.files, at) for each in _all() for at in (name, path))


def stack_of(manifests: Mapping[str, str]) -> list[str]:
    """Return the names of the technologies that a folder's manifests show, by relative path; languages come first."""
    names = {path.rpartition("/")[2] for path in manifests} | manifests.keys()
    packages: set[str] = set()
    found: set[str] = set()
    for path, content in manifests.items():
        name, text = path.rpartition("/")[2], content[:_TEXT_MAX]
        if reader := _reader(name):
            packages.update(package.casefold() for package in reader(content))
        if name.endswith(_YAML) and _API_VERSION.search(text) and _KIND.search(text):
            found.add("kubernetes")
        found.update(known.name for named in _named(name, text) if (known := load_technologies().find(named)))
    return [each.name for each in _all() if each.name in found or _is_shown(each, names, packages)]


def _is_shown(technology: Technology, names: set[str], packages: set[str]) -> bool:
    if any(any_fits(technology.files, name) for name in names):
        return True
    return any(any_fits([pattern.casefold() for pattern in technology.packages], package) for package in packages)


@cache
def _all() -> tuple[Technology, ...]:
    return tuple(load_technologies().all.values())


def _reader(name: str) -> Callable[[str], Iterable[str]] | None:
    """Return what finds the dependencies in a file of that name, if anything does."""
    return next((reader for patterns, reader in _READERS if any_fits(patterns, name)), None)


def _named(name: str, text: str) -> Iterator[str]:
    """Yield the images and providers that a file names: they go by the technology's own name."""
    if "dockerfile" in name.casefold() or name.endswith(_YAML):
        yield from (image.rpartition("/")[2] for image in (*_FROM.findall(text), *_IMAGE.findall(text)))
    if name.endswith((".tf", ".prisma")):
        yield from _PROVIDER.findall(text)


def _of_pyproject(text: str) -> Iterator[str]:
    document = object_of(_toml(text))
    project = object_of(document.get("project"))
    groups = (project.get("optional-dependencies"), document.get("dependency-groups"))
    lists = [project.get("dependencies"), *(listed for group in groups for listed in object_of(group).values())]
    for requirement in (text_of(item) for listed in lists for item in list_of(listed)):
        yield from _REQUIREMENT.findall(requirement)
    poetry = object_of(object_of(document.get("tool")).get("poetry"))
    tables = [poetry.get("dependencies"), poetry.get("dev-dependencies")]
    tables += [object_of(group).get("dependencies") for group in object_of(poetry.get("group")).values()]
    for table in tables:
        yield from object_of(table)


def _of_tables(*names: str) -> Callable[[str], Iterator[str]]:
    """Return what reads the keys of a TOML file's tables, also of those in its `workspace`."""

    def read(text: str) -> Iterator[str]:
        document = object_of(_toml(text))
        for within in (document, object_of(document.get("workspace"))):
            for name in names:
                yield from object_of(within.get(name))

    return read


def _of_json(*names: str) -> Callable[[str], Iterator[str]]:
    """Return what reads the keys of a JSON file's members."""

    def read(text: str) -> Iterator[str]:
        try:
            document = object_of(json.loads(text.removeprefix("\ufeff")))
        except (ValueError, RecursionError):
            return
        for name in names:
            yield from object_of(document.get(name))

    return read


def _of_pattern(pattern: re.Pattern[str]) -> Callable[[str], Iterator[str]]:
    """Return what reads the groups of a pattern."""
    return lambda text: (group for match in pattern.finditer(text) for group in match.groups() if group)


def _of_gradle(text: str) -> Iterator[str]:
    for quoted in _QUOTED.findall(text):
        yield from (quoted, *quoted.split(":"))
    if _KOTLIN_PLUGIN in text:
        yield "org.jetbrains.kotlin"


def _toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


_READERS: Final[tuple[tuple[tuple[str, ...], Callable[[str], Iterable[str]]], ...]] = (
    (("pyproject.toml",), _of_pyproject),
    (("requirements*.txt", "constraints*.txt", "environment.yml"), _REQUIREMENT.findall),
    (("setup.py",), _QUOTED.findall),
    (("setup.cfg",), _REQUIREMENT.findall),
    (("Pipfile",), _of_tables("packages", "dev-packages")),
    (("package.json",), _of_json("dependencies", "devDependencies", "peerDependencies")),
    (("composer.json",), _of_json("require", "require-dev")),
    (("go.mod",), _MODULE.findall),
    (("Cargo.toml",), _of_tables("dependencies", "dev-dependencies")),
    (("pom.xml", "*.csproj", "*.fsproj", "Directory.Packages.props"), _of_pattern(_TAG)),
    (("build.gradle*", "settings.gradle*", "libs.versions.toml"), _of_gradle),
    (("Gemfile",), _GEM.findall),
    (("pubspec.yaml",), _PUB.findall),
)
