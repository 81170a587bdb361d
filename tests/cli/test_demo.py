"""A demo beside what is there already. How it goes: `test_hostile_folder.py`."""

import subprocess
from pathlib import Path

import pytest

from tests.forks import forked
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow


def test_the_demo_does_not_touch_a_database_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "lessonbook.db").write_bytes(b"mine")
    command = forked("-m", "lessonbook", "demo", "--keep", str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode != 0
    assert "is there already" in done.stderr
    assert (tmp_path / "lessonbook.db").read_bytes() == b"mine"
