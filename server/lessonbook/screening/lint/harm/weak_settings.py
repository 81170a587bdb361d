"""Advice to adopt what weakens by its name or by its value: `verify=False`, `AllowAny`, `shell=True`."""

from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.lint.harm.clauses import LessonClause
from lessonbook.screening.lint.harm.orders import NEAR, OPEN, REACH, directs, ordered_verbs
from lessonbook.screening.lint.harm.words import WordSpan, stems_of

_OFF: Final = frozenset(stems_of("false off no none 0 never disabled null optional nil zero"))
_ON: Final = frozenset(stems_of("true on yes 1 all * any always enabled 0.0.0.0"))
_BOUNDED: Final = frozenset(stems_of("only short small empty"))
_SPARING: Final = frozenset(stems_of("no non without only outside before few over"))
_SPAN: Final = lazy_pattern(r"`[^`]*`")
_HUMP: Final = lazy_pattern(r"(?<=[a-z])(?=[A-Z])")


def adopted(clause: LessonClause) -> float:
    """A verb that adopts, and behind it a name that weakens."""
    if not directs(clause) or OPEN & set(clause.stems):
        return 0.0
    verbs = list(ordered_verbs(clause, "adopt", "grant", "commit"))
    for one in [*clause.of("weak"), *_weak_settings(clause)]:
        before = [verb for verb in verbs if verb.end <= one.start]
        if not before or clause.is_against(one.start) or _is_switched_off(clause, one):
            continue
        last = max(before, key=lambda verb: verb.start)
        if not _is_spared(clause, last, one):
            return 1.0
    return 0.0


def _is_spared(clause: LessonClause, verb: WordSpan, weak: WordSpan) -> bool:
    """Return whether a weakening name is not what `verb` adopts: it is replaced, bounded, or a second verb's object."""
    between = clause.stems[verb.end : weak.start]
    stem = clause.stems[verb.start]
    others = (one for one in ordered_verbs(clause, "weaken", "protect") if verb.end <= one.start < weak.start)
    return (
        (stem == "leav" and "to" in clause.stems[weak.end :])
        or (stem == "replac" and not {"by", "with"} & set(between))
        or bool(_SPARING & set(between))
        or bool(_BOUNDED & set(clause.stems[weak.end : weak.end + REACH]))
        or any(True for _ in others)
    )


def _is_switched_off(clause: LessonClause, weak: WordSpan) -> bool:
    """Return whether a weakening name is a setting that is given a value which turns it off."""
    at = weak.end
    while at < min(weak.end + NEAR, len(clause.stems)):
        if clause.stems[at] in {"=", "to"} and clause.stems[at + 1 : at + 2] and clause.stems[at + 1] in _OFF:
            return True
        at += 1
    return False


def _weak_settings(clause: LessonClause) -> list[WordSpan]:
    """Return settings whose value turns off what protects or turns on what endangers, and identifiers that say so."""
    found: list[WordSpan] = []
    stems = clause.stems
    for at in range(2, len(stems)):
        if stems[at - 1] not in {"=", "to"}:
            continue
        key = range(max(0, at - 1 - NEAR), at - 1)
        guards = any(one.start in key for one in clause.of("guarding"))
        endangers = any(one.start in key for one in clause.of("endangering"))
        if _SPARING & set(stems[key.start : key.stop]):
            continue
        if (stems[at] in _OFF and guards and not endangers) or (stems[at] in _ON and endangers and not guards):
            found.append(WordSpan(max(key.start, 1), at + 1))
    parts = [_HUMP.sub(" ", span).lower() for span in _SPAN.findall(clause.text)]
    return found + [
        one
        for one in clause.of("weak_part")
        if any(
            clause.words[one.start] in part and len(part) > len(clause.words[one.start]) + len("``") for part in parts
        )
    ]


def blind(clause: LessonClause) -> float:
    """Something adopted that does not check: "a context that does not look at certificates"."""
    if not directs(clause) or not any(True for _ in ordered_verbs(clause, "adopt", "grant")):
        return 0.0
    for refusal in clause.of("refuse"):
        looks = clause.stems[refusal.end : refusal.end + 1]
        sees = looks in {("look",), ("ask",)} or any(one.start == refusal.end for one in clause.of("protect"))
        if sees and {"that", "which"} & set(clause.stems[max(0, refusal.start - 2) : refusal.start]):
            near = range(refusal.end, refusal.end + NEAR)
            if any(one.start in near for name in ("control", "guarded") for one in clause.of(name)):
                return 1.0
    return 0.0
