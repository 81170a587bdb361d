"""Lessons of older installations, read from `{AgentName}_memory.json` files."""

from pathlib import Path
from typing import Final

from lessonbook.domain.documents import Unreadable, checked, index_of, is_list, is_object, load_json, text_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Intake
from lessonbook.domain.vocabulary import CATEGORIES, SEVERITIES, SEVERITY_OF_RANK, Category, Severity
from lessonbook.intake.report_file import ReportFile

SUFFIX: Final = "_memory.json"
FOLDER: Final = "agent_memories"
MAX_LESSON_CHARS: Final = 2_000
MAX_BYTES: Final = 16 * 1024 * 1024

_ADVICE: Final = "mend the file or leave it out"
_TEXT_KEYS: Final = ("lesson", "lesson_text", "text", "content", "rule", "description")
_WHY_KEYS: Final = ("why", "rationale", "reason")
_SEVERITY_WORDS: Final[dict[str, Severity]] = {
    **{name: name for name in SEVERITIES},
    **dict.fromkeys(("blocker", "fatal", "crit", "severe", "p0"), "critical"),
    **dict.fromkeys(("error", "major", "important", "p1"), "high"),
    **dict.fromkeys(("warning", "warn", "moderate", "normal", "med", "p2"), "medium"),
    **dict.fromkeys(("minor", "info", "note", "hint", "trivial", "p3"), "low"),
}
_CATEGORY_WORDS: Final[dict[str, Category]] = {
    **{name: name for name in CATEGORIES},
    **dict.fromkeys(("sec", "vulnerability", "auth", "authentication", "authorization", "privacy"), "security"),
    **dict.fromkeys(("bug", "logic", "functional", "functionality", "correct"), "correctness"),
    **dict.fromkeys(("perf", "speed", "latency", "efficiency"), "performance"),
    **dict.fromkeys(("error-handling", "resilience", "stability", "robustness", "concurrency"), "reliability"),
    **dict.fromkeys(("style", "quality", "code-quality", "readability", "refactoring", "design"), "maintainability"),
    **dict.fromkeys(("test", "tests", "qa"), "testing"),
    **dict.fromkeys(("api", "interface", "contract"), "api-design"),
    **dict.fromkeys(("database", "db", "sql", "schema", "migration", "data-quality"), "data"),
    **dict.fromkeys(("infra", "devops", "deployment", "ci", "config", "configuration", "docker"), "infrastructure"),
    **dict.fromkeys(("frontend", "ux", "ui-ux", "accessibility", "a11y", "css"), "ui"),
    **dict.fromkeys(("docs", "doc", "comments"), "documentation"),
    **dict.fromkeys(("general", "misc", "miscellaneous"), "other"),
}


def find_memories(path: Path) -> list[Path]:
    """Return the memory files at `path`, sorted: the file itself, or those of a folder and its `agent_memories`.

    Raises:
        InvalidInput: there is nothing at `path`, or no memory file in it.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InvalidInput(f"{path} does not exist; give a {{AgentName}}{SUFFIX} file or the folder that holds them")
    found = [file for folder in (path, path / FOLDER) for file in folder.glob(f"*{SUFFIX}") if file.is_file()]
    if not found:
        raise InvalidInput(f"{path} holds no *{SUFFIX} file; give the folder that holds {FOLDER}")
    return sorted(found)


def read_memory(path: Path) -> tuple[str, Intake]:
    """Return the agent a memory file is named after, and its lessons as findings that offer them.

    A memory is a list of texts or objects, or an object with such a list under `lessons`. Entries that cannot be read
    are refused one by one, with their place (`lessons[3]`).

    Raises:
        InvalidInput: the file cannot be read, has another name, or does not hold such a list.
    """
    agent = path.name.removesuffix(SUFFIX)
    if agent in {"", path.name}:
        raise InvalidInput(f"{path.name} does not say whose memory it is; name it {{AgentName}}{SUFFIX}")
    with ReportFile(path, path.name).open() as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{path.name} has more than {MAX_BYTES >> 20} MiB; split it")
    content = load_json(data, place=path.name, advice=_ADVICE)
    entries = content.get("lessons") if is_object(content) else content
    if not is_list(entries):
        raise InvalidInput(f"{path.name} holds no list of lessons; {_ADVICE}")
    intake = Intake()
    for number, entry in enumerate(entries):
        try:
            intake.findings.append(_finding(entry))
        except Unreadable as error:
            intake.refuse(f"{path.name}: lessons[{number}]", str(error))
    return agent, intake


def severity_named(value: object) -> Severity | None:
    """Return the severity that a word or rank stands for ("HIGH", "blocker", 4), or None."""
    rank = index_of(value)
    return SEVERITY_OF_RANK.get(rank) if rank is not None else _SEVERITY_WORDS.get(_plain(value))


def category_named(value: object) -> Category | None:
    """Return the category that a word stands for ("sec", "API design"), or None."""
    return _CATEGORY_WORDS.get(_plain(value))


def _plain(value: object) -> str:
    return "-".join(text_of(value).casefold().replace("_", " ").replace("/", " ").replace("-", " ").split())


def _finding(entry: object) -> Finding:
    if isinstance(entry, str):
        text = _lesson(entry)
        return Finding(description=text, lesson=text)
    if not is_object(entry):
        raise Unreadable("is neither a text nor an object")
    if entry.get("is_active") is False:
        raise Unreadable("is marked as no longer active")
    text = _lesson(_first(entry, _TEXT_KEYS))
    return Finding(
        description=text,
        severity=severity_named(entry.get("severity")),
        category=category_named(entry.get("category")),
        lesson=text,
        why=checked(_first(entry, _WHY_KEYS), "reason", max_chars=MAX_LESSON_CHARS).strip(),
    )


def _lesson(text: str) -> str:
    lesson = checked(text, "lesson", max_chars=MAX_LESSON_CHARS).strip()
    if not lesson:
        raise Unreadable(f"has no text; put it under `{_TEXT_KEYS[0]}`")
    return lesson


def _first(entry: dict[str, object], keys: tuple[str, ...]) -> str:
    return next((text for key in keys if (text := text_of(entry.get(key))).strip()), "")
