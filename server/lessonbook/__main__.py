"""The command `lessonbook`, and `python -m lessonbook`."""

import os
import site
import sys


def _leave_working_folder() -> None:
    """Take the working folder off the module search path.

    `python -m` without `-P` and an empty entry in PYTHONPATH put it there, and then a file of a cloned repository that
    is called like a library would be run.
    """
    try:
        here = os.getcwd()  # noqa: PTH109  # nothing is imported before
    except FileNotFoundError:  # it was removed
        return
    sys.path[:] = [place for place in sys.path if place and (place != here or place in site.getsitepackages())]


_leave_working_folder()

from lessonbook.cli import main  # noqa: E402  # see above

if __name__ == "__main__":
    main()
