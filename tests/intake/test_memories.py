"""Memories of older installations become offers of lessons."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Refused
from lessonbook.intake import memories
from lessonbook.intake.memories import category_named, find_memories, read_memory, severity_named

FIXTURES = Path(__file__).parents[1] / "fixtures"
MEMORIES = FIXTURES / "agent_memories"


def written(folder: Path, content: object, name: str = "A_memory.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_a_list_of_texts_is_read_for_the_agent_its_file_names():
    agent, intake = read_memory(MEMORIES / "BackendDevelopmentAgent_memory.json")
    assert agent == "BackendDevelopmentAgent"
    assert len(intake.findings) == 3
    first = intake.findings[0]
    assert first.lesson == "Validate every request body against a schema before it reaches the service layer."
    assert first.description == first.lesson
    assert (first.severity, first.category, first.why) == (None, None, "")
    assert intake.refused == [
        Refused("BackendDevelopmentAgent_memory.json: lessons[2]", "has no text; put it under `lesson`")
    ]


def test_objects_are_read_under_the_names_people_used():
    _, intake = read_memory(MEMORIES / "DatabaseAgent_memory.json")
    assert [(finding.severity, finding.category) for finding in intake.findings] == [
        ("critical", "security"),
        ("medium", "performance"),
        ("high", "data"),
        (None, None),
        ("high", "reliability"),
        (None, None),
    ]
    assert all(finding.lesson == finding.description for finding in intake.findings)
    assert intake.findings[0].why == "A value that becomes part of the statement can rewrite it."
    assert intake.findings[5].why == "Two writers can both find nothing and both insert."


def test_entries_that_cannot_be_read_are_refused_with_their_place():
    _, intake = read_memory(MEMORIES / "DatabaseAgent_memory.json")
    assert [(refused.place.partition(": ")[2], refused.reason) for refused in intake.refused] == [
        ("lessons[6]", "has no text; put it under `lesson`"),
        ("lessons[7]", "is neither a text nor an object"),
        ("lessons[8]", "is marked as no longer active"),
    ]


def test_an_object_with_lessons_is_read():
    agent, intake = read_memory(MEMORIES / "FrontendDevelopmentAgent_memory.json")
    assert agent == "FrontendDevelopmentAgent"
    assert intake.findings == [
        Finding(
            description="Escape text that comes from users before it becomes markup.",
            lesson="Escape text that comes from users before it becomes markup.",
            severity="critical",
            category="security",
        ),
        Finding(
            description="Give every input a label that a screen reader can find.",
            lesson="Give every input a label that a screen reader can find.",
        ),
    ]


def test_a_broken_file_is_named_with_the_line_and_column():
    with pytest.raises(InvalidInput, match=r"^BrokenAgent_memory\.json is not valid JSON \(line 3, column \d+\)"):
        read_memory(MEMORIES / "BrokenAgent_memory.json")


@pytest.mark.parametrize("content", [{}, {"lessons": {}}, "text", 7, None])
def test_a_file_without_a_list_of_lessons_is_refused(tmp_path: Path, content: object):
    with pytest.raises(InvalidInput, match=r"^A_memory\.json holds no list of lessons"):
        read_memory(written(tmp_path, content))


def test_a_file_that_names_no_agent_is_refused(tmp_path: Path):
    for name in ("lessons.json", "_memory.json"):
        with pytest.raises(InvalidInput, match="does not say whose memory it is"):
            read_memory(written(tmp_path, [], name))


def test_a_file_that_is_gone_is_refused(tmp_path: Path):
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_memory(tmp_path / "A_memory.json")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memories, "MAX_BYTES", 1 << 20)
    with pytest.raises(InvalidInput, match=r"^A_memory\.json has more than 1 MiB; split it"):
        read_memory(written(tmp_path, ["x" * (1 << 20)]))
    assert len(read_memory(written(tmp_path, ["x" * 2_000]))[1].findings) == 1


def test_texts_that_cannot_be_kept_are_refused_alone(tmp_path: Path):
    _, intake = read_memory(
        written(tmp_path, ["x" * 2_001, "a\x00", "\ud800", {"lesson": "ok", "why": "y" * 2_001}, " fine "])
    )
    assert [finding.lesson for finding in intake.findings] == ["fine"]
    assert [refused.reason.split()[0] for refused in intake.refused] == ["lesson", "lesson", "lesson", "reason"]


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("HIGH", "high"),
        (" Error ", "high"),
        ("Blocker", "critical"),
        ("warn", "medium"),
        ("P3", "low"),
        (4, "critical"),
        (1, "low"),
    ],
)
def test_common_words_for_a_severity_are_known(word: object, severity: str):
    assert severity_named(word) == severity


@pytest.mark.parametrize("word", ["", "very", None, True, 0, 9, 2.0, [], {}])
def test_other_words_leave_the_severity_open(word: object):
    assert severity_named(word) is None


@pytest.mark.parametrize(
    ("word", "category"),
    [
        ("Sec", "security"),
        ("API design", "api-design"),
        ("error_handling", "reliability"),
        ("UI/UX", "ui"),
        ("x", None),
        (3, None),
    ],
)
def test_common_words_for_a_category_are_known(word: object, category: str | None):
    assert category_named(word) == category


def test_memories_are_found_in_a_file_a_folder_and_its_agent_memories():
    names = [
        "BackendDevelopmentAgent_memory.json",
        "BrokenAgent_memory.json",
        "DatabaseAgent_memory.json",
        "FrontendDevelopmentAgent_memory.json",
    ]
    assert [path.name for path in find_memories(MEMORIES)] == names
    assert [path.name for path in find_memories(FIXTURES)] == names
    assert find_memories(MEMORIES / names[0]) == [MEMORIES / names[0]]


def test_a_folder_without_memories_is_refused(tmp_path: Path):
    with pytest.raises(InvalidInput, match=r"holds no \*_memory\.json file"):
        find_memories(tmp_path)
    with pytest.raises(InvalidInput, match="does not exist"):
        find_memories(tmp_path / "gone")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["lessons", "lesson", "text", "severity", "category", "why", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANYTHING)
def test_any_json_is_read_or_invalid(tmp_path: Path, content: object):
    try:
        _, intake = read_memory(written(tmp_path, content))
    except InvalidInput:
        return
    assert all(finding.lesson.strip() for finding in intake.findings)
