"""One line of a linter or compiler: where it points, what it says, and which rule it names."""

import re
from dataclasses import dataclass
from typing import Final

from lessonbook.domain.vocabulary import Severity, words
from lessonbook.intake.linter_ids import is_go_linter, language_of, of_golangci, with_tool
from lessonbook.machine.patterns import lazy_pattern

_PATH: Final = r"(?P<path>(?:[A-Za-z]:[\\/])?[^\s:()\[\]\"'<>|*?=,;][^:()\[\]\"'<>|*?\n]{0,300}?)"
_PLACE: Final = r":(?P<line>\d{1,8})(?::(?P<column>\d{1,6}))?"
_LEVEL: Final = r"(?P<level>fatal error|error|warning|warn|note|info|style|hint|remark|help|notice)"
_REST: Final = r"(?: (?P<code>[A-Z]{1,4}\d{3,5}))?(?::| -)\s{0,8}(?P<text>\S.*)"
_FORMS: Final = tuple(
    lazy_pattern(rf"\A{form}")
    for form in (
        rf"\[(?P<level>ERROR|WARN|WARNING|INFO)\] {_PATH}{_PLACE}: (?P<text>\S.*)",
        rf"{_PATH}: line (?P<line>\d{{1,8}}), col (?P<column>\d{{1,6}}), (?P<level>Error|Warning) - (?P<text>\S.*)",
        rf"{_PATH}{_PLACE} (?P<code>(?:DL|SC)\d{{4}}) {_LEVEL}: (?P<text>\S.*)",
        rf"{_PATH}{_PLACE} (?:error )?(?P<code>MD\d{{3}})(?:/\S{{0,200}})? (?P<text>\S.*)",
        rf"{_PATH}:(?P<line>\d{{1,8}})(?::\d{{1,6}}){{0,3}}:? (?P<dash>- )?{_LEVEL}(?:\[(?P<id>[\w-]+)\])?{_REST}",
        rf"{_PATH}\((?P<line>\d{{1,8}})(?:,\d{{1,6}}){{0,3}}\) ?: {_LEVEL}{_REST}",
        rf"{_PATH}(?::[A-Za-z_][\w.]{{0,200}})?:(?P<line>\d{{1,8}}): (?P<text>\[[CEFIRW]\d{{4}}.*)",
        rf"{_PATH}{_PLACE}: (?P<text>\S.*)",
        r"(?P<path>(?:[A-Za-z]:)?[^\s:]{1,300}\.(?:php|phtml|inc)):(?P<line>\d{1,8}|\?):(?P<text>\S.*)",
        rf"(?P<detekt>[A-Z]\w{{1,100}}) - (?P<text>.{{0,380}}\S) at {_PATH}{_PLACE}(?: - Signature=.*)?",
        r"::(?P<level>error|warning|notice) (?P<about>[^:]{1,600})::(?P<text>\S.*)",
    )
)
"""The forms of a line, the first that fits; PHPStan's has nothing after the second colon, the last is GitHub's."""
_ABOUT: Final = lazy_pattern(r"(file|line)=([^,]+)")
_OTHER_FILES: Final = words(
    "tf hcl toml json jsonc xml html htm sql proto graphql ex exs erl hs lua pl pm r dart jl nim zig f90 sv v"
    " vhd ini cfg tex rst gradle groovy clj sol j2 erb haml slim twig bicep hbs mdx"
)
_FILE_NAMES: Final = lazy_pattern(
    r"(?:Dockerfile|Containerfile|Makefile|Jenkinsfile|Rakefile|Gemfile|BUILD)(?:\.\w+)?\Z", re.I
)

_COP_FIRST: Final = lazy_pattern(
    r"\A(?P<letter>[CWEFIR]): (?:\[(?:Correctable|Corrected|Todo)\] )?(?P<id>[A-Z]\w+(?:/\w+)+): (?P<text>\S.*)"
)
_BRACKET_FIRST: Final = lazy_pattern(
    r"\A\[(?P<id>E?[A-Z]+\d+|[CEFIRW])(?:\((?P<symbol>[a-z0-9-]+)\))?(?:, ?[^\]]*)?\] (?P<text>\S.*)"
)
_LEVEL_FIRST: Final = lazy_pattern(r"\A\[(?P<level>error|warning)\] (?P<text>\S.*)")
_WORD_IN_BRACKETS_FIRST: Final = lazy_pattern(r"\A\[(?P<id>[a-z][a-z0-9-]*(?:\[[\w-]+\])?)\] (?P<text>\S.*)")
_CODE_FIRST: Final = lazy_pattern(r"\A(?P<id>[A-Z]{1,6}\d{3,5})(?P<colon>:)? (?P<fix>\[\*\] )?(?P<text>\S.*)")
_WORD_FIRST: Final = lazy_pattern(r"\A(?P<id>[a-z][a-z0-9-]*(?:\[[\w-]+\])?):? (?P<text>\S.*)")
_END_BRACKET: Final = lazy_pattern(r"\s{1,4}\[(?P<id>[\w@#+=-][\w@/.:+#=-]{0,100}(?:,[\w@/.:+#= -]{1,100}){0,5})\]\Z")
_END_ROUND: Final = lazy_pattern(r"\s{1,4}\((?P<id>[@a-zA-Z][\w@/.:-]{0,100})\)\Z")
_END_IDENTIFIER: Final = lazy_pattern(r"\s{1,4}\[identifier=(?P<id>[\w.]{1,100})\]\Z")
_END_PROJECT: Final = lazy_pattern(r"\s\[[^\]]{1,400}\.\w{0,8}proj(?:::[^\]]{1,200})?\]\Z")
_END_LEVEL: Final = lazy_pattern(r"\A(?P<level>Error|Warning)/(?P<id>.+)\Z")
_VIOLATION: Final = lazy_pattern(r"\A[A-Z][\w ]{2,60} Violation: ")
_KEBAB: Final = lazy_pattern(r"\A[a-z]+(?:-[a-z]+)*\Z")
_PYRIGHT: Final = lazy_pattern(r"\Areport[A-Z]\w+\Z")
_AS_ERRORS: Final = frozenset({"-Werror", "-warnings-as-errors"})

_LEVELS: Final[dict[str, Severity]] = {
    **dict.fromkeys(("fatal error", "error"), "high"),
    **dict.fromkeys(("warning", "warn"), "medium"),
    **dict.fromkeys(("note", "info", "style", "hint", "remark", "notice"), "low"),
}
_LETTERS: Final[dict[str, Severity]] = {"F": "high", "E": "high", "W": "medium", "C": "low", "R": "low", "I": "low"}
_NOTES: Final = frozenset({"note", "remark", "help"})
_UNGRADED: Final = words("mypy pyright ty tsc ktlint phpstan checkstyle flake8 ruff")
"""Tools that give all findings one level, so that it is not taken for a severity."""


@dataclass(slots=True)
class LinterLine:
    """What one line says. `is_strong`: it names a rule or a severity, as no sentence of a person does by chance."""

    path: str
    line: str
    message: str
    rule_id: str = ""
    severity: Severity | None = None
    is_note: bool = False
    is_strong: bool = False


def linter_line(text: str) -> LinterLine | None:
    """Return what a line of a linter says; None where it is not one."""
    for form in _FORMS:
        found = form.fullmatch(text)
        if found is not None and (read := _read(found)) is not None:
            return read
    return None


def severity_of_level(level: str) -> Severity | None:
    """Return the severity of a level such as `warning`."""
    return _LEVELS.get(level.lower())


def eslint_line(path: str, line: str, level: str, message: str, rule: str) -> LinterLine:
    """Return a line of ESLint's default output, or stylelint's, which names the file above its findings."""
    tool = "stylelint" if language_of(path) == "css" else "eslint"
    severity = severity_of_level(level)
    return LinterLine(path, line, message, f"{tool}:{rule}" if rule else "", severity, is_strong=True)


def _read(found: re.Match[str]) -> LinterLine | None:
    parts = found.groupdict()
    path, line = parts.get("path") or "", parts.get("line") or ""
    if about := parts.get("about"):
        named = dict(_ABOUT.findall(about))
        path, line = named.get("file", ""), named.get("line", "")
    level = (parts.get("level") or "").lower()
    named_rule = parts.get("code") or parts.get("id") or parts.get("detekt") or ""
    if not _is_file(path, is_sure=bool(level or named_rule)):
        return None
    message = _END_PROJECT.sub("", parts["text"].strip())
    if parts.get("detekt"):
        rule, message = f"detekt:{named_rule}", message.removeprefix("[").removesuffix("]")
    elif named_rule:
        rule = _rust_or_ty(named_rule, path) if parts.get("id") else with_tool(named_rule, path)
    elif level:
        rule, message = _with_level(message, path, is_dashed=bool(parts.get("dash")))
    else:
        return _without_level(path, line, message)
    severity = None if rule.partition(":")[0] in _UNGRADED or _is_typed(rule, path) else _LEVELS.get(level)
    is_note = level in _NOTES and not rule.startswith("shellcheck:")
    return LinterLine(path, line, message, rule, severity, is_note, is_strong=True)


def _is_file(path: str, *, is_sure: bool) -> bool:
    name = path.replace("\\", "/").rpartition("/")[2]
    if " -" in path:
        return False  # a command
    end = name.rpartition(".")[2].lower()
    if language_of(name) or end in _OTHER_FILES or _FILE_NAMES.match(name):
        return True
    return is_sure and (path in {"-", "<stdin>"} or "/" in path or bool(re.search(r"\.[A-Za-z]\w{0,9}\Z", name)))


def _is_typed(rule: str, path: str) -> bool:
    """Return whether a line with a level and without a rule is of a type checker, all of whose lines are errors."""
    return not rule and language_of(path) in {"python", "php"}


def _rust_or_ty(bare: str, path: str) -> str:
    language = language_of(path)
    tool = {"rs": "rustc", "python": "ty"}.get(language, "")
    return f"{tool}:{bare}" if tool else bare


def _with_level(message: str, path: str, *, is_dashed: bool) -> tuple[str, str]:
    """Return the rule and the message of a line that names its level: `error: message [rule]`."""
    language = language_of(path)
    if found := _END_BRACKET.search(message):
        ids = [each.replace("-Werror=", "-W") for each in found["id"].split(",") if each not in _AS_ERRORS]
        bare, rest = (ids or [""])[0], message[: found.start()]
        if language == "python" and _KEBAB.match(bare):
            return f"mypy:{bare}", rest
        if language == "java" and bare.isalnum():
            return f"checkstyle:{bare.removesuffix('Check')}", rest
        if bare == "clang-diagnostic-error":
            return "", rest
        if (rule := with_tool(bare.replace("clang-diagnostic-", "-W"), path)) != bare:
            return rule, rest
    if found := _END_ROUND.search(message):
        bare, rest = found["id"], message[: found.start()]
        if is_dashed and _PYRIGHT.match(bare):
            return f"pyright:{bare}", rest
        if (rule := with_tool(bare, path)) != bare:
            return rule, _VIOLATION.sub("", rest, count=1) if language == "swift" else rest
    return "", message


def _without_level(path: str, line: str, message: str) -> LinterLine:
    """Return what a line says that names no level before its message."""
    if found := _COP_FIRST.fullmatch(message):
        return LinterLine(
            path, line, found["text"], f"rubocop:{found['id']}", _LETTERS[found["letter"]], is_strong=True
        )
    if found := _BRACKET_FIRST.fullmatch(message):
        return _coded(path, line, found["id"], found["text"])
    if found := _LEVEL_FIRST.fullmatch(message):
        text, rule = found["text"], ""
        if end := _END_ROUND.search(text):
            text, rule = text[: end.start()], f"yamllint:{end['id']}" if language_of(path) == "yaml" else end["id"]
        return LinterLine(path, line, text, rule, _LEVELS[found["level"]], is_strong=True)
    if (found := _CODE_FIRST.fullmatch(message)) and (with_tool(found["id"], path) != found["id"]):
        bare = found["id"]
        if found["fix"]:
            return LinterLine(path, line, found["text"], f"ruff:{bare}", is_strong=True)
        return _coded(path, line, bare, found["text"])
    for form in (_WORD_IN_BRACKETS_FIRST, _WORD_FIRST):
        found = form.fullmatch(message)
        if found and language_of(path) == "yaml" and (rule := with_tool(found["id"], path)) != found["id"]:
            return LinterLine(path, line, found["text"].removesuffix(" (warning)"), rule, is_strong=True)
    return _ending(path, line, message)


def _coded(path: str, line: str, bare: str, text: str) -> LinterLine:
    """Return a line that names the code of its rule: `F401`, `C0114` or, of old pylints, the letter alone."""
    if len(bare) == 1:
        return LinterLine(path, line, text, "", _LETTERS[bare], is_strong=True)
    rule = with_tool(bare, path)
    severity = None
    if rule.startswith("pylint:"):
        severity = _LETTERS[bare[0]]
        text = _END_ROUND.sub("", text)
    return LinterLine(path, line, text, rule, severity, is_strong=True)


def _ending(path: str, line: str, message: str) -> LinterLine:
    """Return a line that names its rule behind its message, or not at all."""
    language = language_of(path)
    if found := _END_IDENTIFIER.search(message):
        return LinterLine(path, line, message[: found.start()], f"phpstan:{found['id']}", is_strong=True)
    if found := _END_BRACKET.search(message):
        bare, text = found["id"], message[: found.start()]
        if (graded := _END_LEVEL.match(bare)) is not None:
            return eslint_line(path, line, graded["level"], text, graded["id"])
        if ".github/workflows/" in path.replace("\\", "/") and _KEBAB.match(bare):
            return LinterLine(path, line, text, f"actionlint:{bare}", is_strong=True)
        if (rule := with_tool(bare, path)) != bare:
            return LinterLine(path, line, text, rule, is_strong=True)
    if found := _END_ROUND.search(message):
        bare, text = found["id"], message[: found.start()]
        if language == "go" and is_go_linter(bare):
            rule, text = of_golangci(bare, text)
            return LinterLine(path, line, text, rule, is_strong=True)
        if (rule := with_tool(bare, path)) != bare:
            return LinterLine(path, line, text, rule, is_strong=True)
    return LinterLine(path, line, message)
