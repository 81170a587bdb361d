"""Which words of a clause are spoken for and which against: each refusal, removal and complaint turns the sign."""

from collections.abc import Iterable
from typing import Final

from lessonbook.screening.lint.harm.clauses import LessonClause
from lessonbook.screening.lint.harm.orders import directs
from lessonbook.screening.lint.harm.words import stems_of

_ENDS_OBJECT: Final = frozenset(
    stems_of(
        "for from in at when inside before after that and on through so because but while if until unless by into to"
    )
)
"""What ends the object of a verb: in "remove the header from the page" nothing is said against the page."""
_BEFORE_VERB: Final = frozenset(
    stems_of(
        "and then but always also simply just please or only better to may can be let will have should must not never"
        " could would"
    )
)
_REPLACES: Final = frozenset(stems_of("replace swap exchange move migrate switch"))
_REPLACEMENT: Final = frozenset({"by", "with", "to", "for"})
_LACKS: Final = frozenset({*stems_of("without lacking minus no zero"), "neither", "nor"})
_TAKES_OUT: Final = frozenset(stems_of("leave take turn switch comment shut rule cut keep"))
_OUT: Final = frozenset(stems_of("out off aside"))
OUT_REACH: Final = 5
"""Words between "leave" and "out"."""
_GIVES: Final = frozenset({"=", "to"})
_NOUGHT: Final = frozenset(stems_of("false off no none 0 never disabled null nil zero"))
SETTING_REACH: Final = 3
"""Words of a setting's name before the value that turns it off."""
LACK_MAX: Final = 3
"""Words behind "without" or "no" that are lacked."""
COMPLAINT_REACH: Final = 4
"""Words between a refusal and a complaint that it takes back: "is not slow"."""
_COMPLAINTS: Final = frozenset(
    stems_of(
        "annoy annoying overkill picky fiddly tedious slow slows complicate complicated clutter clutters noise noisy"
        " confuse confusing costs costly expensive unnecessary superfluous redundant pointless useless obsolete"
        " outdated brittle awkward cumbersome hassle friction burden waste wasted nuisance overhead leak leaks attack"
        " attacker forge guess steal break breaks broken danger dangerous risk risky vulnerable insecure unsafe exploit"
        " inject"
        " lets hides expose exposes spill bother chore dead optional needless late way weak wrong fail fails trip stuck"
    )
)
"""What is said against a clause's subject, be it a danger or a nuisance."""


def signs_of(clause: LessonClause) -> list[int]:
    """Return a sign for each stem of a clause: 1 where it is spoken for, −1 where against."""
    count = len(clause.stems)
    signs = [-1 if clause.is_negated else 1] * count
    _turn_refused(clause, signs)
    for verb in clause.of("weaken"):
        if _is_verb(clause, verb.start):
            _turn(signs, _object(clause, verb.end))
    for at, stem in enumerate(clause.stems):
        if stem in _LACKS:
            _turn(signs, _object(clause, at + 1, at + 1 + LACK_MAX, least=0))
        elif stem in _REPLACES and (at == 0 or clause.stems[at - 1] in _BEFORE_VERB):
            _turn(signs, _replaced(clause, at + 1))
    _turn_taken_out(clause, signs)
    _turn_set_off(clause, signs)
    if not (clause.role == "order" and directs(clause)):
        _turn(signs, range(_complaint(clause)))
    return signs


def _turn(signs: list[int], places: Iterable[int]) -> None:
    for at in places:
        signs[at] = -signs[at]


def _turn_refused(clause: LessonClause, signs: list[int]) -> None:
    """Turn what stands behind each refusal, to the end of the clause; one inside another counts once."""
    last = 0
    for one in clause.of("refuse"):
        if one.start >= last and clause.stems[one.start] not in {"neither", "nor"}:
            last = one.end
            _turn(signs, range(one.end, len(signs)))


def _turn_taken_out(clause: LessonClause, signs: list[int]) -> None:
    """Turn what stands between two words that take away together: "leave the check out"."""
    for at, stem in enumerate(clause.stems):
        if stem in _OUT:
            verbs = [before for before in range(max(0, at - OUT_REACH), at - 1) if clause.stems[before] in _TAKES_OUT]
            if verbs:
                _turn(signs, range(verbs[-1] + 1, at))


def _turn_set_off(clause: LessonClause, signs: list[int]) -> None:
    """Turn the name of a setting before the value that turns it off: "verify = false"."""
    for at, stem in enumerate(clause.stems):
        if at > 1 and stem in _NOUGHT and clause.stems[at - 1] in _GIVES:
            _turn(signs, range(max(0, at - 1 - SETTING_REACH), at - 1))


def _is_verb(clause: LessonClause, at: int) -> bool:
    """Return whether a word that takes away is a verb where it stands."""
    stands = at == 0 or clause.stems[at - 1] in _BEFORE_VERB or clause.follows_comma(at)
    return stands or clause.words[at].endswith(("ed", "ing")) or any(one.end == at for one in clause.of("refuse"))


def _object(clause: LessonClause, start: int, end: int | None = None, least: int = 1) -> range:
    """Return the places of the words from `start` to where an object ends, at least `least` of them."""
    end = min(len(clause.stems), len(clause.stems) if end is None else end)
    for at in range(start, end):
        if clause.stems[at] in _ENDS_OBJECT and at - start >= least:
            return range(start, at)
    return range(start, end)


def _replaced(clause: LessonClause, start: int) -> range:
    """Return the places of what is replaced, from `start` to what it is replaced by."""
    end = next((at for at in range(start, len(clause.stems)) if clause.stems[at] in _REPLACEMENT), len(clause.stems))
    return range(start, end)


def _complaint(clause: LessonClause) -> int:
    """Return where the last complaint of a clause stands; 0 where there is none, or one that is taken back."""
    last = max((at for at, stem in enumerate(clause.stems) if stem in _COMPLAINTS), default=0)
    refused = any(one.end <= last and one.start >= last - COMPLAINT_REACH for one in clause.of("refuse"))
    return 0 if refused else last
