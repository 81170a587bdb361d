"""The rules of a SARIF run: what each is called, how grave it is, and what its authors say of it."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pydantic_core import PydanticCustomError

from lessonbook.domain.documents import Unreadable, index_of, item_at, list_of, object_of, text_of
from lessonbook.domain.findings import RuleMetadata
from lessonbook.domain.vocabulary import storable
from lessonbook.intake.rule_text import choose_words
from lessonbook.machine.patterns import lazy_pattern

_CWE = lazy_pattern(r"\bcwe[-_ /:]{0,3}0{0,6}([1-9]\d{0,5})\b", re.IGNORECASE)
_CWE_ADDRESS = lazy_pattern(r"cwe\.mitre\.org/data/definitions/0{0,6}([1-9]\d{0,5})\b", re.IGNORECASE)
_BARE_NUMBER = lazy_pattern(r"0{0,6}([1-9]\d{0,5})")
_CWE_PROPERTIES: Final = frozenset({"cwe", "cwes", "cwe_id", "cwe-id", "cweid", "cweids"})
_MAX_ID_CHARS: Final = 1_000
_TITLE_MAX: Final = 300
_FAMILIES: Final = ("semgrep", "codeql", "eslint")
_NAMES: Final = ("guid", "name")
"""The members by which references name a component of a tool."""
_NOT_IN_A_PREFIX = lazy_pattern(r"[^a-z0-9.+_]+")

SECURITY_SEVERITY: Final = "security-severity"
"""The property that code hosts read: a CVSS-like score from 0 to 10."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What results need of one rule of a scanner.

    `level` is empty where the rule sets none. `words` stand for the message of a result that has none.
    """

    id: str
    cwes: tuple[str, ...] = ()
    level: str = ""
    score: float | None = None
    is_security: bool = False
    messages: dict[str, object] = field(default_factory=dict[str, object])
    words: str = ""
    metadata: RuleMetadata | None = None
    title: str = ""


class RuleBook:
    """The rules and taxonomies of one run; a rule is read when a result first names it."""

    def __init__(self, run: dict[str, object]) -> None:
        tool = object_of(run.get("tool"))
        driver = object_of(tool.get("driver"))
        self.tool = tool_prefix(text_of(driver.get("name")))
        self.messages = object_of(driver.get("globalMessageStrings"))
        components = [driver, *(object_of(extension) for extension in list_of(tool.get("extensions")))]
        self._descriptors = [[object_of(rule) for rule in list_of(part.get("rules"))] for part in components]
        self._places = _places_by_id(self._descriptors)
        self._component_named = _named(components)
        self._taxonomies = [object_of(taxonomy) for taxonomy in list_of(run.get("taxonomies"))]
        self._taxonomy_named = _named(self._taxonomies)
        self._known: dict[tuple[int, int], Rule] = {}

    def rule_of(self, result: dict[str, object]) -> Rule:
        """Return the rule that a result names by `ruleId`, `ruleIndex` or `rule`, or one with nothing but the id.

        Of a sub-rule (`CA1000/1`) this is the rule above it.

        Raises:
            Unreadable: the id is not text, or has more than 1,000 characters.
        """
        reference = object_of(result.get("rule"))
        named = result.get("ruleId") if result.get("ruleId") is not None else reference.get("id")
        if named is not None and not isinstance(named, str):
            raise Unreadable("has a rule id that is not text")
        if named and len(named) > _MAX_ID_CHARS:
            raise Unreadable(f"rule id has {len(named)} characters; at most {_MAX_ID_CHARS} are read")
        place = self._place_of(named or "", result, reference)
        if place is None:
            return Rule(id=named or "")
        if place not in self._known:
            component, index = place
            self._known[place] = self._read(self._descriptors[component][index])
        return self._known[place]

    def cwes_of(self, references: Iterable[object]) -> list[str]:
        """Return the CWEs among references into the run's taxonomies (a result's `taxa`)."""
        return [cwe for reference in references if (cwe := self._cwe_of(object_of(reference)))]

    def _place_of(self, named: str, result: dict[str, object], reference: dict[str, object]) -> tuple[int, int] | None:
        component = self._component_of(object_of(reference.get("toolComponent")))
        index = index_of(result.get("ruleIndex"))
        index = index_of(reference.get("index")) if index is None else index
        if index is not None and index < len(self._descriptors[component]):
            own = text_of(self._descriptors[component][index].get("id"))
            if not named or named == own or named.startswith(f"{own}/"):
                return component, index
        while named:
            if (found := self._places.get((component, named), self._places.get((None, named)))) is not None:
                return found
            named = named.rpartition("/")[0]
        return None

    def _component_of(self, reference: dict[str, object]) -> int:
        index = index_of(reference.get("index"))
        if index is not None and index + 1 < len(self._descriptors):
            return index + 1
        return _place_named(reference, self._component_named) or 0

    def _read(self, descriptor: dict[str, object]) -> Rule:
        rule_id = text_of(descriptor.get("id"))
        properties = object_of(descriptor.get("properties"))
        targets = (object_of(link).get("target") for link in list_of(descriptor.get("relationships")))
        texts = [_said(descriptor.get(key)) for key in ("help", "shortDescription", "fullDescription")]
        linked = _matches(_CWE_ADDRESS, [*texts, text_of(descriptor.get("helpUri"))])
        cwes = unique([*cwes_in(properties), *self.cwes_of(targets), *linked])
        score = score_in(properties)
        return Rule(
            id=rule_id,
            cwes=cwes,
            level=text_of(object_of(descriptor.get("defaultConfiguration")).get("level")),
            score=score,
            is_security=bool(cwes) or score is not None or tagged_security(properties),
            messages=object_of(descriptor.get("messageStrings")),
            title=_title(texts[1] or text_of(descriptor.get("name"))),
            words=next(filter(None, (texts[1], texts[2], texts[0])), ""),
            metadata=metadata_of(
                help_text=texts[0],
                short=texts[1],
                full=texts[2],
                keys=unique([canonical_rule_id(self.tool, rule_id), *cwes]),
            ),
        )

    def _cwe_of(self, reference: dict[str, object]) -> str:
        taxon = text_of(reference.get("id"))
        component = object_of(reference.get("toolComponent"))
        taxonomy = self._taxonomy_of(component)
        if not taxon:
            listed = list_of(taxonomy.get("taxa"))
            taxon = text_of(object_of(item_at(listed, index_of(reference.get("index")))).get("id"))
        name = text_of(component.get("name")) or text_of(taxonomy.get("name"))
        return _cwe(taxon, bare=name.casefold() == "cwe")

    def _taxonomy_of(self, component: dict[str, object]) -> dict[str, object]:
        index = index_of(component.get("index"))
        if index is not None and index < len(self._taxonomies):
            return self._taxonomies[index]
        place = _place_named(component, self._taxonomy_named)
        return {} if place is None else self._taxonomies[place]


def tool_prefix(name: str) -> str:
    """Return the prefix of a tool's rule ids: its name in lower case, without edition ("Semgrep OSS" is `semgrep`)."""
    plain = name.strip().casefold()
    family = next((family for family in _FAMILIES if family in plain), "")
    return family or _NOT_IN_A_PREFIX.sub("-", plain).strip("-")


def canonical_rule_id(tool: str, rule_id: str) -> str:
    """Return a rule id with its tool before it: `bandit:B608`. Of semgrep's dotted paths the last part counts."""
    if not rule_id or not tool or rule_id.casefold().startswith(f"{tool}:"):
        return rule_id
    return f"{tool}:{rule_id.rpartition('.')[2] if tool == 'semgrep' else rule_id}"


def cwes_in(properties: dict[str, object]) -> list[str]:
    """Return the CWEs a property bag names, in its tags or in a property such as `cwe`."""
    found = _matches(_CWE, (text_of(tag) for tag in list_of(properties.get("tags"))))
    for key, value in properties.items():
        if key.casefold() in _CWE_PROPERTIES:
            values = list_of(value) or [value]
            found += [
                cwe for each in values if (cwe := _cwe(str(each) if index_of(each) else text_of(each), bare=True))
            ]
    return found


def tagged_security(properties: dict[str, object]) -> bool:
    """Return whether a property bag has the tag `security`."""
    return any(text_of(tag).casefold() == "security" for tag in list_of(properties.get("tags")))


def score_in(properties: dict[str, object]) -> float | None:
    """Return the `security-severity` of a property bag, whether a number or its text, or None."""
    value = properties.get(SECURITY_SEVERITY)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        score = float(value)
    except (ValueError, OverflowError):
        return None
    return score if math.isfinite(score) else None


def unique(keys: Iterable[str]) -> tuple[str, ...]:
    """Return the keys that are not empty, each once, in order."""
    return tuple(dict.fromkeys(key for key in keys if key))


def _places_by_id(descriptors: list[list[dict[str, object]]]) -> dict[tuple[int | None, str], tuple[int, int]]:
    """Return where each rule id stands: by component and id, and (under None) in the first component that has it."""
    places: dict[tuple[int | None, str], tuple[int, int]] = {}
    for component, rules in enumerate(descriptors):
        for index, rule in enumerate(rules):
            rule_id = text_of(rule.get("id"))
            places.setdefault((component, rule_id), (component, index))
            places.setdefault((None, rule_id), (component, index))
    return places


def _named(parts: list[dict[str, object]]) -> dict[tuple[str, str], int]:
    """Return where the first component of each GUID and of each name stands."""
    places: dict[tuple[str, str], int] = {}
    for place, part in enumerate(parts):
        for key in _NAMES:
            if name := text_of(part.get(key)):
                places.setdefault((key, name), place)
    return places


def _place_named(reference: dict[str, object], places: dict[tuple[str, str], int]) -> int | None:
    """Return where the component stands that a reference names, by its GUID or else by its name."""
    found = (places.get((key, text_of(reference.get(key)))) for key in _NAMES)
    return next((place for place in found if place is not None), None)


def metadata_of(*, help_text: str, short: str, full: str, keys: tuple[str, ...]) -> RuleMetadata | None:
    """Return what a scanner says of a rule with the names `keys`, or None where it says nothing that can be stored."""
    words = choose_words(help_text=help_text, short=short, full=full)
    if not words.text:
        return None
    try:
        return RuleMetadata(
            text=storable(words.text),
            why=storable(words.why),
            keys=tuple(map(storable, keys)),
            source="\n\n".join(dict.fromkeys(filter(None, (help_text, short, full)))),
        )
    except PydanticCustomError:
        return None


def _title(text: str) -> str:
    """Return the first line of a rule's short description, or its name, as far as it can be stored."""
    try:
        return storable(text.strip().partition("\n")[0][:_TITLE_MAX])
    except PydanticCustomError:
        return ""


def _said(message: object) -> str:
    said = object_of(message)
    return text_of(said.get("text")) or text_of(said.get("markdown"))


def _cwe(text: str, *, bare: bool) -> str:
    if (named := _CWE.search(text)) is not None:
        return f"CWE-{named[1]}"
    number = _BARE_NUMBER.fullmatch(text.strip()) if bare else None
    return f"CWE-{number[1]}" if number else ""


def _matches(pattern: re.Pattern[str], texts: Iterable[str]) -> list[str]:
    return [f"CWE-{match[1]}" for text in texts for match in pattern.finditer(text)]
