"""How rule ids are spelled: one canonical key for the many ways scanners and people write the same id."""

import re
from types import MappingProxyType
from typing import Final

from lessonbook.domain.lesson_names import CATALOGUE

_CWE = re.compile(r"(?:external/cwe/)?cwe[\s:_-]*0*(\d{1,5})(?:\s*:.*|\s*\(.*)?\Z", re.IGNORECASE | re.DOTALL)
_TITLE: Final = r"(?:[\s:\u2013-]+\S.*)?\Z"
_TOP_TEN = re.compile(rf"(?:owasp[\s:_-]*)?A0?(10|[1-9])[\s:_-]+(20\d\d){_TITLE}", re.IGNORECASE | re.DOTALL)
_API_TEN = re.compile(
    rf"(?:owasp[\s:_-]*)?(?:api[\s:_-]+)?API0?(10|[1-9])[\s:_-]+2023{_TITLE}", re.IGNORECASE | re.DOTALL
)
_LLM_TEN = re.compile(
    rf"(?:owasp[\s:_-]*)?(?:llm[\s:_-]+)?LLM(0[1-9]|10)(?:[\s:_-]+2025{_TITLE}|\Z)", re.IGNORECASE | re.DOTALL
)
_LISTABLE = re.compile(r"external/|cwe|owasp|api|llm|a0?\d", re.IGNORECASE)
"""How every form of a published list begins; tried first, as most ids belong to none."""
_PYLINT_NAME = re.compile(r"\A[A-Za-z]+(?:-[A-Za-z]+)+\Z")
"""What pylint calls a rule beside its code, such as `arguments-differ`."""
_PREFIXED = re.compile(r"\A([A-Za-z][A-Za-z0-9_.+-]*):\s*([^\s:/][^\s:]*)\Z")
_DOTTED = re.compile(r"\A[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2,}\Z")

_BARE_FORMS: Final = (
    (re.compile(r"B[1-7]\d\d\Z", re.IGNORECASE), "bandit"),
    (re.compile(r"B[089]\d\d\Z", re.IGNORECASE), "ruff"),
    (re.compile(r"[CRWEF]\d{4}\Z", re.IGNORECASE), "pylint"),
    (re.compile(r"(?:AL|AM|CP|CV|JJ|LT|OR|PG|RF|ST|TQ)\d\d\Z", re.IGNORECASE), "sqlfluff"),
    (
        re.compile(
            r"(?:A|AIR|ANN|ARG|ASYNC|BLE|C|COM|CPY|D|DJ|DOC|DTZ|E|EM|ERA|EXE|F|FA|FAST|FBT|FIX|FLY|FURB|G|I|ICN|INP"
            r"|INT|ISC|LOG|N|NPY|PD|PERF|PGH|PIE|PT|PTH|PYI|Q|RET|RSE|RUF|S|SIM|SLF|SLOT|T|TC|TCH|TD|TID|TRY|UP|W|YTT)"
            r"\d{3}\Z",
            re.IGNORECASE,
        ),
        "ruff",
    ),
    (re.compile(r"PL[CERW]\d{4}\Z", re.IGNORECASE), "ruff"),
    (re.compile(r"DL\d{4}\Z", re.IGNORECASE), "hadolint"),
    (re.compile(r"SC\d{4}\Z", re.IGNORECASE), "shellcheck"),
    (re.compile(r"CKV2?_[A-Z0-9]+_\d+\Z", re.IGNORECASE), "checkov"),
    (re.compile(r"(?:@typescript-eslint|react|react-hooks|jsx-a11y)/[a-z0-9-]+\Z", re.IGNORECASE), "eslint"),
    (re.compile(r"\A(?:actions|cpp|cs|go|java|js|py|rb|rust|swift)/[a-z0-9/-]+\Z", re.IGNORECASE), "codeql"),
)
_ESLINT_PLUGINS: Final = MappingProxyType(
    {
        "typescript-eslint": "@typescript-eslint",
        "@typescript-eslint": "@typescript-eslint",
        "react-hooks": "react-hooks",
        "jsx-a11y": "jsx-a11y",
    }
)
_UPPER_CASE_TOOLS: Final = frozenset(
    {
        "bandit",
        "checkov",
        "flake8",
        "gosec",
        "hadolint",
        "owasp-api",
        "owasp-llm",
        "pylint",
        "ruff",
        "shellcheck",
        "sqlfluff",
    }
)
_LOWER_CASE_TOOLS: Final = frozenset({"eslint", "kube-linter", "mypy", "squawk", "stylelint", "codeql", CATALOGUE})
NEVER_BARE: Final = _UPPER_CASE_TOOLS | {"mypy"}
"""Tools whose ids are not looked up without their tool: codes, told by their form, and mypy's words such as `index`."""
_SEMGREP_ROOTS: Final = frozenset(
    {
        "ai",
        "apex",
        "bash",
        "c",
        "clojure",
        "csharp",
        "dockerfile",
        "elixir",
        "generic",
        "go",
        "html",
        "java",
        "javascript",
        "json",
        "kotlin",
        "ocaml",
        "php",
        "problem-based-packs",
        "python",
        "ruby",
        "rust",
        "scala",
        "solidity",
        "swift",
        "terraform",
        "typescript",
        "yaml",
    }
)


def spelled(text: str) -> str:
    """Return `text` respelled by its form alone, without looking at what the catalogue holds."""
    stripped = text.strip()
    if _LISTABLE.match(stripped) and (listed := _listed(stripped)):
        return listed
    if ":" not in stripped and (tool := _tool_by_form(stripped)):
        return _joined(tool, stripped)
    if prefixed := _PREFIXED.match(stripped):
        return _joined(prefixed[1], prefixed[2])
    if _DOTTED.match(stripped):
        root, last = stripped.partition(".")[0].lower(), stripped.rpartition(".")[2]
        if root in _SEMGREP_ROOTS or ("-" in last and not last[0].isdigit()):
            return _joined("semgrep", last)
    return stripped


def tool_of(key: str) -> str:
    """Return the tool a canonical key belongs to, `CWE` for a CWE, or an empty string for a bare id."""
    if key.startswith("CWE-"):
        return "CWE"
    tool, colon, _ = key.partition(":")
    return tool if colon else ""


def twin_of(key: str) -> str | None:
    """Return the same rule as another linter names it, or None: ruff took over the codes of flake8 and pylint."""
    tool, _, rule_id = key.partition(":")
    if tool == "flake8":
        return f"ruff:{rule_id}"
    if tool == "pylint":
        return f"ruff:PL{rule_id}"
    return None


def _listed(text: str) -> str | None:
    """Return the key of a weakness of CWE or of a place on one of OWASP's lists, with or without its title."""
    if cwe := _CWE.match(text):
        return f"CWE-{int(cwe[1])}"
    if place := _TOP_TEN.match(text):
        return f"owasp:A{int(place[1]):02d}:{place[2]}"
    if place := _API_TEN.match(text):
        return f"owasp-api:API{place[1]}"
    if place := _LLM_TEN.match(text):
        return f"owasp-llm:LLM{place[1]}"
    return None


def _tool_by_form(rule_id: str) -> str | None:
    """Return the tool that alone writes its ids like `rule_id`; none of them holds a colon."""
    return next((tool for form, tool in _BARE_FORMS if form.match(rule_id)), None)


def _joined(tool: str, rule_id: str) -> str:
    tool = tool.lower()
    if plugin := _ESLINT_PLUGINS.get(tool):
        tool, rule_id = "eslint", f"{plugin}/{rule_id.removeprefix(f'{plugin}/')}"
    if tool == "semgrep":
        rule_id = rule_id.rpartition(".")[2]
    elif tool == "pylint" and _PYLINT_NAME.match(rule_id):
        rule_id = rule_id.lower()
    elif tool in _UPPER_CASE_TOOLS:
        rule_id = rule_id.upper()
    elif tool in _LOWER_CASE_TOOLS:
        rule_id = rule_id.lower()
    return f"{tool}:{rule_id}"
