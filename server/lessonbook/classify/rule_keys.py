"""The canonical key of a rule id, which scanners and people spell in many ways."""

import re
from collections.abc import Mapping
from typing import Final

from lessonbook.classify.tools import load_tools, tool_named
from lessonbook.domain.lesson_names import CATALOGUE
from lessonbook.domain.vocabulary import words
from lessonbook.machine.patterns import lazy_pattern

_CWE = lazy_pattern(r"(?:external/cwe/)?cwe[\s:_-]*0*(\d{1,5})(?:\s*:.*|\s*\(.*)?\Z", re.IGNORECASE | re.DOTALL)
_TITLE: Final = r"(?:[\s:\u2013-]+\S.*)?\Z"
_TOP_TEN = lazy_pattern(rf"(?:owasp[\s:_-]*)?A0?(10|[1-9])[\s:_-]+(20\d\d){_TITLE}", re.IGNORECASE | re.DOTALL)
_API_TEN = lazy_pattern(
    rf"(?:owasp[\s:_-]*)?(?:api[\s:_-]+)?API0?(10|[1-9])[\s:_-]+2023{_TITLE}", re.IGNORECASE | re.DOTALL
)
_LLM_TEN = lazy_pattern(
    rf"(?:owasp[\s:_-]*)?(?:llm[\s:_-]+)?LLM(0[1-9]|10)(?:[\s:_-]+2025{_TITLE}|\Z)", re.IGNORECASE | re.DOTALL
)
_LISTABLE = lazy_pattern(r"external/|cwe|owasp|api|llm|a0?\d", re.IGNORECASE)
"""The beginning of every id of a published list; tried first, as most ids are not."""
_PYLINT_NAME = lazy_pattern(r"\A[A-Za-z]+(?:-[A-Za-z]+)+\Z")
"""A rule's name in pylint, beside its code: `arguments-differ`."""
_PREFIXED = lazy_pattern(r"\A([A-Za-z][A-Za-z0-9_.+-]{0,99}):\s*([^\s/].*)\Z")
_CODENARC: Final = "org.codenarc.rule."
_SONAR_ID = lazy_pattern(r"S\d{2,5}\Z")
"""SonarQube's ids: after the language or the analyser, whose names are many."""
_DOTTED = lazy_pattern(r"\A[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2,}\Z")

_BARE_FORMS: Final = {
    "bandit": r"B[1-7]\d\d",
    "pylint": r"[CRWEF]\d{4}",
    "sqlfluff": r"(?:AL|AM|CP|CV|JJ|LT|OR|PG|RF|ST|TQ)\d\d",
    "ruff": (
        r"B[089]\d\d|PL[CERW]\d{4}|(?:A|AIR|ANN|ARG|ASYNC|BLE|C|COM|CPY|D|DJ|DOC|DTZ|E|EM|ERA|EXE|F|FA|FAST|FBT|FIX|FLY"
        r"|FURB|G|I|ICN|INP|INT|ISC|LOG|N|NPY|PD|PERF|PGH|PIE|PT|PTH|PYI|Q|RET|RSE|RUF|S|SIM|SLF|SLOT|T|TC|TCH|TD|TID|TRY"
        r"|UP|W|YTT)\d{3}"
    ),
    "hadolint": r"DL\d{4}",
    "shellcheck": r"SC\d{4}",
    "checkov": r"CKV2?_[A-Z0-9]+_\d+",
    "eslint": r"(?:@typescript-eslint|react|react-hooks|jsx-a11y)/[a-z0-9-]+",
    "codeql": r"(?:actions|cpp|cs|go|java|js|py|rb|rust|swift)/[a-z0-9/-]+",
    "roslyn": r"(?:CA|CS|IDE)\d{4}",
    "security-code-scan": r"SCS\d{4}",
    "devskim": r"DS\d{6}",
    "tsc": r"TS\d{4,5}",
    "clippy": r"clippy::[a-z0-9_]+",
}
"""The form of a tool's ids, where it is written without the tool and no other tool has it."""
_BARE_PATTERNS: Final = {tool: lazy_pattern(rf"\A(?:{form})\Z", re.IGNORECASE) for tool, form in _BARE_FORMS.items()}
_ESLINT_PLUGINS: Final[Mapping[str, str]] = {
    **{name: name for name in ("@typescript-eslint", "react-hooks", "jsx-a11y")},
    "typescript-eslint": "@typescript-eslint",
}
_SEMGREP_ROOTS: Final = words(
    "ai apex bash c clojure csharp dockerfile elixir generic go html java javascript json kotlin ocaml php"
    " problem-based-packs python ruby rust scala solidity swift terraform typescript yaml"
)


def spelled(text: str) -> str:
    """Return the canonical key of a rule id, by its form alone; an unknown one stripped."""
    stripped = text.strip()
    if _LISTABLE.match(stripped) and (listed := _listed(stripped)):
        return listed
    if ":" not in stripped and (tool := _tool_by_form(stripped)):
        return _joined(tool, stripped)
    if (prefixed := _PREFIXED.match(stripped)) and (" " not in prefixed[2] or tool_named(prefixed[1]) in load_tools()):
        return _joined(prefixed[1], prefixed[2])
    if _DOTTED.match(stripped):
        root, last = stripped.partition(".")[0].lower(), stripped.rpartition(".")[2]
        if root in _SEMGREP_ROOTS or ("-" in last and not last[0].isdigit()):
            return _joined("semgrep", last)
    return stripped


def tool_of(key: str) -> str:
    """Return the tool of a canonical key, `CWE` for a CWE, or an empty string for an id without a tool."""
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
    """Return the key of a CWE or of an entry in one of OWASP's lists, written with or without its title."""
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
    """Return the tool whose ids alone have the form of `rule_id`."""
    return next((tool for tool, pattern in _BARE_PATTERNS.items() if pattern.match(rule_id)), None)


def _joined(tool: str, rule_id: str) -> str:
    if rule_id.startswith(_CODENARC):  # as SonarQube has them
        tool = "codenarc"
    if plugin := _ESLINT_PLUGINS.get(tool.lower()):
        tool, rule_id = "eslint", f"{plugin}/{rule_id.removeprefix(f'{plugin}/')}"
    tool = tool_named(tool)
    if tool not in load_tools() and _SONAR_ID.match(rule_id):
        tool = "sonarqube"
    if tool == CATALOGUE or (tool == "pylint" and _PYLINT_NAME.match(rule_id)):
        return f"{tool}:{rule_id.lower()}"
    return f"{tool}:{load_tools()[tool].spell(rule_id)}"
