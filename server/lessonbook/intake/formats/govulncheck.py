"""JSON of govulncheck: messages behind each other; findings name an advisory that another message describes."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final

from lessonbook.domain.documents import Unreadable, object_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Outcome, Reading, Refused
from lessonbook.domain.vocabulary import Severity
from lessonbook.intake.formats.json_format import shape_of
from lessonbook.intake.formats.outline import top_objects
from lessonbook.intake.formats.record_fields import RecordFields, vulnerability
from lessonbook.intake.json_events import Events, JsonFile, open_json
from lessonbook.intake.json_records import RECORD_MAX
from lessonbook.intake.json_values import Allowance, build, members, skip
from lessonbook.intake.report_file import ReportFile

_ADVICE: Final = "give what `govulncheck -json` wrote"
_KNOWN_MAX: Final = 20_000
"""Advisories and vulnerable modules of one file."""
_FINDING: Final = shape_of(
    (
        *("osv", "fixed_version", "trace.module", "trace.version", "trace.package", "trace.function"),
        *("trace.position.filename", "trace.position.line"),
    )
)
_ADVISORY: Final = shape_of(("id", "aliases", "summary"))
_SEVERITIES: Final[tuple[Severity, ...]] = ("low", "medium", "high")
"""By how near the vulnerable code is: the module is required, the package is imported, the function is called."""


@dataclass(slots=True)
class _GoAdvisories:
    """What the messages say of advisories, and how near each vulnerable module comes."""

    advisories: dict[str, RecordFields] = field(default_factory=dict[str, RecordFields])
    nearest: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    findings: int = 0
    is_known: bool = False


def is_govulncheck(names: set[str]) -> bool:
    """Return whether a top object with the members `names` is a message of govulncheck."""
    return "config.protocol_version" in names or {"finding.osv", "finding.trace"} <= names or "osv.affected" in names


def open_govulncheck(file: ReportFile) -> Reading:
    """Return the findings of a file written by `govulncheck -json`: one per advisory and module, the nearest.

    Its severity says whether the vulnerable function is called (high), its package imported (medium), or its module
    required (low).

    Raises:
        InvalidInput: the file is not of this kind.
    """
    opened = open_json(file, _ADVICE, many=True)
    known = _survey(opened)
    if not known.is_known:
        raise InvalidInput(f"{file.place} is not govulncheck JSON; {_ADVICE}")
    return Reading("govulncheck", known.findings, _outcomes(opened, known), "govulncheck JSON")


def _survey(file: JsonFile) -> _GoAdvisories:
    known = _GoAdvisories()
    with file.events() as events:
        for name, value, _ in _messages(events):
            known.is_known = True
            if name == "finding":
                known.findings += 1
                key, near = _key(value), _nearness(value)
                if len(known.nearest) < _KNOWN_MAX or key in known.nearest:
                    known.nearest[key] = max(near, known.nearest.get(key, 0))
            elif len(known.advisories) < _KNOWN_MAX:
                known.advisories[value.text("id")] = value
    return known


def _outcomes(file: JsonFile, known: _GoAdvisories) -> Generator[Outcome]:
    done: set[tuple[str, str]] = set()
    with file.events() as events:
        for name, value, place in _messages(events):
            if name != "finding":
                continue
            key, near = _key(value), _nearness(value)
            if key in done or near < known.nearest.get(key, 0):
                yield None  # another way to the same vulnerability
                continue
            done.add(key)
            try:
                yield _read(value, known.advisories.get(key[0], RecordFields({})), near)
            except Unreadable as error:
                yield Refused(place, str(error))


def _messages(events: Events) -> Generator[tuple[str, RecordFields, str]]:
    """Yield the messages that describe advisories (`osv`) or findings, as far as they are read."""
    for event, place in top_objects(events):
        if event[0] != "start_map":
            skip(events, event)
            continue
        for name, opening in members(events):
            if name in ("finding", "osv"):
                allowance = Allowance(RECORD_MAX)
                value = object_of(build(events, opening, allowance, _FINDING if name == "finding" else _ADVISORY))
                yield name, RecordFields(value), f"{place}.{name}".lstrip(".")
            else:
                skip(events, opening)
                if name == "config":
                    yield "osv", RecordFields({}), place


def _key(finding: RecordFields) -> tuple[str, str]:
    return finding.text("osv"), finding.text("trace.0.module")


def _nearness(finding: RecordFields) -> int:
    return 2 if finding.text("trace.0.function") else 1 if finding.text("trace.0.package") else 0


def _read(finding: RecordFields, advisory: RecordFields, near: int) -> Finding:
    own = next(
        (frame for frame in reversed(finding.each("trace")) if frame.text("position.filename")), RecordFields({})
    )
    return vulnerability(
        "govulncheck",
        package=finding.text("trace.0.module"),
        advisory=finding.text("osv"),
        installed=finding.text("trace.0.version"),
        fixed=finding.text("fixed_version"),
        ecosystem="Go",
        title=advisory.text("summary"),
        aliases=advisory.texts("aliases"),
        severity=_SEVERITIES[near],
        file=own.text("position.filename") if near else "",
        line=own.number("position.line") if near else None,
    )
