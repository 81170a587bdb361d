"""The tools that report findings: their names, what they look at, and how their rule ids are spelled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Final, Literal

from lessonbook.domain.documents import Label, load_toml

ToolKind = Literal["code", "dependencies", "infrastructure", "secrets"]


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. The fields are described at the top of `data/tools.toml`."""

    names: tuple[Label, ...] = ()
    kind: ToolKind = "code"
    drop: tuple[Label, ...] = ()
    after: str = ""
    end: str = ""
    case: Literal["", "upper", "lower"] = ""
    bare: bool = True
    entry: str = ""

    def spell(self, rule_id: str) -> str:
        """Return a rule id as this tool's ids are recorded."""
        for beginning in self.drop:
            rule_id = rule_id.removeprefix(beginning)
        if self.after:
            rule_id = rule_id.rpartition(self.after)[2] or rule_id
        rule_id = rule_id.removesuffix(self.end) or rule_id
        return {"upper": rule_id.upper(), "lower": rule_id.lower()}.get(self.case, rule_id)


UNKNOWN: Final = Tool()
"""What is assumed of a tool that is not in the table."""


@dataclass(frozen=True, slots=True)
class Tools:
    """All known tools by name, as `data/tools.toml` holds them."""

    tool: Mapping[str, Tool] = field(default_factory=dict[str, Tool])

    def __getitem__(self, name: str) -> Tool:
        """Return the tool of a canonical name; for another name `UNKNOWN`."""
        return self.tool.get(name, UNKNOWN)

    def __contains__(self, name: str) -> bool:
        """Return whether a canonical name is known."""
        return name in self.tool


@cache
def load_tools() -> Tools:
    """Return the packaged table of tools."""
    return load_toml(resources.files("lessonbook") / "data" / "tools.toml", Tools)


@cache
def _by_name() -> dict[str, str]:
    known = load_tools().tool
    return {name: tool for tool, entry in known.items() for name in (tool, *entry.names)}


def tool_named(name: str) -> str:
    """Return the canonical name of a tool, in lower case.

    An edition or a version after the name does not count: `semgrep-oss` is `semgrep`. An unknown name is returned in
    lower case.
    """
    lower = name.casefold()
    known = _by_name()
    end = len(lower)
    while end > 0:
        if (found := known.get(lower[:end])) is not None:
            return found
        end = lower.rfind("-", 0, end)
    return lower


def kind_of_tool(name: str) -> ToolKind:
    """Return what the findings of a tool with this canonical name are about; of an unknown one: code."""
    return load_tools()[name].kind
