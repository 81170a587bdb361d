"""What the documents say can be done is there to be done."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lessonbook.edges.tool_table import OPERATIONS
from tests.cli.conftest import Run, run  # noqa: F401  # a fixture

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _shown(document: str) -> list[list[str]]:
    """Return every command of a document, as words."""
    blocks = re.findall(r"```sh\n(.*?)```", document, re.DOTALL)
    parts = [part for line in "\n".join(blocks).splitlines() for part in re.split(r"&&|\|\|", line.split("#")[0])]
    return [words for part in parts if (words := shlex.split(part))]


def _commands() -> list[list[str]]:
    """Return every `lessonbook …` command the README shows, as words."""
    return [words[words.index("lessonbook") + 1 :] for words in _shown(README) if "lessonbook" in words]


def _run_by_uv() -> list[list[str]]:
    """Return every `uv run …` command for contributors, as words."""
    return [
        words[words.index("run") + 1 :] for words in _shown(CONTRIBUTING) if ".uv/bin/uv" in words and "run" in words
    ]


def test_the_readme_shows_commands() -> None:
    assert len(_commands()) >= 5


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_every_command_of_the_readme_exists_with_its_options(run: Run, words: list[str]) -> None:  # noqa: F811
    path = [words[0], *words[1:2]] if words[0] in {"lessons", "db", "token"} else words[:1]
    shown = run(*path, "--help")
    assert shown.code == 0, shown.err
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.out


def test_an_agent_reads_what_the_readme_shows(run: Run) -> None:  # noqa: F811
    section = README[README.index("lessonbook lessons starter") :]
    starter, get = (shlex.split(line)[1:] for line in section[: section.index("```")].splitlines())
    assert run(*starter).code == 0
    shown = re.search(r"```text\n(.*?)```", section, re.DOTALL)
    assert shown
    drawn = re.compile(r"\b(?:L[a-z2-7]{10}|[0-9a-f]{12}|[a-z2-7]{26})\b")
    assert drawn.sub("*", run(*get).out) == drawn.sub("*", shown[1])


def test_the_readme_names_every_tool_once() -> None:
    table = README[README.index("| tool | for |") : README.index("Agents see the first five")]
    assert sorted(re.findall(r"`(\w+)`", table.replace("`lessonbook", ""))) == sorted(op.name for op in OPERATIONS)


def test_the_test_command_of_ci_is_the_readmes() -> None:
    assert re.search(r"^\.uv/bin/uv run pytest$", README, re.MULTILINE)
    assert "README.md" in (ROOT / ".ci" / "run").read_text()


def test_the_set_up_of_contributing_is_that_of_the_readme_and_names_a_group() -> None:
    first, second, sync, *_ = (shlex.join(words) for words in _shown(CONTRIBUTING))
    assert f"{first} && {second} && " in README
    assert sync.removeprefix(".uv/bin/uv sync --group ") in PROJECT["dependency-groups"]


def test_every_program_that_contributors_run_is_in_the_environment() -> None:
    groups = PROJECT["dependency-groups"]
    installed = {re.split(r"[^\w-]", wanted)[0] for wanted in (*groups["dev"], *groups["lint"])}
    programs = {words[0] for words in _run_by_uv()}
    assert programs == {"pytest", "ruff", "basedpyright", "lint-imports"}
    assert programs - {"lint-imports"} | {"import-linter"} <= installed


COLLECT = """
import json, sys
import pytest

for arguments in json.loads(sys.argv[1]):
    if code := pytest.main(arguments):
        sys.exit(f"pytest {arguments} ended with {code}")
"""


@pytest.mark.slow
def test_every_selection_of_contributing_selects_tests(tmp_path: Path) -> None:
    selections = [words[1:] for words in _run_by_uv() if words[0] == "pytest"]
    assert len(selections) > 3
    more = ["-n0", "--collect-only", "-q", "-o", f"cache_dir={tmp_path}"]
    # All tests take long to collect.
    files = [[] if ".py" in " ".join(words) else ["tests/store/test_serving.py"] for words in selections]
    arguments = json.dumps([[*words, *file, *more] for words, file in zip(selections, files, strict=True)])
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]


def test_the_golden_files_are_written_as_contributing_says() -> None:
    ((variable, *_, file),) = (words for words in _shown(CONTRIBUTING) if "=" in words[0])
    assert variable.partition("=")[0] in (ROOT / file).read_text()


def test_every_file_that_contributing_and_the_glossary_name_exists() -> None:
    named = re.findall(r"\]\(([\w./-]+)\)|`((?:tests|bench|server|docs)/[\w./-]*)`", CONTRIBUTING)
    assert [name for pair in named if (name := "".join(pair)) and not (ROOT / name).exists()] == []
    words = re.findall(r"^\| .+ \| .+ \| `([\w./]+)` \|$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert len(words) > 50
    assert [name for name in words if not (ROOT / "server" / "lessonbook" / name).exists()] == []


def test_a_word_is_in_the_glossary_once_and_what_is_to_be_renamed_is_there() -> None:
    meant, _, renamed = (ROOT / "docs" / "glossary.md").read_text().partition("## To be renamed")
    words = re.findall(r"^\| ([\w ,]+) \| .+ \| `", meant, re.MULTILINE)
    assert sorted(words) == sorted(set(words))
    for word, file in re.findall(r"^\| `(\w+)` \| .+ \| `([\w./]+)` \|$", renamed, re.MULTILINE):
        text = (ROOT / "server" / "lessonbook" / file).read_text()
        assert re.search(rf"\b{word}\b", text), f"{word} is not in {file} any more: take its row out of the glossary"


def test_the_newest_changes_come_first_and_every_release_has_a_date() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    releases = [re.fullmatch(r"(\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)", heading) for heading in headings[1:]]
    dates = [release.group(2) for release in releases if release]
    assert len(dates) == len(headings) - 1
    assert dates == sorted(dates, reverse=True)


def test_the_documents_speak_of_this_project_only() -> None:
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "config.example.toml"):
        assert str(ROOT) not in (ROOT / name).read_text()


def test_every_module_of_the_picture_exists() -> None:
    picture = (ROOT / "ARCHITECTURE.md").read_text().split("```")[1]
    for folder in re.findall(r"^  (\w+)/", picture, re.MULTILINE):
        assert (ROOT / "server" / "lessonbook" / folder).is_dir(), folder
