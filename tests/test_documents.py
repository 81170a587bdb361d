"""What the documents say can be done is there to be done."""

import re
import shlex
from pathlib import Path

import pytest

from lessonbook.edges.operations import OPERATIONS
from tests.cli.conftest import Run, run  # noqa: F401  # a fixture

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def _commands() -> list[list[str]]:
    """Return every `lessonbook …` command the README shows, as words."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    found: list[list[str]] = []
    for line in "\n".join(blocks).splitlines():
        for part in re.split(r"&&|\|\|", line.split("#")[0]):
            words = shlex.split(part)
            if "lessonbook" in words:
                found.append(words[words.index("lessonbook") + 1 :])
    return found


def test_the_readme_shows_commands() -> None:
    assert len(_commands()) >= 5


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_every_command_of_the_readme_exists_with_its_options(run: Run, words: list[str]) -> None:  # noqa: F811
    path = [words[0], *words[1:2]] if words[0] in {"lessons", "db"} else words[:1]
    shown = run(*path, "--help")
    assert shown.code == 0, shown.err
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.out


def test_the_readme_names_every_tool_once() -> None:
    table = README[README.index("| tool | for |") : README.index("Agents see the first five")]
    assert sorted(re.findall(r"`(\w+)`", table.replace("`lessonbook", ""))) == sorted(op.name for op in OPERATIONS)


def test_the_test_command_of_ci_is_the_readmes() -> None:
    assert re.search(r"^\.uv/bin/uv run pytest$", README, re.MULTILINE)
    assert "README.md" in (ROOT / ".ci" / "run").read_text()


def test_the_documents_speak_of_this_project_only() -> None:
    for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "config.example.toml"):
        assert str(ROOT) not in (ROOT / name).read_text()


def test_every_module_of_the_picture_exists() -> None:
    picture = (ROOT / "ARCHITECTURE.md").read_text().split("```")[1]
    for folder in re.findall(r"^  (\w+)/", picture, re.MULTILINE):
        assert (ROOT / "server" / "lessonbook" / folder).is_dir(), folder
