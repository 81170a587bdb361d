"""Findings of scanners, read from SARIF 2.1.0 files."""

from collections.abc import Generator, Iterator
from typing import Final

from lessonbook.domain.documents import list_of, object_of, text_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Outcome, Reading, Refused
from lessonbook.intake.fields import MAX_DESCRIPTION_CHARS
from lessonbook.intake.json_events import Event, Events, JsonFile, open_json
from lessonbook.intake.json_records import read_record
from lessonbook.intake.json_values import Allowance, build, items, members, skip, wanted
from lessonbook.intake.report_file import ReportFile
from lessonbook.intake.sarif_results import Run, finding_of
from lessonbook.intake.sarif_rules import RuleBook

VERSION: Final = "2.1.0"

_ADVICE: Final = "give the file a scanner wrote with its SARIF 2.1.0 output"
_REFERENCES_MAX: Final = 16 * 1024 * 1024
"""Bytes of memory that rules, artifacts and taxonomies of one file may take."""
_RUNS_MAX: Final = 1_000
_NOTES_MAX: Final = 10
_NOTE_CHARS_MAX: Final = 200
_TOOLS_MAX: Final = 3
_VERSION_CHARS_MAX: Final = 20

_TEXT: Final = wanted("text", "markdown")
_RULE: Final = wanted(
    "id",
    "name",
    "properties",
    "helpUri",
    "messageStrings",
    relationships=wanted("target"),
    help=_TEXT,
    shortDescription=_TEXT,
    fullDescription=_TEXT,
    defaultConfiguration=wanted("level"),
)
_COMPONENT: Final = wanted("name", "guid", "globalMessageStrings", rules=_RULE)
_NOTIFICATION: Final = wanted("level", message=wanted("text"))
_REFERENCES: Final = wanted(
    "originalUriBaseIds",
    invocations=wanted(
        *("executionSuccessful", "exitCodeDescription", "processStartFailureMessage"),
        toolExecutionNotifications=_NOTIFICATION,
        toolConfigurationNotifications=_NOTIFICATION,
    ),
    tool=wanted(driver=_COMPONENT, extensions=_COMPONENT),
    taxonomies=wanted("name", "guid", taxa=wanted("id")),
    artifacts=wanted(location=wanted("uri", "uriBaseId")),
)
"""The members of a run that its results refer to, with the parts of them that are read."""
_LOCATION: Final = wanted(artifactLocation=wanted("uri", "uriBaseId", "index"), region=wanted("startLine"))
_RESULT: Final = wanted(
    *("ruleId", "ruleIndex", "rule", "kind", "level", "taxa", "properties"),
    *("baselineState", "fingerprints", "partialFingerprints"),
    message=wanted("text", "markdown", "id", "arguments"),
    locations=wanted(physicalLocation=_LOCATION),
    suppressions=wanted("status"),
)
"""The members of a result that are read. Code flows and fixes, which are not, may be far larger."""


def open_sarif(file: ReportFile) -> Reading:
    """Return the findings of a SARIF 2.1.0 file, in order, and the results that could not be read.

    The file is read three times: to see that it is whole; for what its results refer to, which may stand behind them;
    and for the results, as they are asked for. So memory does not grow with their number.

    Results are left out that are not failures, have the level `none`, are suppressed, or are absent from this run. A
    path stays relative where the scanner wrote a relative one: bases on the scanner's machine are not put before it.
    Findings of tools that give every rule the same level (ruff) have no severity.

    Raises:
        InvalidInput: the file is not SARIF 2.1.0.
    """
    opened = open_json(file, _ADVICE)
    runs, results = _survey(opened, file.place)
    notes = tuple(dict.fromkeys(note for run in runs if run is not None for note in run.notes))[:_NOTES_MAX]
    return Reading("sarif", results, _outcomes(opened, runs), f"SARIF{_tools_of(runs)}", notes)


def _tools_of(runs: list[Run | None]) -> str:
    """Return the names of the tools of a file, for a person."""
    names = list(dict.fromkeys(run.rules.tool for run in runs if run is not None and run.rules.tool))
    return f" of {', '.join(names[:_TOOLS_MAX])}" if names else ""


def _survey(file: JsonFile, place: str) -> tuple[list[Run | None], int]:
    """Return what each run's results refer to (None: it is not an object), and how many results there are."""
    allowance = Allowance(_REFERENCES_MAX)
    runs: list[Run | None] = []
    results = 0
    version: object = None
    has_runs = False
    with file.events() as events:
        opening = next(events)
        if opening[0] != "start_map":
            raise InvalidInput(f"{place} is JSON, but not a SARIF object; {_ADVICE}")
        for name, event in members(events):
            if name == "runs" and event[0] == "start_array":
                has_runs = True
                for item in items(events):
                    if len(runs) == _RUNS_MAX:
                        skip(events, item)
                        continue
                    run, count = _survey_run(events, item, allowance)
                    runs.append(run)
                    results += count
            elif name == "version":
                version = build(events, event, Allowance(_REFERENCES_MAX))
            else:
                skip(events, event)
    if not has_runs:
        raise InvalidInput(f"{place} has no list of `runs`; {_ADVICE}")
    if not text_of(version).startswith(VERSION):
        named = text_of(version)[:_VERSION_CHARS_MAX]
        raise InvalidInput(
            f"{place} is SARIF {named}, which is not read; {_ADVICE}"
            if named
            else f"{place} is not SARIF {VERSION}: it has no version; {_ADVICE}"
        )
    return runs, results


def _survey_run(events: Events, event: Event, allowance: Allowance) -> tuple[Run | None, int]:
    if event[0] != "start_map":
        skip(events, event)
        return None, 0
    content: dict[str, object] = {}
    results = 0
    clipped = ""
    for name, opening in members(events):
        if name == "results" and opening[0] == "start_array":
            for item in items(events):
                skip(events, item)
                results += 1
        elif name in _REFERENCES:
            content[name] = build(events, opening, allowance, _REFERENCES[name], MAX_DESCRIPTION_CHARS)
            clipped = clipped or (name if allowance.is_spent else "")
        else:
            skip(events, opening)
    artifacts, bases = list_of(content.get("artifacts")), object_of(content.get("originalUriBaseIds"))
    rules = RuleBook(content)
    return Run(rules, artifacts, bases, clipped, _notes(rules.tool, list_of(content.get("invocations")))), results


def _notes(tool: str, invocations: list[object]) -> tuple[str, ...]:
    """Return what a run says of its own failure, a sentence each."""
    name = tool or "the scanner"
    notes: list[str] = []
    for invocation in map(object_of, invocations):
        if invocation.get("executionSuccessful") is False:
            said = text_of(invocation.get("exitCodeDescription")) or text_of(
                invocation.get("processStartFailureMessage")
            )
            notes.append(_note(f"{name} did not run to its end: findings may be missing", said))
        for member in ("toolExecutionNotifications", "toolConfigurationNotifications"):
            for notification in map(object_of, list_of(invocation.get(member))):
                if notification.get("level") == "error":
                    said = text_of(object_of(notification.get("message")).get("text"))
                    notes.append(_note(f"{name} reports an error", said))
    return tuple(notes[:_NOTES_MAX])


def _note(words: str, said: str) -> str:
    line = " ".join(said.split())
    return f"{words} ({line[:_NOTE_CHARS_MAX]})" if line else words


def _outcomes(file: JsonFile, runs: list[Run | None]) -> Generator[Outcome]:
    with file.events() as events:
        next(events)
        for number, item in enumerate(_items_of_runs(events)):
            place = f"runs[{number}]"
            if number < len(runs) and (run := runs[number]) is not None:
                yield from _outcomes_of_run(events, place, run)
            else:
                skip(events, item)
                yield Refused(place, "is not an object" if number < _RUNS_MAX else f"is beyond the first {_RUNS_MAX}")


def _items_of_runs(events: Events) -> Iterator[Event]:
    for name, event in members(events):
        if name == "runs" and event[0] == "start_array":
            yield from items(events)
        else:
            skip(events, event)


def _outcomes_of_run(events: Events, place: str, run: Run) -> Iterator[Outcome]:
    if run.clipped:
        yield Refused(f"{place}.{run.clipped}", "is too large to be read whole; results may lack what it says of them")
    for name, opening in members(events):
        if name == "results" and opening[0] == "start_array":
            for number, item in enumerate(items(events)):
                yield read_record(
                    events, item, f"{place}.results[{number}]", _RESULT, lambda result: finding_of(result, run)
                )
        else:
            skip(events, opening)
            if name == "results" and opening[0] != "null":
                yield Refused(f"{place}.results", "is not a list")
