"""Findings in what linters and compilers print: lines `file:line:column: message [rule]` and their relatives."""

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, Literal

from lessonbook.domain.documents import Unreadable, checked
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Outcome, Reading, Refused
from lessonbook.intake.clean_text import without_controls
from lessonbook.intake.fields import line_in_text, message_in, path_in
from lessonbook.intake.linter_line_forms import LinterLine, eslint_line, linter_line, severity_of_level
from lessonbook.intake.report_file import ReportFile, encoding_of
from lessonbook.intake.sarif_rules import unique
from lessonbook.intake.text_lines import LINE_MAX, text_lines
from lessonbook.machine.patterns import lazy_pattern

_SAMPLE: Final = 400
"""Lines that decide whether a text is of this kind."""
_SURE: Final = 10
"""Findings with a rule or a level that show the kind, whatever is between them: the log of a build."""
_RARE: Final = 8
"""One in eight lines has to be a finding, a note, or source code that is shown."""
_DETAILS_MAX: Final = 20

_RUST: Final = lazy_pattern(r"\A(?P<level>error|warning)(?:\[(?P<id>E\d{4})\])?: (?P<text>\S.*)")
_ARROW: Final = lazy_pattern(r"\A\s{0,12}--> (?P<path>[^\s:][^:]{0,300}):(?P<line>\d{1,8})(?::\d{1,6})?\s*")
_LINT: Final = lazy_pattern(
    r"#\[(?:warn|deny|forbid)\((?P<clippy>clippy::)?(?P<lint>\w+)\)\]|rust-clippy/[\w./-]{1,60}#/?(?P<linked>\w+)"
)
_STYLISH: Final = lazy_pattern(
    r"\A\s{1,6}(?P<line>\d{1,8}):\d{1,6}\s{1,40}(?P<level>error|warning|✖|⚠|×)\s{1,40}(?P<text>\S(?:.*?\S)?)"
    r"(?:\s{2,300}(?P<id>[@a-zA-Z][\w./@-]{0,100}))?\s{0,10}"
)
_MARKS: Final = {"✖": "error", "×": "error", "⚠": "warning"}
_FILE: Final = lazy_pattern(r"\A(?:[A-Za-z]:)?[^\s:*?\"<>|][^:*?\"<>|]{0,300}\.\w{1,10}")
_EXCERPT: Final = lazy_pattern(
    r"\A(?:\s{0,40}(?:\d{1,8}\s{0,10}\|.*|\|.*|= (?:note|help): .*|\.\.\.)"
    r"|[\s|~^-]{0,300}[\^~][\s|~^-]{0,300}(?:[a-z`'].*)?)"
)
_UNDERLINE: Final = lazy_pattern(r"\A[\s~^-]{0,300}\^[\s~^-]{0,300}")
_NOISE: Final = lazy_pattern(
    r"\A(?:\*{5} ?[*M]|-{5}|={5}|Your code has been rated |Found \d|Success: no issues|All checks passed|Offenses:"
    r"|Inspecting \d|Running |\d{1,9} files? (?:inspected|checked)|\d{1,9} (?:warnings?|errors?|problems?|issues?)\b"
    r"|[✖✔×] |[.CWEF]{1,400}\Z|In file included from |\s{1,40}from \S{1,300}:\d|make(?:\[\d{1,4}\])?: |exit status \d"
    r"|# \[?[\w./-]{1,300}\]?\Z|vet: |\* \w{1,60}: \d|Suppressed \d|Use -header-filter|cargo "
    r"|(?:\S{0,200}/)?(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|rustc|ld)(?:-[\d.]{1,10})? -"
    r"|(?:error|warning): (?:could not compile|aborting due to|build failed|`[^`]{1,200}` \([^)]{1,200}\) generated)"
    r"|For more information about |Some errors have detailed|\s{0,12}(?:Compiling|Checking|Finished|Updating|Blocking) "
    r"|<!--|//-->|-->|level=|(?:Errors?|Warnings?): \d|Starting audit|Audit done|WARN "
    r"|\[(?:INFO|ERROR|WARN)\] (?!\S{1,300}:\d)|You can skip specific rules|(?:skip|warn)_list:"
    r"|[^\s:][^:]{0,200}: (?:note: )?(?:In (?:member |static |copy |lambda )?(?:function|member|class|instantiation"
    r"|constructor|destructor|substitution)|At (?:top level|global scope)))"
)
_CLEAN: Final = lazy_pattern(r"\A(?:Success: no issues found|All checks passed!|\d{1,9} files? inspected, no offenses)")

_Role = Literal["blank", "finding", "head", "note", "noise", "detail", "excerpt", "words"]
"""What a line is: `head` a message whose place follows, `detail` more words of the finding above, `words` unknown."""


@dataclass(slots=True)
class _Draft:
    """A finding whose lines are still read. `number` is its first line, from 1."""

    number: int
    said: LinterLine
    details: list[str] = field(default_factory=list[str])
    is_shown: bool = False
    """Whether source code was shown, behind which no more words follow."""

    def outcome(self) -> Outcome:
        """Return the finding, or why it cannot be read; None for a message that no place followed."""
        said = self.said
        if not said.path:
            return None
        try:
            path, rule_id = path_in(said.path), checked(said.rule_id, "rule id", max_chars=200)
            return Finding(
                description=message_in("\n".join((said.message, *self.details))),
                severity=said.severity,
                file="" if path in {"-", "<stdin>"} else path,
                line=line_in_text(said.line),
                rule_id=rule_id,
                keys=unique([rule_id]),
            )
        except Unreadable as error:
            return Refused(f"lines[{self.number}]", str(error))


class _Reader:
    """Reads lines one after another."""

    def __init__(self) -> None:
        self._draft: _Draft | None = None
        self._done: list[_Draft] = []
        self._file = ""
        """The file whose findings follow, in ESLint's default output."""
        self.is_strong = False
        """Whether the last line named a rule or a level."""

    def taken(self) -> Iterator[Outcome]:
        """Yield the findings that ended since the last call."""
        done, self._done = self._done, []
        yield from (outcome for draft in done if (outcome := draft.outcome()) is not None)

    def forget(self) -> None:
        """Leave out the findings that ended since the last call."""
        self._done.clear()

    def finish(self) -> None:
        """End the finding that is read."""
        if self._draft is not None:
            self._done.append(self._draft)
        self._draft = None

    def read(self, line: str, number: int) -> _Role:
        """Read a line, and return what it is."""
        self.is_strong = False
        role = self._role(line, number)
        if role in {"blank", "note", "noise", "words"}:
            self.finish()
        if role in {"blank", "words"}:
            self._file = ""
        if role == "words" and _FILE.fullmatch(line.strip()) and not line.startswith(" "):
            self._file = line.strip()
            return "noise"
        return role

    def _role(self, line: str, number: int) -> _Role:
        if not line.strip():
            return "blank"
        if _NOISE.match(line):
            return "noise"
        if self._file and (found := _STYLISH.fullmatch(line)):
            level = _MARKS.get(found["level"], found["level"])
            return self._begin(number, eslint_line(self._file, found["line"], level, found["text"], found["id"] or ""))
        if (arrow := _ARROW.fullmatch(line)) is not None:
            return self._placed(arrow)
        if _EXCERPT.fullmatch(line):
            return self._shown(line)
        return self._said(line, number)

    def _said(self, line: str, number: int) -> _Role:
        if (said := linter_line(line.strip() if self._draft is None else line.rstrip())) is not None:
            return "note" if said.is_note else self._begin(number, said)
        if (rust := _RUST.fullmatch(line)) is not None:
            rule = f"rustc:{rust['id']}" if rust["id"] else ""
            self._begin(number, LinterLine("", "", rust["text"], rule, severity_of_level(rust["level"])))
            return "head"
        if self._draft is None or not line.startswith((" ", "\t")):
            return "words"
        if len(self._draft.details) < _DETAILS_MAX and self._draft.said.path and not self._draft.is_shown:
            self._draft.details.append(line.strip())
        return "detail"

    def _begin(self, number: int, said: LinterLine) -> _Role:
        self.finish()
        self._draft = _Draft(number, said)
        self.is_strong = said.is_strong
        return "finding"

    def _placed(self, arrow: re.Match[str]) -> _Role:
        if self._draft is not None and not self._draft.said.path:
            self._draft.said.path, self._draft.said.line = arrow["path"], arrow["line"]
            self.is_strong = True
            return "finding"
        return "excerpt"

    def _shown(self, line: str) -> _Role:
        draft = self._draft
        if draft is None:
            return "excerpt"
        if _UNDERLINE.fullmatch(line) and draft.details and not draft.is_shown:
            draft.details.pop()  # the source code above the mark
        draft.is_shown = True
        if (lint := _LINT.search(line)) is not None and not draft.said.rule_id:
            name = lint["lint"] or lint["linked"]
            draft.said.rule_id = f"{'clippy' if lint['clippy'] or lint['linked'] else 'rustc'}:{name}"
        return "excerpt"


def open_lines(file: ReportFile) -> Reading:
    """Return one finding per line `file:line: message`; lines that belong to it follow it.

    Notes, source code that is shown, and sums are left out. The linter is known by the form of the rule's id and the
    file's language; where several fit, the id stays without a tool.

    Raises:
        InvalidInput: the file is not text, or has no such line.
    """
    if file.is_blank():
        raise InvalidInput(f"{file.place} is empty; nothing was reported")
    reader, records = _Reader(), 0
    with closing(text_lines(file)) as lines:
        for number, line in enumerate(lines):
            records += reader.read(without_controls(line), number) == "finding"
            reader.forget()
    if not records and not _is_clean(file.head().decode(encoding_of(file.head()), "replace").splitlines()):
        raise InvalidInput(f"{file.place} has no line `file:line: message`; give what a linter printed")
    return Reading("lines", records, _outcomes(file))


def are_lines(opening: str) -> bool:
    """Return whether a text that begins with `opening` is what a linter or compiler printed, not words of a person."""
    lines = [line[:LINE_MAX] for line in opening.splitlines()[:_SAMPLE]]
    reader = _Reader()
    roles: list[_Role] = []
    strong = 0
    for number, line in enumerate(lines):
        roles.append(reader.read(without_controls(line), number))
        strong += reader.is_strong
    full = len(roles) - roles.count("blank")
    found = roles.count("finding")
    if not found:
        return _is_clean(lines) and roles.count("noise") == full
    if strong >= _SURE:
        return True
    shown = sum(
        role == "words" and after == "excerpt" for role, after in zip(roles, [*roles[1:], "blank"], strict=True)
    )
    known = full - roles.count("words") + shown
    if not strong:
        return known == full
    told = found + roles.count("note") + roles.count("excerpt")
    return known * 2 > full and told * _RARE >= full


def _is_clean(lines: list[str]) -> bool:
    return any(_CLEAN.match(line.strip()) for line in lines[:_SAMPLE])


def _outcomes(file: ReportFile) -> Generator[Outcome]:
    reader = _Reader()
    with closing(text_lines(file)) as lines:
        for number, line in enumerate(lines, 1):
            reader.read(without_controls(line), number)
            yield from reader.taken()
    reader.finish()
    yield from reader.taken()
