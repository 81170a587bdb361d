"""Findings in the XML of linters: Checkstyle (and whoever writes its format), PMD, CPD, SpotBugs, Cppcheck."""

from collections.abc import Iterator
from typing import Final

from lessonbook.domain.documents import Unreadable, checked
from lessonbook.domain.findings import Finding, Reading
from lessonbook.domain.vocabulary import Severity
from lessonbook.intake.fields import line_in_text, path_in, plain_message_in
from lessonbook.intake.linter_ids import rule_of_checkstyle
from lessonbook.intake.report_file import ReportFile
from lessonbook.intake.sarif_rules import unique
from lessonbook.intake.xml_records import Record, XmlLayout, open_xml
from lessonbook.machine.patterns import lazy_pattern

_LEVELS: Final[dict[str, Severity]] = {"error": "high", "warning": "medium", "info": "low"}
_ONE_LEVEL: Final = frozenset({"checkstyle", "ktlint", "phpstan", "scalastyle", ""})
"""Tools that give all findings the level that is set for the whole run, so that it is not taken for a severity."""
_PRIORITIES: Final[dict[str, Severity]] = {"1": "high", "2": "high", "3": "medium", "4": "low", "5": "low"}
"""PMD's priorities, as its own SARIF grades them."""
_CONFIDENCES: Final[dict[str, Severity]] = {"1": "high", "2": "medium", "3": "low"}
_SCARY: Final = 9
_TROUBLING: Final = 14
"""The last ranks of SpotBugs' classes "scary" and "troubling"."""
_CPPCHECK: Final[dict[str, Severity | None]] = {
    "error": "high",
    "warning": "medium",
    **dict.fromkeys(("style", "performance", "portability"), "low"),
}
"""Severities of Cppcheck; `information` and `debug` are about the run."""
_NUMBER: Final = lazy_pattern(r"[1-9]\d{0,5}")


def open_checkstyle(file: ReportFile) -> Reading:
    """Return the findings of Checkstyle XML, which ktlint, detekt, phpcs, ESLint, SwiftLint and others write too.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    return open_xml(file, _CHECKSTYLE_XML)


def open_pmd(file: ReportFile) -> Reading:
    """Return the violations in PMD's XML; suppressed ones and errors of the run are left out.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    return open_xml(file, _PMD_XML)


def open_cpd(file: ReportFile) -> Reading:
    """Return one finding per duplication in CPD's XML, without the code.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    return open_xml(file, _CPD_XML)


def open_spotbugs(file: ReportFile) -> Reading:
    """Return the findings in the XML of SpotBugs and its plugins (Find Security Bugs), with their CWEs.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    return open_xml(file, _SPOTBUGS_XML)


def open_cppcheck(file: ReportFile) -> Reading:
    """Return the findings in Cppcheck's XML, with their CWEs; what it says of its own run is left out.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    return open_xml(file, _CPPCHECK_XML)


def _rule(rule_id: str) -> str:
    return checked(rule_id, "rule id", max_chars=200)


def _read_checkstyle(record: Record) -> Iterator[Finding]:
    error, path = record.element, path_in(record.around.get("file", {}).get("name", ""))
    message, source = error.get("message"), error.get("source")
    rule_id = _rule(rule_of_checkstyle(source, path))
    tool, _, bare = rule_id.rpartition(":")
    level = None if tool.partition(":")[0] in _ONE_LEVEL else _LEVELS.get(error.get("severity").lower())
    yield Finding(
        description=plain_message_in(message.removesuffix(f" ({bare})")),
        severity=level,
        file=path,
        line=line_in_text(error.get("line")),
        rule_id=rule_id,
        keys=unique([rule_id]),
    )


def _read_pmd(record: Record) -> Iterator[Finding]:
    violation = record.element
    rule_id = _rule(f"pmd:{rule}" if (rule := violation.get("rule")) else "")
    yield Finding(
        description=plain_message_in(" ".join(violation.text.split())),
        severity=_PRIORITIES.get(violation.get("priority")),
        category="security" if violation.get("ruleset").casefold() == "security" else None,
        file=path_in(record.around.get("file", {}).get("name", "")),
        line=line_in_text(violation.get("beginline", "line")),
        rule_id=rule_id,
        keys=unique([rule_id]),
    )


def _read_cpd(record: Record) -> Iterator[Finding]:
    duplication = record.element
    copies = [(path_in(copy.get("path")), line_in_text(copy.get("line"))) for copy in duplication.all("file")]
    if not copies:
        raise Unreadable("names no file")
    paths = list(dict.fromkeys(path for path, _ in copies))
    where = f"in {paths[0]}, {len(copies)} times" if len(paths) == 1 else f"in {' and '.join(paths[:5])}"
    yield Finding(
        description=plain_message_in(f"The same {duplication.get('lines')} lines of code are {where}"),
        category="maintainability",
        file=copies[0][0],
        line=copies[0][1],
        rule_id="cpd:duplication",
        keys=("cpd:duplication",),
        fingerprint=f"cpd={duplication.get('tokens')}|{'|'.join(sorted(path for path, _ in copies))}"[:1_000],
    )


def _read_spotbugs(record: Record) -> Iterator[Finding]:
    bug = record.element
    kind = bug.get("type")
    words = bug.text_at("LongMessage") or bug.text_at("ShortMessage") or kind.replace("_", " ").capitalize()
    places = bug.all("SourceLine")
    place = next((line for line in places if line.get("primary") == "true"), None) or next(iter(places), None)
    place = place or bug.at("Method", "SourceLine") or bug.at("Field", "SourceLine") or bug.at("Class", "SourceLine")
    rule_id = _rule(f"spotbugs:{kind}" if kind else "")
    cwe = bug.get("cweid")
    rank = line_in_text(bug.get("rank"))
    yield Finding(
        description=plain_message_in(words),
        severity=_severity_of_rank(rank) if rank else _CONFIDENCES.get(bug.get("priority")),
        category="security" if bug.get("category") == "SECURITY" else None,
        file=path_in(place.get("relSourcepath", "sourcepath", "sourcefile")) if place else "",
        line=line_in_text(place.get("start")) if place else None,
        rule_id=rule_id,
        keys=unique([rule_id, f"CWE-{cwe}" if _NUMBER.fullmatch(cwe) else ""]),
        fingerprint=checked(f"spotbugs={mark}" if (mark := bug.get("instanceHash")) else "", "fingerprint"),
    )


def _severity_of_rank(rank: int) -> Severity:
    return "high" if rank <= _SCARY else "medium" if rank <= _TROUBLING else "low"


def _read_cppcheck(record: Record) -> Iterator[Finding]:
    error = record.element
    level = error.get("severity")
    if level not in _CPPCHECK:
        return
    place = error.at("location") or error  # the error itself in the first version of the format
    rule_id = _rule(f"cppcheck:{rule}" if (rule := error.get("id")) else "")
    cwe = error.get("cwe")
    yield Finding(
        description=plain_message_in(error.get("msg", "verbose")),
        severity=_CPPCHECK[level],
        file=path_in(place.get("file")),
        line=line_in_text(place.get("line")),
        rule_id=rule_id,
        keys=unique([rule_id, f"CWE-{cwe}" if _NUMBER.fullmatch(cwe) else ""]),
    )


_CHECKSTYLE_XML: Final = XmlLayout(
    kind="checkstyle",
    root="checkstyle",
    records=frozenset({"error"}),
    advice="give the XML that Checkstyle, or a linter in its format, wrote",
    read=_read_checkstyle,
)
_PMD_XML: Final = XmlLayout(
    kind="pmd",
    root="pmd",
    records=frozenset({"violation"}),
    advice="give the XML that PMD wrote (-f xml)",
    read=_read_pmd,
)
_CPD_XML: Final = XmlLayout(
    kind="cpd",
    root="pmd-cpd",
    records=frozenset({"duplication"}),
    advice="give the XML that CPD wrote (--format xml)",
    read=_read_cpd,
)
_SPOTBUGS_XML: Final = XmlLayout(
    kind="spotbugs",
    root="BugCollection",
    records=frozenset({"BugInstance"}),
    advice="give the XML that SpotBugs wrote (-xml:withMessages)",
    read=_read_spotbugs,
)
_CPPCHECK_XML: Final = XmlLayout(
    kind="cppcheck",
    root="results",
    records=frozenset({"error"}),
    advice="give the XML that Cppcheck wrote (--xml)",
    read=_read_cppcheck,
)
