"""The fixed vocabulary: severities, categories, sources, and the text types of fields."""

import unicodedata
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from lessonbook.machine.patterns import lazy_pattern

Severity = Literal["critical", "high", "medium", "low"]
Category = Literal[
    "security",
    "correctness",
    "performance",
    "reliability",
    "maintainability",
    "testing",
    "api-design",
    "data",
    "infrastructure",
    "ui",
    "documentation",
    "other",
]
Source = Literal["qa", "ci", "review", "user", "scanner", "agent"]
Trust = Literal["curated", "approved", "scanner", "imported", "offered", "generated"]
EvidenceGrade = Literal["declared", "verified"]
EffectState = Literal["not_measured", "not_enough_data", "helps", "harms", "undecided", "retired", "unhealthy"]
"""What the evidence on a lesson, an agent or a project says, in the same word everywhere."""
ReviewMode = Literal["none", "risky", "others", "all"]
"""The lessons that wait for a person: `trust.review` of the settings, with `auto` decided.

`others`: as `risky`, and what no person approved is served only to the principal who offered it.
"""
IssueAction = Literal["created", "merged", "pending", "quarantined", "rejected"]

SEVERITY_RANK: Final[dict[Severity, int]] = {"critical": 4, "high": 3, "medium": 2, "low": 1}
SEVERITY_OF_RANK: Final[dict[int, Severity]] = {rank: name for name, rank in SEVERITY_RANK.items()}
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)

_LEAST_SCORES: Final[tuple[tuple[float, Severity], ...]] = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"))

VOUCHED: Final[frozenset[Trust]] = frozenset({"curated", "approved"})
"""The trust of lessons that the catalogue or a person vouches for: only a person may withdraw them."""

UNOWNED: Final[frozenset[Trust]] = frozenset({"offered", "generated"})
"""The trust of lessons in words that anybody or a model offered: they never own the name of a scanner's rule."""

SHARED_AGENT: Final = "*"
"""The agent whose lessons are candidates for every agent of a project."""


def words(text: str) -> frozenset[str]:
    """Return the words of `text`, as a set to look them up in."""
    return frozenset(text.split())


def severity_of_score(score: float) -> Severity:
    """Return the qualitative rating of a CVSS base score, 0 to 10 (FIRST, CVSS 3.1 specification, section 5).

    Code hosts read `security-severity` by the same scale. CVSS 2 has no scale of its own, CVSS 4 has this one.
    """
    for least, severity in _LEAST_SCORES:
        if score >= least:
            return severity
    return "low"


SURROGATE_STAND_IN: Final = "\ufdd0"
"""Stands for half of a surrogate pair where a parser of messages refuses one: a code point that is no character."""
_SURROGATE = lazy_pattern(f"[\ud800-\udfff{SURROGATE_STAND_IN}]")


def storable(text: str) -> str:
    """Return `text` in Unicode normal form C.

    Raises:
        PydanticCustomError: `text` holds a NUL or half of a surrogate pair, which no database stores.
    """
    if (position := text.find("\x00")) >= 0:
        raise PydanticCustomError(
            "nul", "has a NUL character at position {position}; remove it", {"position": position}
        )
    if (found := _SURROGATE.search(text)) is not None:
        raise PydanticCustomError(
            "surrogate",
            "has half of a surrogate pair at position {position}; send valid Unicode",
            {"position": found.start()},
        )
    return unicodedata.normalize("NFC", text)


def _filled(text: str) -> str:
    stripped = storable(text).strip()
    if not stripped:
        raise PydanticCustomError("empty", "is empty; write at least a word")
    return stripped


def _one_line(text: str) -> str:
    return " ".join(storable(text).split())


_storable = AfterValidator(storable)
_line = AfterValidator(_one_line)

HOLDS_NO_COMMA: Final = "holds no comma"
"""Marks a type whose values hold no comma, so that one text may list several."""
UNSAID: Final = "unknown"
"""The name that leaves a severity or category unsaid, for callers that must give every argument."""

Text = Annotated[str, _storable]
"""Text of any length; the field sets the bound."""

AgentName = Annotated[str, Field(max_length=100), _line]
RunId = Annotated[str, Field(max_length=200, pattern=r"^[^<>`]*$"), _line]
LessonId = Annotated[str, Field(min_length=1, max_length=40), _line, HOLDS_NO_COMMA]
RuleId = Annotated[str, Field(max_length=200), _line]
FilePath = Annotated[str, Field(max_length=1000), _line]
IdempotencyKey = Annotated[str, Field(max_length=200), _line]
Filled = Annotated[str, AfterValidator(_filled)]
"""Text that must hold at least one visible character."""
Line = Annotated[str, _line]
"""Text on one line: each run of white space becomes one blank."""
