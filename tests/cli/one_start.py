"""The command, started once in a folder as the console script is, and forked for each set of arguments.

python one_start.py: it reads jobs from its standard input, a line of JSON each, and answers each with a line of JSON.
It imports every module of the package, so that whichever of them a command uses has been looked for from that folder.
"""

import gc
import importlib
import json
import os
import pkgutil
import sys
from typing import Any

from lessonbook.__main__ import main  # first, as in the console script

STREAMS = ("stdout", "stderr")


def begin(job: dict[str, Any]) -> None:
    """Do in this process what `lessonbook <arguments>` does."""
    for number, name in enumerate(STREAMS, 1):
        os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # the other has read ahead
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    sys.argv = ["lessonbook", *job["arguments"]]
    before = list(sys.path)
    try:
        main()
    finally:
        assert sys.path == before, sys.path  # else a file of the folder might be run later


if __name__ == "__main__":
    import lessonbook

    assert not {"", os.getcwd()}.intersection(sys.path), sys.path  # noqa: PTH109  # what `main` compares with
    for found in pkgutil.walk_packages(lessonbook.__path__, "lessonbook."):
        importlib.import_module(found.name)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        if not (child := os.fork()):
            begin(json.loads(line))
            sys.exit()
        print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])), flush=True)  # noqa: T201
