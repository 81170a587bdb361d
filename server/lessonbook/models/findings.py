"""What the readers of scanner and test files hand to the refinery."""

from dataclasses import dataclass, field

from lessonbook.models.vocabulary import Category, Severity

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


@dataclass(frozen=True, slots=True)
class Intake:
    """Everything one file held: what was read, in order, and what was refused."""

    findings: list[Finding] = field(default_factory=list[Finding])
    refused: list[Refused] = field(default_factory=list[Refused])

    def refuse(self, place: str, reason: str) -> None:
        """Note a record that was not read; of very many only the first are told one by one."""
        if len(self.refused) < REFUSED_MAX:
            self.refused.append(Refused(place, reason))
        elif len(self.refused) == REFUSED_MAX:
            self.refused.append(Refused(place, "this record and others after it were refused too"))
