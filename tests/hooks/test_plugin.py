"""The plugin for Claude Code, and what clients are told to run."""

import json
from pathlib import Path

import pytest

from lessonbook.about import VERSION
from lessonbook.hooks.registration import FILES, hooks_of
from tests.cli.conftest import Run, run  # noqa: F401  # a fixture

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugin"
PACKAGED = ROOT / "server" / "lessonbook" / "data" / "skills"


def content(path: Path) -> dict[str, object]:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_marketplace_names_the_plugin() -> None:
    (entry,) = content(ROOT / ".claude-plugin" / "marketplace.json")["plugins"]  # type: ignore[misc]
    manifest = content(PLUGIN / ".claude-plugin" / "plugin.json")
    assert (ROOT / entry["source"]).resolve() == PLUGIN
    assert {key: entry[key] for key in ("name", "description")} == {
        key: manifest[key] for key in ("name", "description")
    }
    assert manifest["version"] == VERSION


def test_the_plugins_hooks_are_those_that_are_printed(run: Run) -> None:  # noqa: F811
    assert content(PLUGIN / "hooks" / "hooks.json") == hooks_of("claude-code")
    for client in FILES:
        printed = run("hook", "--print", client)
        assert json.loads(printed.out) == hooks_of(client)
        assert FILES[client].split()[0] in printed.err


def test_the_plugins_server_starts_with_options_that_exist(run: Run) -> None:  # noqa: F811
    server = content(PLUGIN / ".mcp.json")["mcpServers"]["lessonbook"]  # type: ignore[index]
    command, *options = server["args"]
    shown = run(command, "--help").out
    assert server["command"] == "lessonbook"
    assert all(option in shown for option in options)


def test_every_skill_has_a_head_with_its_folders_name() -> None:
    skills = sorted((PLUGIN / "skills").glob("*/SKILL.md"))
    assert skills
    for skill in skills:
        head = skill.read_text(encoding="utf-8").split("---")[1]
        assert f"\nname: {skill.parent.name}\n" in head
        assert "\ndescription: " in head


@pytest.mark.parametrize("skill", sorted(PACKAGED.glob("*/SKILL.md")), ids=lambda path: path.parent.name)
def test_every_packaged_skill_is_in_the_plugin_word_for_word(skill: Path) -> None:
    assert (PLUGIN / "skills" / skill.parent.name / "SKILL.md").read_bytes() == skill.read_bytes()
