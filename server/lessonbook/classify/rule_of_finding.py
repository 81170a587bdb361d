"""Which rule of the catalogue answers to a finding, by what the finding names. Its words are `dedup`'s matter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lessonbook.classify import dependencies
from lessonbook.classify.catalogue import Catalogue, CatalogueRule
from lessonbook.classify.infrastructure import infrastructure_entry, is_infrastructure_path
from lessonbook.classify.rule_keys import tool_of
from lessonbook.classify.tools import kind_of_tool, load_tools, tool_named
from lessonbook.domain.findings import Finding
from lessonbook.domain.where_it_holds import Holds, holds_for

_LISTS: Final = frozenset({"CWE", "owasp", "owasp-api", "owasp-llm"})
"""Published lists of weaknesses, whose entries are keys like a tool's rules."""
_BROAD: Final = frozenset(
    f"CWE-{number}"
    for number in (
        *(16, 17, 18, 19, 20, 21, 74, 116, 118, 119, 185, 189, 199, 200, 227, 228, 254, 255, 264, 265, 269, 274, 275),
        *(284, 285, 287, 297, 310, 311, 320, 326, 330, 345, 361, 371, 388, 389, 398, 399, 400, 404, 417, 424, 429, 435),
        *(436, 438, 441, 442, 452, 485, 490, 573, 592, 610, 657, 662, 664, 665, 666, 667, 668, 669, 670, 671, 672, 673),
        *(675, 682, 684, 691, 693, 696, 697, 703, 704, 705, 706, 707, 710, 732, 754, 755, 758, 778, 799, 829, 834, 840),
        *(862, 863, 902, 913, 922, 923, 943, 1006, 1035, 1038, 1059, 1061, 1076, 1078, 1164, 1177, 1188, 1228, 1357),
    )
)
"""Weaknesses that hold many kinds of fault (MITRE's pillars, most of its classes and its categories), as OWASP's do:
what else the finding says is more special."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """The catalogue's rule for a finding, and whether something that the finding names is known.

    A known rule id may have no lesson: none is worth serving for it. Then the finding's words are not asked either.
    """

    rule: CatalogueRule | None = None
    is_known: bool = False


NOTHING: Final = Attribution()


def attribute(finding: Finding, keys: Sequence[str], catalogue: Catalogue) -> Attribution:
    """Return the catalogue's rule that answers to what a finding names.

    A dependency with a known vulnerability comes first, then rule ids, then weaknesses. In findings about
    infrastructure the words go before the weakness, which there is mostly far too broad.

    Args:
        finding: the finding, cleaned.
        keys: its canonical keys, the scanner's own rule first.
        catalogue: the rules to choose from.
    """
    rules = [key for key in keys if tool_of(key) not in _LISTS]
    tools = _tools(finding, rules)
    by_rule = _by_rule(rules, tools, finding.file, catalogue)
    if dependencies.is_about_dependency(finding, rules, tools, is_known=by_rule is not None):
        return Attribution(catalogue.entry(dependencies.ENTRY), is_known=True)
    if by_rule is not None:
        return Attribution(by_rule, is_known=True)
    if any(catalogue.is_without_lesson(key) for key in rules):
        return Attribution(is_known=True)
    is_of_infrastructure_tool = any(kind_of_tool(tool) == "infrastructure" for tool in tools)
    if is_of_infrastructure_tool or is_infrastructure_path(finding.file):
        entry = infrastructure_entry(f"{finding.rule_title} {finding.description}")
        if (rule := catalogue.entry(entry)) is not None:
            return Attribution(rule)
    if not is_of_infrastructure_tool and (rule := _by_weakness(keys, catalogue)) is not None:
        return Attribution(rule, is_known=True)
    return NOTHING


def broad_weakness(finding: Finding, keys: Sequence[str], catalogue: Catalogue) -> CatalogueRule | None:
    """Return the catalogue's rule for the first weakness among `keys`, however broad: where nothing else is known.

    None for findings of infrastructure tools: theirs are so broad that the rule would be another subject's.
    """
    if any(kind_of_tool(tool) == "infrastructure" for tool in _tools(finding, keys)):
        return None
    found = (catalogue.find(key) for key in keys if tool_of(key) in _LISTS)
    return next(filter(None, found), None)


def _by_weakness(keys: Sequence[str], catalogue: Catalogue) -> CatalogueRule | None:
    narrow = (catalogue.find(key) for key in keys if tool_of(key) == "CWE" and key not in _BROAD)
    return next(filter(None, narrow), None)


def _tools(finding: Finding, keys: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical names of the tools that found something: the readers know some by rule ids only."""
    named = (*(tool_of(key) for key in keys), tool_named(finding.tool))
    return tuple(dict.fromkeys(tool for tool in named if tool and tool not in _LISTS))


def _by_rule(rules: Sequence[str], tools: Sequence[str], file: str, catalogue: Catalogue) -> CatalogueRule | None:
    """Return the rule that answers to an id of the tool, to all its ids, or to an equal id of another tool."""
    for key in rules:
        if (found := catalogue.find(key)) is not None and holds_for(Holds(found.languages), [file]):
            return found
    for tool in tools:
        if (entry := load_tools()[tool].entry) and (found := catalogue.entry(entry)) is not None:
            return found
    for key in rules:
        found = None if catalogue.is_without_lesson(key) else catalogue.find_elsewhere(key)
        if found is not None and holds_for(Holds(found.languages), [file]):
            return found
    return None
