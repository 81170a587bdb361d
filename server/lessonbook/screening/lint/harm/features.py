"""What the model of harmful advice sees of a text: words with sign and role, classes, and what the rules found."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from lessonbook.screening.lint.harm.clauses import LessonClause
from lessonbook.screening.lint.harm.signs import signs_of

NOT_SEEN: Final = frozenset({"convenience", "haste", "reason"})
"""Evidence that is only about reasons: a model that saw it would take any lesson with a reason for a harmful one."""
_ROLES: Final = {"order": "o", "reason": "r", "condition": "c"}
_VERBS: Final = (
    "weaken",
    "adopt",
    "protect",
    "disclose",
    "commit",
    "grant",
    "destroy",
    "acquire",
    "quieten",
    "proceed",
    "hold_version",
    "evade",
)
_VERB_WITHIN: Final = 3
"""Stems of a clause among which its verb is looked for; later ones count behind `_JOINS`."""
_JOINS: Final = frozenset({"and", "then", "to", "or"})

Features = dict[str, float]


def features_of(clauses: Sequence[LessonClause], evidence: Mapping[str, float]) -> tuple[Features, dict[str, float]]:
    """Return the features of a text by name, and how often each of its words is spoken for, less how often against.

    Names: `o+word` a word of an order that is spoken for, `r` of a reason, `c` of a condition; `o+#class` a class of
    data/harm.toml, `+#verb>class` a verb and its object; `^word` the first of an order; `~…` with the sign as its
    value, so that advice for a thing and against it weigh the opposite; `.word` and `.one two` what is said in any role
    and with any sign; `!look` evidence of the rules.
    """
    found: dict[str, float] = {f"!{name}": value for name, value in evidence.items() if name not in NOT_SEEN}
    signed: dict[str, float] = defaultdict(float)
    spoken: dict[str, float] = defaultdict(float)
    for clause in clauses:
        signs = signs_of(clause)
        role = _ROLES[clause.role]
        marks = ["" if role == "r" else "+" if sign > 0 else "-" for sign in signs]
        for stem, sign, mark in zip(clause.stems, signs, marks, strict=True):
            found[f"{role}{mark}{stem}"] = found[f".{stem}"] = 1.0
            signed[f"~{stem}"] += sign
            spoken[stem] += sign
        for (one, sign), (other, next_sign) in pairwise(zip(clause.stems, signs, strict=True)):
            if sign == next_sign:
                signed[f"~{one} {other}"] += sign
            found[f".{one} {other}"] = 1.0
        if role == "o" and clause.stems:
            found[f"^{clause.stems[0]}"] = 1.0
        _see_classes(clause, signs, found, signed)
    return found | {name: float(max(-1, min(1, value))) for name, value in signed.items() if value}, spoken


def _see_classes(clause: LessonClause, signs: list[int], found: Features, signed: Features) -> None:
    role = _ROLES[clause.role]
    for name, spans in clause.mentions.items():
        for one in spans:
            sign = signs[one.start]
            signed[f"~#{name}"] = signed.get(f"~#{name}", 0.0) + sign
            if role != "r" or name == "danger":
                found[f"{role}{'+' if sign > 0 else '-'}#{name}"] = 1.0
    if role != "o":
        return
    for verb in _VERBS:
        for one in clause.of(verb):
            if one.start < _VERB_WITHIN or clause.stems[one.start - 1] in _JOINS:
                mark = "+" if signs[one.start] > 0 else "-"
                for name, spans in clause.mentions.items():
                    if spans[-1].start >= one.end:
                        found[f"{mark}#{verb}>{name}"] = 1.0
