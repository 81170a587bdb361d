import subprocess
from pathlib import Path

import pytest

from tests.cli.test_hostile_folder import SCRIPT, assert_untouched, folder, hostile, run  # noqa: F401  # a fixture
from tests.forks import forked
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow


def test_the_demo_goes_once_round_the_loop_and_keeps_its_database(
    folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """It is started for real in a folder of somebody else's, as the commands of `test_hostile_folder` are."""
    hostile(folder)
    done = run(folder, SCRIPT, "demo", "--keep", str(tmp_path / "kept"), COLUMNS="160")
    assert done.returncode == 0, done.stderr
    assert_untouched(folder, done)
    for step in ("Issues in", "Lessons out", "the section for its prompt", "enacted", "suspend", "not among them"):
        assert step in done.stdout
    assert (tmp_path / "kept" / "lessonbook.db").exists()


def test_the_demo_does_not_touch_a_database_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "lessonbook.db").write_bytes(b"mine")
    command = forked("-m", "lessonbook", "demo", "--keep", str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode != 0
    assert "is there already" in done.stderr
    assert (tmp_path / "lessonbook.db").read_bytes() == b"mine"
