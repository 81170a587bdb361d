"""What the readers of report files hand to the refinery."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the command line knows the kinds of files before it needs pydantic
    from lessonbook.domain.vocabulary import Category, Severity

FileKind = Literal["sarif", "junit", "pytest", "ruff", "bandit", "review", "text"]
"""What a report file may be."""

ReportKind = Literal["auto", "sarif", "junit", "pytest", "ruff", "bandit", "review", "text"]
"""What a report file may be said to be; `auto`: its content tells."""

REFUSED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class RuleMetadata:
    """What a scanner says of one of its rules: text by the scanner's authors, never by the finding.

    `text` is a rule's own general description or help, `why` its full description, `keys` every name the rule is
    known by (`bandit:B608`, `CWE-89`).
    """

    text: str
    why: str = ""
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One concrete problem, whoever reported it.

    `fingerprint` tells two sightings of one problem apart from two problems: the scanner's own where it gives one,
    else empty. `is_new` is false where the file says the finding was there before this run. `lesson` and `why` are an
    author's offer of a general rule; `metadata` is the scanner's.
    """

    description: str
    severity: Severity | None = None
    category: Category | None = None
    file: str = ""
    line: int | None = None
    rule_id: str = ""
    keys: tuple[str, ...] = ()
    fingerprint: str = ""
    is_new: bool = True
    lesson: str = ""
    why: str = ""
    metadata: RuleMetadata | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that could not be read: where it stands and what is wrong with it."""

    place: str
    reason: str


Outcome = Finding | Refused | None
"""What became of one record of a file; None: it is no problem, or was settled before, and is left out."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A report file that was found whole, and is now read record by record as `outcomes` is asked for more.

    `records` is how many outcomes are to come, for a progress bar; a note on a part that is not read may add to them.
    Whoever does not read to the end closes `outcomes`, and with it the file.
    """

    kind: FileKind
    records: int
    outcomes: Generator[Outcome]


@dataclass(frozen=True, slots=True)
class Intake:
    """Everything one file held: what was read, in order, and what was refused."""

    findings: list[Finding] = field(default_factory=list[Finding])
    refused: list[Refused] = field(default_factory=list[Refused])

    def refuse(self, place: str, reason: str) -> None:
        """Note a record that was not read; of very many only the first are told one by one."""
        note_refused(self.refused, Refused(place, reason))


def note_refused(refused: list[Refused], record: Refused) -> None:
    """Append a refused record; of very many only the first are told one by one."""
    if len(refused) < REFUSED_MAX:
        refused.append(record)
    elif len(refused) == REFUSED_MAX:
        refused.append(Refused(record.place, "this record and others after it were refused too"))


def collect(reading: Reading) -> Intake:
    """Return everything a file holds, at once: for files that are known to be small."""
    intake = Intake()
    for outcome in reading.outcomes:
        if isinstance(outcome, Finding):
            intake.findings.append(outcome)
        elif outcome is not None:
            note_refused(intake.refused, outcome)
    return intake
