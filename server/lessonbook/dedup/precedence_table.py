"""The decision whether an issue is an instance of a lesson, as a table of precedence.

Candidates come in the order of `Clue`, the surest likeness first. For each, the first clause of `PRECEDENCE` that
holds decides. The first candidate that joins wins; of the others, the first likeness is the runner-up.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lessonbook.classify.catalogue import Catalogue
from lessonbook.classify.rule_keys import tool_of
from lessonbook.dedup.known_groups import AMBIGUOUS, MERGE
from lessonbook.domain.lesson import Lesson
from lessonbook.domain.lesson_names import Kind, catalogue_name, kind_of, value_of
from lessonbook.domain.lesson_status import Status
from lessonbook.domain.vocabulary import VOUCHED, Trust

EXACT: Final = 1.0
"""The score of an issue that joins by an exact name."""

Clue = Literal[Kind, "likeness", "weakness"]
"""Why an issue may be an instance, most telling first.

`rule`, `catalogue`, `text` (of the offered lesson), `issue` (its own words) and `group` (of its rule, for words that do
not own the rule's name) are exact names. `weakness` is the CWE that the words of an issue describe, where the catalogue
does not know its rule.
"""

Link = Literal["", "named", "seen", "chief"]
"""What ties a lesson to a weakness: an exact name, an issue behind it that describes the weakness, or that nothing is
behind it yet and the catalogue puts this weakness first among those it is for. Empty: nothing does.
"""

Outcome = Literal["joins", "suggested", "rejected", "passed over"]
"""What a clause decides.

`joins`: the issue is an instance. `suggested`: the candidate may be shown to the reviewer as the runner-up; exact names
never are. `rejected`: suggested, and a new lesson for the issue waits for a person. `passed over`: no part in it.
"""

_FROM_RULES: Final[frozenset[Trust]] = frozenset({"curated", "approved", "scanner"})
"""Whose rejected lessons bury their rule."""


@dataclass(frozen=True, slots=True)
class IssueFacts:
    """What the table asks about an issue.

    `is_named`: the catalogue knows its rule. `brings_lesson`: a lesson could be made of it that waits for nobody.
    `brings_owner`: that lesson may own the rule's name. `can_be_curated`: that lesson could be the catalogue's, for the
    weakness that its words describe.
    """

    is_named: bool = False
    brings_lesson: bool = False
    brings_owner: bool = False
    can_be_curated: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A lesson, or another issue that waits, that an issue may be an instance of.

    Attributes:
        by: the clue that leads to it.
        group: the lesson's id, or the other issue's.
        how: the clue in words.
        name: the exact name, if that is the clue.
        probability: how probable it is, 0 to 1; 1 for exact names.
        is_sure: whether that is enough; of a weakness, `link` decides.
        link: what ties the lesson to the weakness.
        status: the lesson's; None for an issue, and for a lesson that is not there.
        trust: the lesson's; None as for `status`.
        is_own: whether the name is the agent's own, not one for all agents.
        is_other_rule: whether the lesson answers to another rule of the tool that named the issue.
        is_hidden: whether the lesson is served to another principal than the reporter alone.
    """

    by: Clue
    group: str
    how: str = ""
    name: str = ""
    probability: float = EXACT
    is_sure: bool = True
    link: Link = ""
    status: Status | None = None
    trust: Trust | None = None
    is_own: bool = True
    is_other_rule: bool = False
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Clause:
    """One row of the table: where `condition` holds, `outcome` is decided, because of `reason`."""

    name: str
    condition: Callable[[IssueFacts, Candidate], bool]
    outcome: Outcome
    reason: str


PRECEDENCE: Final = (
    Clause(
        "the catalogue knows the rule",
        lambda issue, lesson: issue.is_named and lesson.by not in {"rule", "catalogue"},
        "passed over",
        "A lesson of the rule's own is surer than any words: those are anybody's.",
    ),
    Clause(
        "another rule of the same tool",
        lambda _, lesson: lesson.is_other_rule,
        "passed over",
        "Scanners give many rules the same words, and two rules of one tool are two lessons.",
    ),
    Clause(
        "the rule's own lesson comes",
        lambda issue, lesson: lesson.by == "group" and issue.brings_owner,
        "passed over",
        "What somebody offered for the rule must not keep its own advice away.",
    ),
    Clause(
        "served to another principal alone",
        lambda issue, lesson: lesson.is_hidden and issue.brings_lesson and lesson.by != "text",
        "passed over",
        "Words that nobody approved must not keep others' words, or the catalogue's, from being served.",
    ),
    Clause(
        "faint likeness",
        lambda _, lesson: lesson.by == "likeness" and not lesson.is_sure and lesson.probability < AMBIGUOUS,
        "passed over",
        "A reviewer would look at it for nothing.",
    ),
    Clause(
        "named for the weakness",
        lambda _, lesson: lesson.link == "named",
        "joins",
        "The lesson answers to the CWE by name.",
    ),
    Clause(
        "seen for the weakness",
        lambda _, lesson: lesson.link == "seen",
        "joins",
        "An issue behind the lesson describes the same weakness.",
    ),
    Clause(
        "made for the weakness",
        lambda _, lesson: lesson.link == "chief",
        "joins",
        "The lesson is about this weakness first of all, and no issue says otherwise yet.",
    ),
    Clause(
        "doubtful",
        lambda _, lesson: lesson.by == "weakness" or not lesson.is_sure,
        "suggested",
        "One wrong merge costs more than an issue that waits.",
    ),
    Clause(
        "not a lesson",
        lambda _, lesson: lesson.status is None,
        "suggested",
        "It is an issue that waits as well, or a lesson whose transaction was rolled back.",
    ),
    Clause(
        "an offer that was rejected",
        lambda _, lesson: (
            lesson.by in {"rule", "group"} and lesson.status == "rejected" and lesson.trust not in _FROM_RULES
        ),
        "rejected",
        "What somebody merely offered, and a person rejected, must not bury the rule.",
    ),
    Clause(
        "like a rejected lesson",
        lambda _, lesson: lesson.by == "likeness" and lesson.status == "rejected",
        "rejected",
        "Likeness is too weak to reject an issue for.",
    ),
    Clause(
        "merged into another lesson",
        lambda _, lesson: lesson.by == "likeness" and lesson.status == "superseded",
        "suggested",
        "Its successor has its issues, and is a candidate itself.",
    ),
    Clause(
        "waits for a person",
        lambda issue, lesson: (
            lesson.status == "quarantined" and issue.brings_lesson and not (lesson.by == "text" and lesson.is_own)
        ),
        "suggested",
        "The issue brings a lesson that need not wait. The same words do wait for the same agent again.",
    ),
    Clause(
        "alike, and vouched for",
        lambda _, lesson: lesson.by == "likeness" and lesson.trust in VOUCHED,
        "joins",
        "The catalogue or a person stands for the lesson, so it goes before a curated one that could be made.",
    ),
    Clause(
        "a curated lesson can be made",
        lambda issue, lesson: lesson.by == "likeness" and issue.can_be_curated,
        "suggested",
        "The catalogue's lesson for the weakness is better than one that nobody vouches for.",
    ),
    Clause(
        "alike by the weakness alone",
        lambda _, lesson: lesson.by == "likeness" and lesson.probability < MERGE,
        "suggested",
        "An offered lesson must not capture all issues of a weakness.",
    ),
    Clause("the same", lambda _issue, _lesson: True, "joins", "Nothing speaks against it."),
)
"""The table, walked in order for each candidate."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What matching says of one issue.

    `lesson_id` is None where no lesson answers to it surely enough; `score` is how sure (exact names: 1), `how` the
    clue in words, `name` the exact name. `runner_up` is the next best: a lesson, or an issue that waits as this one
    does. `rejected` is a lesson for the same that was rejected, though not for these very words.
    """

    lesson_id: str | None = None
    how: str = ""
    score: float | None = None
    runner_up: str | None = None
    runner_up_score: float | None = None
    name: str = ""
    rejected: str = ""


def clause_for(issue: IssueFacts, candidate: Candidate, clauses: Sequence[Clause] = PRECEDENCE) -> Clause:
    """Return the first clause that holds."""
    return next(clause for clause in clauses if clause.condition(issue, candidate))


def decide(issue: IssueFacts, candidates: Iterable[Candidate], clauses: Sequence[Clause] = PRECEDENCE) -> Verdict:
    """Return which of the candidates an issue is an instance of, and what else it may be.

    Candidates are taken one by one, and no more than are needed: finding them costs time.
    """
    joined: Candidate | None = None
    near: Candidate | None = None
    rejected = ""
    for candidate in candidates:
        if joined is not None and (near is not None or candidate.by != "likeness"):
            break
        outcome = clause_for(issue, candidate, clauses).outcome
        if outcome == "passed over":
            continue
        if outcome == "joins" and joined is None:
            joined = candidate
            if candidate.by != "likeness":
                break
        elif candidate.by == "likeness":
            near = near or candidate
            rejected = rejected or (candidate.group if outcome == "rejected" else "")
        elif candidate.by == "weakness":  # what the words describe is nearer than what they are like
            near, rejected = candidate, ""
        elif outcome == "rejected":
            rejected = candidate.group
    runner_up = (near.group, _score(near)) if near else (None, None)
    if joined is None:
        return Verdict(None, "", None, *runner_up, rejected=rejected)
    return Verdict(joined.group, joined.how, _score(joined), *runner_up, name=joined.name)


def is_other_rule(rule_key: str, lesson: Lesson | None, catalogue: Catalogue, names: Iterable[str] = ()) -> bool:
    """Return whether a lesson answers to another rule of the tool that named `rule_key`.

    Args:
        rule_key: the issue's rule; empty: it names none, so there is no other.
        lesson: the lesson; None for one that is about to be made. A rejected one stands in nobody's way.
        catalogue: knows further rules that the lesson answers to.
        names: the lesson's exact names, as far as they are known.
    """
    if not rule_key or (lesson is not None and lesson.status == "rejected"):
        return False
    rules = {value_of(name) for name in names if kind_of(name) == "rule"}
    if lesson is not None:
        curated = catalogue.find(catalogue_name(lesson.provenance.get("catalogue", "")))
        rules.update(filter(None, (lesson.rule_key, *(curated.keys if curated else ()))))
    return any(tool_of(rule) == tool_of(rule_key) for rule in rules)


def _score(candidate: Candidate) -> float:
    return round(candidate.probability, 4) if candidate.by == "likeness" else candidate.probability
