"""The steps of docs/extending.md for a field of lessons and for a status: done to a copy of the package, and used."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "extending.md").read_text()

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "9999", "{newest}", None, None

TABLES = ("agent_lessons", "agent_lesson_versions")
TRIGGER = "CREATE TRIGGER agent_lesson_versions_tongue BEFORE UPDATE ON agent_lesson_versions"
ACT = {
    "sqlite": "WHEN new.tongue <> '' BEGIN SELECT RAISE(ABORT, 'agent_lesson_versions is append-only'); END",
    "postgresql": "FOR EACH ROW WHEN (NEW.tongue <> '') EXECUTE FUNCTION agent_lesson_versions_refuse()",
}


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("tongue", sa.Text(), server_default="", nullable=False))
    op.execute(f"{TRIGGER} {ACT[op.get_bind().dialect.name]}")


def downgrade() -> None:
    on_table = " ON agent_lesson_versions" if op.get_bind().dialect.name == "postgresql" else ""
    op.execute(f"DROP TRIGGER agent_lesson_versions_tongue{on_table}")
    for table in TABLES:
        op.drop_column(table, "tongue")
"""
OPTION = '    tongue: Annotated[str, typer.Option(help="The language that it is worded in.")] = "",\n'
FIELD: Mapping[str, Sequence[tuple[str, str]]] = {
    "store/tables.py": [
        (
            r'    \*_columns\(Text, "agent_name", "lesson_text", "rationale"\),\n',
            '    *_columns(Text, "tongue", default=""),\n',
        ),
        (r'"status", "lesson_text", "rationale"\),\n', '    *_columns(Text, "tongue", default=""),\n'),
    ],
    "domain/lesson.py": [
        (r"class LessonWords:.*?    category: Category\n", '    tongue: str = ""\n'),
        (r"class AuthoredWords\(.*?    why: .*?\n", '    tongue: Annotated[Text, Field(max_length=60)] = ""\n'),
        (r"class Lesson:.*?    proposal_for: .*?\n", '    tongue: str = ""\n'),
    ],
    "domain/lesson_reviews.py": [
        (r"class ListedLesson\(.*?    updated_at: str\n", '    tongue: str = ""\n'),
        (r"class LessonChange\(.*?    rationale: .*?\n", '    tongue: str = ""\n'),
    ],
    "cli/lessons.py": [
        (r"def add\(\n.*?    why: .*?\n", OPTION),
        (r'    about = \{"agent_name": agent, ', '"tongue": tongue, '),
    ],
    "cli/refine.py": [
        (r"def refine\(\n.*?    why: .*?\n", OPTION),
        (r"    if issues:\n.*?        authored = \{", '"tongue": tongue, '),
    ],
    "CHANGELOG.md": [(r"## Unreleased\n", "\n- Lessons say which language they are worded in.\n")],
}
STATUS: Mapping[str, Sequence[tuple[str, str]]] = {
    "domain/lesson_status.py": [
        (r"Status = Literal\[.*?", '"parked", '),
        (r"ReviewAction = Literal\[.*?", '"park", '),
        (r"DECISIONS: .*? = \{\n", '    "park": "Put a lesson aside until it is restored.",\n'),
        (r"TAKES_AWAY: .*?frozenset\(\{", '"park", '),
        (
            r"RULES: .*? = \{\n",
            '    "parked": StatusRule(rank=2, becomes={"restore": _RESTORED, **_ENDS}, keeps=_KEEPS),\n',
        ),
        (r'    "probation": StatusRule\(.*?becomes=\{\n', '            "park": ("parked",),\n'),
        (r'    "active": StatusRule\(.*?becomes=\{\n', '            "park": ("parked",),\n'),
    ],
    "README.md": [(r"\| `review_lesson` \| operators \| approve, ", "park, ")],
    "CHANGELOG.md": [(r"## Unreleased\n", "\n- Lessons can be parked.\n")],
}


def files_of(section: str) -> set[str]:
    """Return the files that the steps of a section of the guide name, without tests."""
    steps = "\n".join(
        re.findall(r"^\d+\..*?(?=^\S|\Z)", GUIDE.partition(f"\n## {section}\n")[2].partition("\n## ")[0], re.M | re.S)
    )
    return {name for name in re.findall(r"`([\w./-]+(?:\.\w+|/))`", steps) if not name.startswith("tests/")}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what is changed; the data of the package, which is not, is shared."""
    package = ROOT / "server" / "lessonbook"
    target = tmp_path / "server" / "lessonbook"
    shutil.copytree(package, target, ignore=shutil.ignore_patterns("data"))
    (target / "data").symlink_to(package / "data")
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    for name in ("README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def edit(copy: Path, edits: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Insert each text behind the first place that its pattern finds."""
    for name, insertions in edits.items():
        file = copy / name if (copy / name).exists() else copy / "server" / "lessonbook" / name
        text = file.read_text()
        for after, inserted in insertions:
            found = re.search(after, text, re.DOTALL)
            assert found, (name, after)
            text = text[: found.end()] + inserted + text[found.end() :]
        file.write_text(text)


def use(copy: Path, what: str, url: str) -> None:
    """Use the changed package in a process of its own."""
    script = Path(__file__).parent / "extended_lessons.py"
    environment = {**os.environ, "PYTHONPATH": str(copy / "server"), "LESSONBOOK_DATABASE_URL": url}
    done = subprocess.run(
        [sys.executable, "-P", str(script), what],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_field_of_lessons_takes_the_files_that_the_guide_names(copy: Path, empty_url: str) -> None:
    assert files_of("A field of lessons") == {"migrations/versions/", *FIELD}
    versions = copy / "migrations" / "versions"
    newest = max(file.name[:4] for file in versions.glob("[0-9]*.py"))
    (versions / "9999_tongue.py").write_text(MIGRATION.replace("{newest}", newest))
    edit(copy, FIELD)
    use(copy, "field", empty_url)


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_status_takes_the_files_that_the_guide_names(copy: Path, empty_url: str) -> None:
    assert files_of("A status") == set(STATUS)
    edit(copy, STATUS)
    use(copy, "status", empty_url)
