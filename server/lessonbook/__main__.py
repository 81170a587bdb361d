"""The command `lessonbook`, and `python -m lessonbook`."""

import gc
import os
import site
import sys

_OBJECTS_BETWEEN_COLLECTIONS = 1_000_000
"""How many more objects than before are left until unreachable cycles are looked for; by default 700.

A command makes fewer and is over. `lessonbook.cli.serve` sets a lower number, as a server stays.
"""


def _leave_working_folder() -> None:
    """Take the working folder off the module search path.

    `python -m` without `-P` and an empty entry in PYTHONPATH put it there, and then Python would run a file of a cloned
    repository that has the name of a library.
    """
    try:
        here = os.getcwd()  # noqa: PTH109  # no import before this
    except FileNotFoundError:  # it was removed
        return
    sys.path[:] = [place for place in sys.path if place and (place != here or place in site.getsitepackages())]


_leave_working_folder()
gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


def main() -> None:
    """Run the command line; a client's hook without what only people need, as somebody waits for it."""
    if sys.argv[1:2] == ["hook"]:
        from lessonbook.hooks.command import quick_options, run_hook  # noqa: PLC0415  # after `_leave_working_folder`

        if (options := quick_options(sys.argv[2:])) is not None:
            run_hook(options)
    from lessonbook import cli  # noqa: PLC0415  # the same

    try:
        cli.main()
    finally:
        gc.freeze()  # as the process ends, Python would look for cycles among all that was imported


if __name__ == "__main__":
    main()
