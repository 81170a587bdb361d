"""The statuses of a lesson: what each allows, and its transitions. Every set of statuses is derived here.

docs/extending.md says what a new status takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from lessonbook.domain.errors import InvalidInput

Status = Literal["quarantined", "probation", "active", "suspended", "retired", "expired", "superseded", "rejected"]
Servable = Literal["probation", "active"]
"""The statuses of lessons that may be served, as a type."""

ReviewAction = Literal["approve", "reject", "edit", "suspend", "restore", "retire", "pin", "unpin", "expire", "delete"]
"""The decisions that a caller may make about a lesson."""
EvidenceAction = Literal["promote", "demote", "retire"]
"""The changes of a lesson by evidence."""
Action = Literal[ReviewAction, EvidenceAction, "recur", "merge", "split", "move", "undo"]
"""The changes of a lesson, as its history names them. `recur`: its issue came back; `move`: to another agent; `undo`: a
rollback was undone."""


DECISIONS: Final[Mapping[ReviewAction, str]] = {
    "approve": "Vouch for a lesson: it becomes active.",
    "reject": "Reject a lesson: it is not served, and not learned again.",
    "suspend": "Stop serving a lesson for now.",
    "restore": "Serve a suspended, retired, expired or rejected lesson again.",
    "retire": "Stop serving a lesson for good.",
    "pin": "Serve a lesson in every run, without measuring it.",
    "unpin": "Remove the pin.",
    "expire": "Let a lesson expire now.",
}
"""The reviews that take nothing but a reason, and what they do, as the command line says it."""
TAKES_AWAY: Final[frozenset[ReviewAction]] = frozenset({"suspend", "reject", "retire", "expire", "unpin"})
"""Reviews that need a person where the catalogue or a person vouches for the lesson."""
NEEDS_PERSON: Final[frozenset[ReviewAction]] = frozenset(get_args(ReviewAction)) - TAKES_AWAY
"""All others: they let a lesson be served, or served more often, and one cannot be undone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRule:
    """The properties of one status.

    `becomes` has the statuses that an action may lead to, the usual one first; `keeps` the actions that leave the
    status as it is. Any other action is refused.
    """

    becomes: Mapping[Action, tuple[Status, ...]]
    keeps: tuple[Action, ...]
    rank: int
    """The order of statuses: of two records of one lesson, the one with the lower rank counts."""
    is_servable: bool = False
    """It has `is_active` true and may be served."""
    takes_issues: bool = False
    """Issues may be joined to it."""
    is_suggested: bool = False
    """It may be suggested for an issue: it takes issues, and its words passed the lint."""
    is_tombstone: bool = False
    """It is kept only so that its subject is not learned again."""
    is_listed: bool = True
    """It is listed where no status is asked for."""


_ENDS: Final[Mapping[Action, tuple[Status, ...]]] = {
    "reject": ("rejected",),
    "delete": ("rejected",),
    "merge": ("superseded",),
}
_KEEPS: Final[tuple[Action, ...]] = ("unpin", "merge", "split", "move")
_RESTORED: Final[tuple[Status, ...]] = ("probation", "active")  # active where a person had approved it
_UNDONE: Final[tuple[Status, ...]] = ("quarantined", "probation", "active", "suspended", "retired", "expired")

RULES: Final[Mapping[Status, StatusRule]] = {
    "quarantined": StatusRule(
        rank=4,
        becomes={"approve": ("active",), "edit": ("active",), "retire": ("retired",), **_ENDS},
        keeps=_KEEPS,
        takes_issues=True,
    ),
    "probation": StatusRule(
        rank=5,
        becomes={
            "approve": ("active",),
            "edit": ("active",),
            "promote": ("active",),
            "suspend": ("suspended",),
            "retire": ("retired",),
            "expire": ("expired",),
            **_ENDS,
        },
        keeps=("pin", *_KEEPS),
        is_servable=True,
        takes_issues=True,
        is_suggested=True,
    ),
    "active": StatusRule(
        rank=6,
        becomes={
            "demote": ("probation",),
            "suspend": ("suspended",),
            "retire": ("retired",),
            "expire": ("expired", "probation"),  # by a review; by time, one that was not delivered lately
            **_ENDS,
        },
        keeps=("approve", "edit", "pin", *_KEEPS),
        is_servable=True,
        takes_issues=True,
        is_suggested=True,
    ),
    "suspended": StatusRule(
        rank=2,
        becomes={"approve": ("active",), "restore": _RESTORED, "retire": ("retired",), **_ENDS},
        keeps=("edit", *_KEEPS),
        takes_issues=True,
        is_suggested=True,
    ),
    "retired": StatusRule(
        rank=1,
        becomes={"restore": _RESTORED, **_ENDS},
        keeps=("edit", *_KEEPS),
    ),
    "expired": StatusRule(
        rank=3,
        becomes={"undo": _UNDONE, "recur": ("probation",), "restore": _RESTORED, "retire": ("retired",), **_ENDS},
        keeps=("edit", *_KEEPS),
        takes_issues=True,
        is_suggested=True,
    ),
    "superseded": StatusRule(
        rank=0,
        becomes={"delete": ("rejected",)},
        keeps=("split", "move"),
        is_tombstone=True,
    ),
    "rejected": StatusRule(
        rank=0,
        becomes={"undo": _UNDONE, "restore": _RESTORED, "merge": ("superseded",)},
        keeps=("delete", "split", "move"),
        is_tombstone=True,
        is_listed=False,
    ),
}

STATUSES: Final[tuple[Status, ...]] = get_args(Status)
SERVABLE: Final[frozenset[Status]] = frozenset(status for status, rule in RULES.items() if rule.is_servable)
"""A lesson in one of these has `is_active` true and may be served."""
TOMBSTONES: Final[frozenset[Status]] = frozenset(status for status, rule in RULES.items() if rule.is_tombstone)
"""A lesson in one of these is kept only so that its subject is not learned again."""
STANDING: Final[tuple[Status, ...]] = tuple(status for status in STATUSES if status not in TOMBSTONES)
JOINABLE: Final[frozenset[Status]] = frozenset(status for status, rule in RULES.items() if rule.takes_issues)
"""Issues may be joined to lessons in these."""
SUGGESTED: Final[tuple[Status, ...]] = tuple(status for status in STATUSES if RULES[status].is_suggested)
"""Lessons in these are suggested for an issue."""
LISTED: Final[tuple[Status, ...]] = tuple(status for status in STATUSES if RULES[status].is_listed)
"""The statuses of lessons that are listed where none is asked for."""
COMES_BACK: Final[frozenset[Status]] = frozenset(
    status for status, rule in RULES.items() if rule.is_servable or "recur" in rule.becomes
)
"""A lesson in one of these is served, or may come to be without a person's decision."""


def targets(action: Action, status: Status) -> tuple[Status, ...]:
    """Return the statuses that an action may lead to from `status`, the usual one first; none where it is refused."""
    rule = RULES[status]
    return (*rule.becomes.get(action, ()), *((status,) if action in rule.keeps else ()))


def allowed_targets(lesson_id: str, action: Action, status: Status) -> tuple[Status, ...]:
    """Return the `targets` of a lesson that is to be changed.

    Raises:
        InvalidInput: the lesson's status does not allow the action.
    """
    if found := targets(action, status):
        return found
    raise InvalidInput(f"Lesson {lesson_id} is {status}, so it cannot be changed by {action!r}")
