"""Which linter an id is of, by the id's form and the file's language: `F401` of a Python file is flake8's.

A form that several tools share names none of them, so that the id stays without a tool.
"""

import re
from functools import lru_cache
from typing import Final

from lessonbook.domain.vocabulary import words
from lessonbook.machine.patterns import lazy_pattern

_LANGUAGES: Final[dict[str, str]] = {
    **dict.fromkeys(("py", "pyi", "ipynb", "pyx"), "python"),
    **dict.fromkeys(("js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts", "vue", "svelte", "astro"), "javascript"),
    **dict.fromkeys(("c", "h", "cc", "cpp", "cxx", "hh", "hpp", "hxx", "ipp", "inl", "m", "mm", "cu", "l", "y"), "c"),
    **dict.fromkeys(("kt", "kts"), "kotlin"),
    **dict.fromkeys(("rb", "rake", "ru", "gemspec"), "ruby"),
    **dict.fromkeys(("php", "phtml", "inc"), "php"),
    **dict.fromkeys(("sh", "bash", "bats", "ksh", "dash", "zsh"), "shell"),
    **dict.fromkeys(("yml", "yaml"), "yaml"),
    **dict.fromkeys(("css", "scss", "less", "sass"), "css"),
    **dict.fromkeys(("md", "markdown"), "markdown"),
    **dict.fromkeys(("cs", "vb", "fs"), "dotnet"),
    **{name: name for name in ("go", "rs", "swift", "java", "scala")},
}
_RUFF_ALONE: Final = lazy_pattern(
    r"\A(?:PL[CERW]\d{4}|(?:AIR|CPY|DOC|FAST|FURB|PERF|PGH|PLC|PLE|PLR|PLW|RUF|TRY|UP)\d{3})\Z"
)
"""Ids that ruff has and no plugin of flake8."""
_FLAKE8: Final = lazy_pattern(r"\A[A-Z]{1,4}\d{3}\Z")
_PYLINT: Final = lazy_pattern(r"\A[CEFIRW]\d{4}\Z")
_ANSIBLE: Final = lazy_pattern(
    r"\A(?:E?ANSIBLE\d{4}|E\d{3}|[a-z-]+\[[a-z0-9_-]+\]|(?:args|avoid-implicit|complexity|deprecated-[a-z-]+|empty-string-compare"
    r"|fqcn(?:-builtins)?|galaxy|ignore-errors|inline-env-var|internal-error|jinja|key-order|latest|literal-compare"
    r"|command-instead-of-(?:module|shell)|load-failure|meta-[a-z-]+|name|no-[a-z-]+|only-builtins|package-latest|parser-error"
    r"|partial-become|playbook-extension|risky-[a-z-]+|role-name|run-once|sanity|schema|syntax-check|unnamed-task"
    r"|var-(?:naming|spacing)|warning|yaml))\Z"
)
_CLANG_TIDY: Final = lazy_pattern(
    r"\A(?:abseil|altera|android|boost|bugprone|cert|clang-analyzer|concurrency|cppcoreguidelines|darwin|fuchsia|google|hicpp"
    r"|linuxkernel|llvm|llvmlibc|misc|modernize|mpi|objc|openmp|performance|portability|readability|zircon)-[\w.-]+\Z"
)
_COMPILER: Final = lazy_pattern(r"\A-W[\w+#=-]+\Z")
_MSVC: Final = lazy_pattern(r"\AC\d{4}\Z")
_GO_LINTER: Final = lazy_pattern(r"\A[a-z][a-z0-9]{2,30}\Z")
_GO_ID: Final = lazy_pattern(r"([A-Za-z][A-Za-z0-9-]{1,40}): (.+)", re.DOTALL)
_KTLINT: Final = lazy_pattern(r"\A(?:(?:standard|experimental|compose|custom):[a-z-]+|[a-z]+(?:-[a-z]+)+)\Z")
_PHPCS: Final = lazy_pattern(r"\A[A-Z]\w+\.\w+\.\w+\.\w+\Z")
_PHPSTAN: Final = lazy_pattern(r"\A[a-z][A-Za-z]+(?:\.[a-zA-Z]+)+\Z")
_SNAKE: Final = lazy_pattern(r"\A[a-z]+(?:_[a-z0-9]+)*\Z")
_COP: Final = lazy_pattern(r"\A[A-Z][A-Za-z]+(?:/[A-Z][A-Za-z0-9]+)+\Z")
_DOTNET: Final = (
    (lazy_pattern(r"(?:CS|BC|FS)\d{4}\Z"), "compiler"),
    (lazy_pattern(r"(?:CA|IDE|SCS|SA|S|RCS|VSTHRD|MA|xUnit)\d{3,4}\Z"), "roslyn"),
)
_BY_FORM: Final = (
    (lazy_pattern(r"SC[1-3]\d{3}\Z"), "shellcheck"),
    (lazy_pattern(r"DL[1-4]\d{3}\Z"), "hadolint"),
    (lazy_pattern(r"TS\d{4,5}\Z"), "tsc"),
    (lazy_pattern(r"MD\d{3}\Z"), "markdownlint"),
)
"""Ids that one tool alone has, in files of any language."""
_OF_CHECKSTYLE: Final = "com.puppycrawl.tools.checkstyle."
_NAMED: Final = lazy_pattern(
    r"\A(detekt|eslint|swiftlint|stylelint|tslint|jshint|ktlint|shellcheck|phpcs)\.(?:rules\.)?(.+)", re.I
)
_OF_SCALASTYLE: Final = "org.scalastyle."


@lru_cache(maxsize=4_096)  # the findings of a file follow each other
def language_of(path: str) -> str:
    """Return the language of a file, by the end of its name; empty where it is not known."""
    return _LANGUAGES.get(path.rpartition("/")[2].rpartition(".")[2].lower(), "")


@lru_cache(maxsize=4_096)
def with_tool(bare: str, path: str) -> str:
    """Return an id with the linter before it, if its form and the file's language name one; else as it is."""
    tool = next((tool for form, tool in _BY_FORM if form.match(bare)), "") or _tool_for(bare, language_of(path))
    return f"{tool}:{bare}" if tool else bare


def _tool_for(bare: str, language: str) -> str:  # one row a language
    match language:
        case "python":
            if _RUFF_ALONE.match(bare):
                return "ruff"
            return "flake8" if _FLAKE8.match(bare) else "pylint" if _PYLINT.match(bare) else ""
        case "c":
            return (
                "clang-tidy"
                if _CLANG_TIDY.match(bare)
                else "gcc"
                if _COMPILER.match(bare)
                else "msvc"
                if _MSVC.match(bare)
                else ""
            )
        case "kotlin":
            return "ktlint" if _KTLINT.match(bare) else ""
        case "php":
            return "phpcs" if _PHPCS.match(bare) else "phpstan" if _PHPSTAN.match(bare) else ""
        case "ruby":
            return "rubocop" if _COP.match(bare) else ""
        case "swift":
            return "swiftlint" if _SNAKE.match(bare) else ""
        case "yaml":
            return "ansible-lint" if _ANSIBLE.match(bare) else ""
        case "dotnet":
            return next((tool for form, tool in _DOTNET if form.match(bare)), "")
        case _:
            return ""


def of_golangci(linter: str, message: str) -> tuple[str, str]:
    """Return the rule and the message of a finding that golangci-lint passes on: `staticcheck` and `SA4006: …`."""
    if linter in _GO_WITH_IDS and (found := _GO_ID.match(message)):
        return f"{linter}:{found[1]}", found[2]
    return f"{linter}:{linter}", message


def is_go_linter(name: str) -> bool:
    """Return whether a name may be of one of golangci-lint's linters."""
    return _GO_LINTER.match(name) is not None


_GO_WITH_IDS: Final = words(
    "gocritic gosec gosimple govet revive staticcheck stylecheck perfsprint exportloopref testifylint ginkgolinter"
)
"""Linters whose messages begin with the id of their rule."""


def rule_of_checkstyle(source: str, path: str) -> str:
    """Return the rule that the `source` of an `error` in Checkstyle's format names, with its linter if it is known."""
    name = source.rpartition(".")[2]
    if source.startswith(_OF_SCALASTYLE):
        return f"scalastyle:{name.removesuffix('Checker')}"
    bare = source.removeprefix(_OF_CHECKSTYLE)
    if bare != source and "/" not in bare:
        return f"checkstyle:{name.removesuffix('Check')}"
    if _COP.match(bare):
        return f"rubocop:{bare}"
    if found := _NAMED.match(bare):
        return f"{found[1].lower()}:{found[2]}"
    if language_of(path) == "go" and is_go_linter(bare):
        return f"{bare}:{bare}"
    return with_tool(bare, path)
