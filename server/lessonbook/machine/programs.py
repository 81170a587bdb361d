"""Where programs are on the search path, and how this one is started."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

_NAME: Final = "lessonbook"


def find_program(name: str) -> str | None:
    """Return the path of a program on the search path, or None.

    Relative entries are skipped, since they lead into the working folder.
    """
    for place in os.get_exec_path():
        if Path(place).is_absolute() and (found := shutil.which(name, path=place)) and Path(found).is_absolute():
            return found
    return None


def own_command() -> list[str]:
    """Return the command that starts this program on this machine, independent of the search path.

    It is the console script, else `python -P -m`: without `-P` Python would run files of the working folder that have
    the name of a library.
    """
    script = Path(sys.executable).with_name(_NAME + (".exe" if os.name == "nt" else ""))
    return [str(script)] if script.is_file() else [sys.executable, "-P", "-m", _NAME]
