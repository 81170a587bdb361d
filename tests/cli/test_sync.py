"""`lessonbook sync`: a block between marks, and not a byte elsewhere."""

from pathlib import Path

import pytest

from lessonbook.cli.instructions import BEGIN, END
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\n",
        b"# Rules\n\nBe kind.\n",
        b"# Rules\n\nBe kind.",
        b"# Rules\r\n\r\nBe kind.\r\n",
        b"# Rules\r\nBe kind.",
        b"caf\xe9 \xff\n",
        "# Règles\n\n\n".encode(),
    ],
)
def test_the_block_comes_and_goes_and_the_rest_stays(run: Run, before: bytes) -> None:
    Path("AGENTS.md").write_bytes(before)
    assert run("sync", "--check").code == 1
    assert Path("AGENTS.md").read_bytes() == before
    shown = run("sync", "--yes")
    assert shown.code == 0
    assert "+- Before you write code" in shown.out
    with_block = Path("AGENTS.md").read_bytes()
    assert with_block.startswith(before)
    assert with_block.endswith(b"\n") == (before.endswith(b"\n") or not before)
    assert (b"\r\n" in with_block) == (b"\r\n" in before)
    assert run("sync", "--check").code == 0
    assert run("sync", "--yes").out.strip() == "AGENTS.md: nothing to change."
    assert Path("AGENTS.md").read_bytes() == with_block
    assert run("sync", "--remove", "--yes").code == 0
    assert (Path("AGENTS.md").read_bytes() if before else b"") == before


def test_a_changed_block_is_replaced_where_it_is(run: Run) -> None:
    run("sync", "--yes")
    block = Path("AGENTS.md").read_text()
    Path("AGENTS.md").write_text(f"before\n{BEGIN}\nold words\n{END}\nafter\n")
    assert "-old words" in run("sync", "--yes").out
    assert Path("AGENTS.md").read_text() == f"before\n{block}after\n"


@pytest.mark.parametrize("text", [f"{BEGIN}\n", f"{END}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n"])
def test_marks_that_are_not_one_pair_are_refused(run: Run, text: str) -> None:
    Path("AGENTS.md").write_text(text)
    refused = run("sync", "--yes")
    assert refused.code == 2
    assert "leave one pair" in refused.err
    assert Path("AGENTS.md").read_text() == text


def test_other_files_are_named_and_then_found(run: Run) -> None:
    assert run("sync", "--file", "CLAUDE.md", "--file", "GEMINI.md", "--yes").code == 0
    assert not Path("AGENTS.md").exists()
    Path("CLAUDE.md").write_text("Mine.\n" + Path("CLAUDE.md").read_text().replace("Follow", "Ignore"))
    assert [file["file"] for file in run("sync", "--json").json["files"]] == ["CLAUDE.md", "GEMINI.md"]
    assert run("sync", "--yes").code == 0
    assert "Ignore" not in Path("CLAUDE.md").read_text()


def test_a_link_that_leads_elsewhere_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    Path("AGENTS.md").symlink_to(tmp_path / "mine.txt")
    assert run("sync", "--yes").code == 2
    assert (tmp_path / "mine.txt").read_text() == "x"


def test_a_file_that_held_nothing_else_is_removed(run: Run) -> None:
    run("sync", "--yes")
    assert run("sync", "--remove", "--yes").code == 0
    assert not Path("AGENTS.md").exists()
