"""Values of a record by their paths, and the findings that readers make of them."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

from lessonbook.domain.advisories import spelled
from lessonbook.domain.documents import (
    Unreadable,
    checked,
    index_of,
    is_list,
    is_object,
    item_at,
    list_of,
    object_of,
    text_of,
)
from lessonbook.domain.findings import Finding, RuleMetadata
from lessonbook.domain.vocabulary import Category, Severity
from lessonbook.intake.fields import line_in, message_in, path_in
from lessonbook.intake.sarif_rules import canonical_rule_id, metadata_of, unique
from lessonbook.machine.patterns import lazy_pattern

_CWE = lazy_pattern(r"\bcwe[-_ :]{0,2}0{0,6}([1-9]\d{0,5})\b", re.IGNORECASE)
_NUMBER = lazy_pattern(r"\s{0,10}0{0,6}(\d{1,9})(?!\d)")
_NAME_END = lazy_pattern(r"[:\s]")
"""The end of a name before a version: `debian:10`, `alpine 3.9`."""
_MARK_MAX: Final = 200
_KEYS_MAX: Final = 50

SEVERITIES: Final[Mapping[str, Severity]] = {
    **dict.fromkeys(("critical", "blocker"), "critical"),
    **dict.fromkeys(("high", "error", "fatal"), "high"),
    **dict.fromkeys(("medium", "moderate", "warning", "warn"), "medium"),
    **dict.fromkeys(
        ("low", "info", "information", "informational", "note", "notice", "style", "convention", "refactor"), "low"
    ),
    **dict.fromkeys(("negligible", "minor", "trace", "weak", "minimal"), "low"),
}
"""Our severities by the words of most tools, in lower case."""
BY_RANK: Final[Mapping[str, Severity]] = {
    "blocker": "critical",
    "critical": "high",
    "major": "medium",
    "minor": "low",
    "info": "low",
}
"""Those of SonarQube and Code Climate, whose `critical` is the second grade."""

_ECOSYSTEMS: Final[dict[str, str]] = {
    name: ecosystem
    for ecosystem, names in {
        "npm": "npm yarn pnpm node-pkg node javascript js bun",
        "PyPI": "pypi pip pipenv poetry python python-pkg uv setuptools",
        "Go": "go golang gomod gomodules gobinary go-module govendor",
        "Maven": "maven java jar pom gradle java-archive sbt jenkins-plugin",
        "RubyGems": "rubygems bundler gem gemspec ruby",
        "Packagist": "packagist composer php php-composer",
        "crates.io": "crates.io cargo rust rust-crate rustbinary rust-binary",
        "NuGet": "nuget dotnet dotnet-core .net paket",
        "Debian": "debian deb dpkg",
        "Ubuntu": "ubuntu",
        "Alpine": "alpine apk",
        "Red Hat": "redhat rpm rhel centos",
        "Hex": "hex elixir",
        "Pub": "pub dart",
        "CocoaPods": "cocoapods",
        "SwiftURL": "swift",
        "GitHub Actions": "github-action github-actions githubactions",
    }.items()
    for name in names.split()
}
"""The ecosystems of OSV by the names that tools give them."""
_LOCK_FILES: Final = {
    "package.json": "npm",
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
    "yarn.lock": "npm",
    "pnpm-lock.yaml": "npm",
    "requirements.txt": "PyPI",
    "poetry.lock": "PyPI",
    "pipfile.lock": "PyPI",
    "uv.lock": "PyPI",
    "setup.py": "PyPI",
    "go.sum": "Go",
    "go.mod": "Go",
    "pom.xml": "Maven",
    "build.gradle": "Maven",
    "gemfile.lock": "RubyGems",
    "composer.lock": "Packagist",
    "cargo.lock": "crates.io",
    "packages.lock.json": "NuGet",
}


class RecordFields:
    """The members of a record, by paths such as `location.start.line` or `trace.0.module`."""

    __slots__ = ("content",)

    def __init__(self, content: dict[str, object]) -> None:
        self.content = content

    def value(self, *paths: str) -> object:
        """Return the first value that is there and not null, or None."""
        for path in paths:
            value: object = self.content
            for step in path.split("."):
                if is_list(value):
                    value = item_at(value, int(step) if step.isdecimal() else None)
                else:
                    value = object_of(value).get(step)
            if value is not None:
                return value
        return None

    def text(self, *paths: str) -> str:
        """Return the first text that is not blank, stripped; a number counts as its digits. Else an empty text."""
        for path in paths:
            value = self.value(path)
            number = index_of(value)
            text = str(number) if number is not None else text_of(value).strip()
            if text:
                return text
        return ""

    def number(self, *paths: str) -> int | None:
        """Return the first whole number from zero up, also where it is the beginning of a text (`79-81`)."""
        for path in paths:
            value = self.value(path)
            if (number := index_of(value)) is not None:
                return number
            if found := _NUMBER.match(text_of(value)):
                return int(found[1])
        return None

    def texts(self, *paths: str) -> list[str]:
        """Return the texts of lists, or single texts and numbers, at all of `paths`."""
        found: list[str] = []
        for path in paths:
            value = self.value(path)
            values = list_of(value) or [value]
            found += [str(each) if index_of(each) is not None else text_of(each).strip() for each in values]
        return [text for text in found if text]

    def each(self, path: str) -> list["RecordFields"]:
        """Return the objects of a list."""
        return [RecordFields(item) for item in list_of(self.value(path)) if is_object(item)]


def severity_of(word: str, scale: Mapping[str, Severity] = SEVERITIES) -> Severity | None:
    """Return our severity for a tool's word, or None where it has none."""
    return scale.get(word.strip().lower())


def cwes_of(texts: Iterable[str], *, bare: bool = False) -> list[str]:
    """Return the CWEs that texts name; `bare`: numbers alone are CWEs as well."""
    found: list[str] = []
    for text in texts:
        found += [f"CWE-{match[1]}" for match in _CWE.finditer(text)]
        if bare and text.isdecimal() and 0 < int(text[:10]) <= 999_999:  # noqa: PLR2004  # six digits
            found.append(f"CWE-{int(text)}")
    return found


def mark_in(text: str) -> str:
    """Return a tool's fingerprint as it is kept; a long one by its SHA-256."""
    if len(text) > _MARK_MAX:
        return "sha256=" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return checked(text, "fingerprint")


def rule_in(tool: str, rule_id: str) -> str:
    """Return a rule id with its tool before it.

    Raises:
        Unreadable: it cannot be stored, or has more than 200 characters.
    """
    return checked(canonical_rule_id(tool, rule_id), "rule id", max_chars=200)


def ecosystem_of(*names: str, file: str = "") -> str:
    """Return the ecosystem of a package as OSV spells it, by the first name that is known or by its lock file."""
    for name in filter(None, names):
        plain = _NAME_END.split(name.strip().lower(), maxsplit=1)[0]
        if plain.startswith("pkg"):  # a package URL, `pkg:npm/lodash@4.17.15`
            plain = name.partition(":")[2].partition("/")[0].lower()
        if known := _ECOSYSTEMS.get(plain):
            return known
    system = _NAME_END.split(next(filter(None, names), ""), maxsplit=1)[0]
    by_file = _LOCK_FILES.get(file.replace("\\", "/").rpartition("/")[2].lower(), "")
    return by_file or ("" if system.lower() == "unknown" else system)


def issue(
    tool: str,
    *,
    rule: str,
    message: str,
    file: str = "",
    line: int | None = None,
    severity: Severity | None = None,
    category: Category | None = None,
    keys: Iterable[str] = (),
    mark: str = "",
    help_text: str = "",
    why: str = "",
) -> Finding:
    """Return the finding of a scanner in code.

    Args:
        tool: the prefix of its rule ids.
        rule: the rule's id; empty: it has none.
        message: what it says.
        file: the path, relative or not.
        line: from 1 up; others count as none.
        severity: in our scale.
        category: where the tool has one only.
        keys: other names of the rule, and CWEs.
        mark: the tool's fingerprint.
        help_text: the tool's constant documentation of the rule.
        why: its constant reason.

    Raises:
        Unreadable: it has no message, or holds what cannot be stored.
    """
    rule_id = rule_in(tool, rule)
    all_keys = unique([rule_id, *(checked(key, "key", max_chars=_MARK_MAX) for key in keys)])[:_KEYS_MAX]
    metadata: RuleMetadata | None = None
    if rule_id and (help_text or why):
        metadata = metadata_of(help_text=help_text, short="", full=why, keys=all_keys)
    return Finding(
        description=message_in(message),
        severity=severity,
        category=category,
        file=path_in(file),
        line=line_in(line),
        rule_id=rule_id,
        keys=all_keys,
        fingerprint=mark_in(mark),
        metadata=metadata,
    )


def vulnerability(
    tool: str,
    *,
    package: str,
    advisory: str = "",
    installed: str = "",
    fixed: str = "",
    ecosystem: str = "",
    title: str = "",
    aliases: Iterable[str] = (),
    severity: Severity | None = None,
    file: str = "",
    line: int | None = None,
    mark: str = "",
) -> Finding:
    """Return the finding of a package with a known vulnerability, worded the same for all tools.

    The weakness of the package is not one of the code that uses it: its CWEs are no keys.

    Args:
        tool: the prefix of its rule ids.
        package: the package's name.
        advisory: the id of the vulnerability; empty: it is in a package that this one depends on, as `title` says.
        installed: the version, or the range, that was found.
        fixed: the versions in which it is fixed.
        ecosystem: as `ecosystem_of` spells it.
        title: the title of the advisory.
        aliases: other ids of it.
        severity: in our scale.
        file: the manifest or lock file.
        line: the line in it.
        mark: the tool's fingerprint.

    Raises:
        Unreadable: the package, or both advisory and title are missing, or something cannot be stored.
    """
    package, installed, fixed = (text.replace("\x00", "") for text in (package, installed, fixed))
    if not package or not (advisory or title):
        raise Unreadable("names no package" if not package else "names no vulnerability")
    others = unique(spelled(alias) for alias in aliases if alias and alias != advisory)[:_KEYS_MAX]
    ids = f" ({', '.join([advisory, *others[:5]])})" if advisory else ""
    name = f"{ecosystem} package {package}" if ecosystem else f"package {package}"
    version = f" {installed}" if installed else ""
    remedy = f"fixed in {fixed}" if fixed else "no fixed version is known"
    words = f": {title}" if title and title != advisory else ""
    rule_id = rule_in(tool, advisory or package)
    return Finding(
        description=message_in(f"Vulnerable dependency: {name}{version}{ids}, {remedy}{words}"),
        severity=severity,
        category="security",
        file=path_in(file),
        line=line_in(line),
        rule_id=rule_id,
        keys=unique([rule_id, *(checked(key, "key", max_chars=_MARK_MAX) for key in (advisory, *others) if key)]),
        fingerprint=mark_in(mark),
        package=checked(package, "package", max_chars=_MARK_MAX),
        ecosystem=checked(ecosystem, "ecosystem", max_chars=_MARK_MAX),
        fixed_version=checked(fixed, "version", max_chars=1_000)[:_MARK_MAX],
    )
