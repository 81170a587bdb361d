"""Which rules of the catalogue an agent starts with: those that a reviewer who knows its stack would name first."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from lessonbook.classify.catalogue import Catalogue, CatalogueRule
from lessonbook.classify.stacks import Stack, Technology, load_technologies
from lessonbook.domain.vocabulary import SEVERITY_RANK
from lessonbook.machine.patterns import lazy_pattern

_COMMON: Final = 1.0
_SEVERITY: Final = 0.4
_OWN_AGENT: Final = 1.0
"""For the agent a rule names first, half of it for the second, and so on."""
_MADE_FOR: Final = 0.7
_MENTION: Final = 0.25
_MENTIONS_MAX: Final = 3
_FOREIGN_TASKS: Final = 1.5
_FOREIGN_TEXT: Final = 8.0
"""Puts a rule about a technology that nobody named after all others."""
_KIN_TEXT: Final = 1.0
_FIRST: Final = 6.0
_FIRST_STEP: Final = 0.2
_OTHERS_RULE: Final = 0.5
"""Share of the weight of a rule named first where another agent is its first keeper."""
_IMPLIED: Final = 0.5
_RARE: Final = 5.0
_SAME_SUBJECT: Final = 0.25
_LIKE: Final = 5.0
_VARIED: Final = 60
"""Places that are filled with regard to what was chosen before."""

_WORD = lazy_pattern(r"[a-z]{3,}")


@dataclass(frozen=True, slots=True)
class _Mentions:
    """The technologies that a rule's text names, and those that each of its tasks names."""

    text: frozenset[str]
    tasks: tuple[frozenset[str], ...]


def starter_rules(catalogue: Catalogue, agent: str, names: tuple[str, ...] = ()) -> tuple[CatalogueRule, ...]:
    """Return the rules that concern `agent` and fit the stack of `names`, in the order in which to begin with them.

    A rule scores by how common its issue is, its severity, whether it is made for the stack's languages, how many of
    its tasks name the stack's technologies, and whether the table of technologies names it first. One about a
    technology that nobody named comes last. What was chosen lowers what is of its subject or says
    nearly the same.

    Raises:
        InvalidInput: a name of the stack is unknown; the message has the nearest.
    """
    technologies = load_technologies()
    stack = technologies.stack(names, {language for rule in catalogue.rules for language in rule.languages})
    lent = {rule for each in (*stack.named, *stack.implied) if agent in each.agents for rule in each.first}
    everyone = not any(agent in rule.agents for rule in catalogue.rules)
    chosen = [
        rule
        for rule in catalogue.rules
        if (everyone or not rule.agents or agent in rule.agents or rule.id in lent)
        and (not names or not rule.languages or stack.languages.intersection(rule.languages))
    ]
    mentions = _mentions(catalogue)
    first = _named_first(stack, agent, {rule.id: rule for rule in chosen})
    scores = {rule.id: _score(rule, agent, stack, mentions[rule.id], first.get(rule.id, 0.0)) for rule in chosen}
    return _varied({rule.id: rule for rule in chosen}, scores)


def _named_first(stack: Stack, agent: str, rules: Mapping[str, CatalogueRule]) -> dict[str, float]:
    """Return what each rule gains for being named first by the stack's technologies."""
    gains: dict[str, float] = {}
    for weight, technologies in ((1.0, stack.named), (_IMPLIED, stack.implied)):
        for technology in technologies:
            for place, rule in enumerate(rules[known] for known in technology.first if known in rules):
                share = weight * (1.0 if _is_own(rule, agent, technology) else _OTHERS_RULE)
                gain = share * max(0.0, _FIRST - _FIRST_STEP * place)
                gains[rule.id] = max(gain, gains.get(rule.id, 0.0))
    return gains


def _is_own(rule: CatalogueRule, agent: str, technology: Technology) -> bool:
    return agent in technology.agents or rule.agents[:1] == (agent,)


def _score(rule: CatalogueRule, agent: str, stack: Stack, mentions: _Mentions, first: float) -> float:
    score = _COMMON * rule.common + _SEVERITY * SEVERITY_RANK[rule.severity] + first
    score += _OWN_AGENT / (1 + (rule.agents.index(agent) if agent in rule.agents else 1))
    made_for = stack.languages.intersection(rule.languages)
    if rule.languages:
        score += _MADE_FOR if made_for else -_FOREIGN_TEXT
    own = stack.names
    score += _MENTION * min(_MENTIONS_MAX, sum(not own.isdisjoint(named) for named in mentions.tasks))
    foreign = [named for named in mentions.tasks if named and named.isdisjoint(own | stack.kin)]
    if own and mentions.tasks:
        score -= _FOREIGN_TASKS * len(foreign) / len(mentions.tasks)
    if any(rule.id in technology.rare for technology in (*stack.named, *stack.implied)):
        score -= _RARE
    if mentions.text and mentions.text.isdisjoint(own) and not first:
        score -= _FOREIGN_TEXT if mentions.text.isdisjoint(stack.kin) else _KIN_TEXT
    return score


def _varied(rules: Mapping[str, CatalogueRule], scores: Mapping[str, float]) -> tuple[CatalogueRule, ...]:
    """Return rules by score, less what they share with those before them."""
    left = dict(scores)
    words = {name: frozenset(_WORD.findall(" ".join((rule.text, *rule.words)).lower())) for name, rule in rules.items()}
    nearest = dict.fromkeys(scores, 0.0)
    subjects: Counter[str] = Counter()
    ranked: list[str] = []
    while left and len(ranked) < _VARIED:
        best = max(left, key=lambda name: left[name] - _SAME_SUBJECT * subjects[rules[name].subject] - nearest[name])
        del left[best]
        ranked.append(best)
        subjects[rules[best].subject] += 1
        for name in left:
            nearest[name] = max(nearest[name], _LIKE * _likeness(words[name], words[best]))
    return tuple(rules[name] for name in (*ranked, *sorted(left, key=lambda name: -left[name])))


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of words that two rules have in common, of all that they have (Jaccard)."""
    return len(one & other) / max(1, len(one | other))


@cache
def _mentions(catalogue: Catalogue) -> dict[str, _Mentions]:
    technologies = load_technologies()
    return {
        rule.id: _Mentions(
            technologies.mentioned(f"{rule.text} {rule.why}"), tuple(map(technologies.mentioned, rule.tasks))
        )
        for rule in catalogue.rules
    }
