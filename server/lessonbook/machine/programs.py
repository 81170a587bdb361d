"""Programs that are started by name: where they are, and how this one is started."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

_NAME: Final = "lessonbook"


def find_program(name: str) -> str | None:
    """Return the path of a program on the search path, or None.

    Relative entries, which lead into the working folder, do not count.
    """
    for place in os.get_exec_path():
        if Path(place).is_absolute() and (found := shutil.which(name, path=place)) and Path(found).is_absolute():
            return found
    return None


def own_command() -> list[str]:
    """Return the command that starts this program here, whatever the search path says.

    Without a console script it is `python -P -m`: without `-P` Python would run files of the working folder that are
    called like a library.
    """
    script = Path(sys.executable).with_name(_NAME + (".exe" if os.name == "nt" else ""))
    return [str(script)] if script.is_file() else [sys.executable, "-P", "-m", _NAME]


def shared_command() -> list[str]:
    """Return the command for a file that others share: the console script by its name, where it is on the path."""
    return [_NAME] if find_program(_NAME) else own_command()
