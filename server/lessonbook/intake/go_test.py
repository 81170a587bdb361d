"""Failing tests in what `go test -json` prints: one event a line."""

import re
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from lessonbook.domain.documents import Unreadable, checked, text_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Outcome, Reading, Refused
from lessonbook.domain.fingerprints import lasting_name
from lessonbook.intake.fields import MAX_FAILURE_CHARS, failure_in, line_in_text, path_in, title_of_test
from lessonbook.intake.json_lines import lines_of, object_in
from lessonbook.intake.report_file import ReportFile
from lessonbook.machine.patterns import lazy_pattern

_FRAMING: Final = lazy_pattern(
    r"\A(?:=== (?:RUN|PAUSE|CONT|NAME|ATTR)|\s*--- (?:PASS|FAIL|SKIP|BENCH):|(?:FAIL|ok|PASS)\s|exit status \d)"
)
_PLACE: Final = lazy_pattern(r"^\s{0,80}([\w./-]{1,300}\.go):(\d{1,8}):", re.MULTILINE)
_HOST: Final = lazy_pattern(r"(?:github\.com|gitlab\.com|bitbucket\.org)/[^/]+/[^/]+(?:/v\d+)?(?:/|\Z)")
_ADVICE: Final = "give what `go test -json` printed"


@dataclass(slots=True)
class _Package:
    """What the tests of a package print until they end, `""` the package itself, and whether one of them failed."""

    outputs: dict[str, str] = field(default_factory=dict[str, str])
    has_failed: bool = False


def open_gotest(file: ReportFile) -> Reading:
    """Return one finding per failed test, as converters to JUnit do; tests with failed subtests are among them.

    A package is a finding only where it fails without a failed test: it does not compile, or panics.

    Raises:
        InvalidInput: the file is empty, or has no event of `go test`.
    """
    if file.is_blank():
        raise InvalidInput(f"{file.place} is empty; {_ADVICE}")
    records = events = 0
    with closing(lines_of(file)) as lines:
        for number, line in lines:
            records += 1
            read = object_in(line, f"lines[{number}]")
            events += not isinstance(read, Refused) and "Action" in read
    if not events:
        raise InvalidInput(f"{file.place} has no event with an `Action`; {_ADVICE}")
    return Reading("gotest", records, _outcomes(file))


def _outcomes(file: ReportFile) -> Generator[Outcome]:
    packages: dict[str, _Package] = {}
    builds: dict[str, str] = {}
    with closing(lines_of(file)) as lines:
        for number, line in lines:
            place = f"lines[{number}]"
            event = object_in(line, place)
            if isinstance(event, Refused):
                yield event
                continue
            try:
                yield _take(event, packages, builds)
            except Unreadable as error:
                yield Refused(place, str(error))


def _take(event: dict[str, object], packages: dict[str, _Package], builds: dict[str, str]) -> Finding | None:
    action, name, test = (text_of(event.get(key)) for key in ("Action", "Package", "Test"))
    output = text_of(event.get("Output"))
    if action == "build-output":
        built = text_of(event.get("ImportPath"))
        builds[built] = (builds.get(built, "") + output)[: 2 * MAX_FAILURE_CHARS]
        return None
    package = packages.setdefault(name, _Package())
    if action == "output":
        kept = package.outputs.get(test, "")
        if len(kept) < MAX_FAILURE_CHARS and not _FRAMING.match(output):
            package.outputs[test] = kept + output
        return None
    if action not in {"pass", "skip", "fail"}:
        return None
    printed = package.outputs.pop(test, "")
    if not test:
        del packages[name]
    if action != "fail":
        return None
    if test:
        package.has_failed = True
    elif package.has_failed:
        return None
    else:
        printed = builds.pop(text_of(event.get("FailedBuild")), "") or printed or "\n".join(package.outputs.values())
    return _finding(name, test, printed)


def _finding(package: str, test: str, printed: str) -> Finding:
    title = title_of_test(package.removeprefix("_"), test)
    if not title:
        raise Unreadable("has neither package nor test")
    printed = "\n".join(line.strip() for line in printed.splitlines() if line.strip())
    place = _PLACE.search(printed)
    folder = package.removesuffix(".test")
    host = _HOST.match(folder)
    file = place[1] if place else ""
    if host and file and "/" not in file:
        file = "/".join(filter(None, (folder[host.end() :], file)))
    message = printed if test else f"the package fails\n{printed}"
    return Finding(
        description=failure_in(title, message, ""),
        severity="medium" if test else "high",
        file=path_in(file),
        line=line_in_text(place[2]) if place else None,
        fingerprint=lasting_name(checked(title, "name")),
    )
