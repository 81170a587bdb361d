import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Run

AGENT = "BackendDevelopmentAgent"


def test_a_backup_is_put_back_by_force_and_what_was_there_is_kept(run: Run) -> None:
    run("lessons", "add", "Close every file in the block that opened it.", "--agent", AGENT)
    done = run("backup", "copy.db")
    assert done.code == 0, done.err
    assert "1 lessons" in done.out
    assert stat.S_IMODE(Path("copy.db").stat().st_mode) == 0o600
    run("lessons", "add", "Name the unit of every number in its name.", "--agent", AGENT)
    refused = run("restore", "copy.db")
    assert refused.code == 2
    assert "1 lessons, 0 issues) will replace sqlite:///" in refused.err
    assert "2 lessons, 0 issues)." in refused.err
    assert "--force" in refused.err
    restored = run("restore", "copy.db", "--force", "--json")
    assert restored.code == 0, restored.err
    assert restored.json["rows"]["agent_lessons"] == 1
    assert stat.S_IMODE(Path(restored.json["kept"]).stat().st_mode) == 0o600
    assert len(run("lessons", "list", "--json").json["lessons"]) == 1
    assert run("restore", restored.json["kept"], "--force").code == 0
    assert len(run("lessons", "list", "--json").json["lessons"]) == 2


@pytest.mark.first_use
def test_a_backup_needs_a_database_and_a_new_file(run: Run) -> None:
    assert "nothing to back up" in run("backup", "copy.db").err
    run("db", "upgrade")
    Path("copy.db").write_text("mine")
    done = run("backup", "copy.db")
    assert done.code == 2
    assert "exists" in done.err
