"""Findings of scanners, read from SARIF 2.1.0 files."""

from collections.abc import Generator, Iterator, Mapping
from typing import Final

from lessonbook.domain.documents import Unreadable, list_of, object_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Intake, Outcome, Reading, Refused, collect
from lessonbook.intake.json_events import Event, Events, JsonFile, open_json
from lessonbook.intake.json_values import Allowance, Shape, build, items, members, skip
from lessonbook.intake.report_file import ReportFile
from lessonbook.intake.sarif_results import MAX_DESCRIPTION_CHARS, Run, finding_of
from lessonbook.intake.sarif_rules import RuleBook

VERSION: Final = "2.1.0"

_ADVICE: Final = "give the file a scanner wrote with its SARIF 2.1.0 output"
_REFERENCES_MAX: Final = 16 * 1024 * 1024
"""Bytes of memory that rules, artifacts and taxonomies of one file may take."""
_RUNS_MAX: Final = 1_000
_RESULT_MAX: Final = 4 * 1024 * 1024

_RULE: Final[Shape] = {
    "id": None,
    "properties": None,
    "relationships": {"target": None},
    "help": {"text": None, "markdown": None},
    "shortDescription": {"text": None, "markdown": None},
    "fullDescription": {"text": None, "markdown": None},
    "helpUri": None,
    "defaultConfiguration": {"level": None},
    "messageStrings": None,
}
_COMPONENT: Final[Shape] = {"name": None, "guid": None, "globalMessageStrings": None, "rules": _RULE}
_REFERENCES: Final[Mapping[str, Shape | None]] = {
    "tool": {"driver": _COMPONENT, "extensions": _COMPONENT},
    "taxonomies": {"name": None, "guid": None, "taxa": {"id": None}},
    "artifacts": {"location": {"uri": None, "uriBaseId": None}},
    "originalUriBaseIds": None,
}
"""What the results of a run refer to, with the parts of it that are read."""
_RESULT: Final[Shape] = {
    "ruleId": None,
    "ruleIndex": None,
    "rule": None,
    "kind": None,
    "level": None,
    "message": {"text": None, "markdown": None, "id": None, "arguments": None},
    "locations": {
        "physicalLocation": {
            "artifactLocation": {"uri": None, "uriBaseId": None, "index": None},
            "region": {"startLine": None},
        }
    },
    "taxa": None,
    "properties": None,
    "suppressions": {"status": None},
    "baselineState": None,
    "fingerprints": None,
    "partialFingerprints": None,
}
"""The members of a result that are read: code flows and fixes may be far larger than all of them."""


def read_sarif(data: bytes | str, *, place: str = "SARIF") -> Intake:
    """Return the findings of a SARIF 2.1.0 file in memory. See `open_sarif`.

    Raises:
        InvalidInput: this is no SARIF 2.1.0 file.
    """
    content = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return collect(open_sarif(ReportFile(content, place)))


def open_sarif(file: ReportFile) -> Reading:
    """Return the findings of a SARIF 2.1.0 file, in order, and the results that could not be read.

    The file is read three times: to see that it is whole; to learn what its results refer to, which may stand behind
    them; and for the results, as they are asked for. So memory does not grow with their number.

    Left out are results that are no failures, have the level `none`, are suppressed, or are absent from this run. A
    file path is relative where the scanner wrote a relative address: bases on the scanner's machine are not put before
    it. Tools that give every rule the same level (ruff) leave the severity open.

    Raises:
        InvalidInput: this is no SARIF 2.1.0 file.
    """
    opened = open_json(file, _ADVICE)
    runs, results = _survey(opened, file.place)
    return Reading("sarif", results, _outcomes(opened, runs))


def _survey(file: JsonFile, place: str) -> tuple[list[Run | None], int]:
    """Return what each run's results refer to (None: it is no run), and how many results there are."""
    allowance = Allowance(_REFERENCES_MAX)
    runs: list[Run | None] = []
    results = 0
    version: object = None
    has_runs = False
    with file.events() as events:
        opening = next(events)
        if opening[0] != "start_map":
            raise InvalidInput(f"{place} is JSON, but no SARIF object; {_ADVICE}")
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
    if version != VERSION:
        raise InvalidInput(f"{place} is not SARIF {VERSION}; {_ADVICE}")
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
    return Run(RuleBook(content), artifacts, bases, clipped), results


def _outcomes(file: JsonFile, runs: list[Run | None]) -> Generator[Outcome]:
    number = 0
    with file.events() as events:
        next(events)
        for name, event in members(events):
            if name != "runs" or event[0] != "start_array":
                skip(events, event)
                continue
            for item in items(events):
                place = f"runs[{number}]"
                run = runs[number] if number < _RUNS_MAX else None
                if run is None:
                    skip(events, item)
                    yield Refused(place, "is no object" if number < _RUNS_MAX else f"is beyond the first {_RUNS_MAX}")
                else:
                    yield from _outcomes_of_run(events, place, run)
                number += 1


def _outcomes_of_run(events: Events, place: str, run: Run) -> Iterator[Outcome]:
    if run.clipped:
        yield Refused(f"{place}.{run.clipped}", "is too large to be read whole; results may lack what it says of them")
    for name, opening in members(events):
        if name == "results" and opening[0] == "start_array":
            for number, item in enumerate(items(events)):
                yield _outcome(events, item, f"{place}.results[{number}]", run)
        else:
            skip(events, opening)
            if name == "results" and opening[0] != "null":
                yield Refused(f"{place}.results", "is no list")


def _outcome(events: Events, event: Event, place: str, run: Run) -> Outcome:
    allowance = Allowance(_RESULT_MAX)
    result = build(events, event, allowance, _RESULT)
    if allowance.is_spent:
        return Refused(place, f"takes more than {_RESULT_MAX >> 20} MiB")
    try:
        return finding_of(result, run)
    except Unreadable as error:
        return Refused(place, str(error))
