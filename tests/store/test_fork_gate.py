"""A process that forks while it writes: parent and child both write on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lessonbook.store import fork_gate
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

WRITES_ON = """
import anyio, os, sys, threading, traceback
from lessonbook.store.engine import connect
from lessonbook.store.urls import parse_address

url, in_write, wants_to_fork = sys.argv[1], threading.Event(), threading.Event()

def add(connection, name, wait=False):
    connection.exec_driver_sql("INSERT INTO names VALUES (?)", (name,))
    if wait:
        in_write.set()
        wants_to_fork.wait()

def act(*calls):
    async def whole():
        store = connect(parse_address(url))
        for call in calls:
            await store.write(call)
        await store.close()
    anyio.run(whole)

act(lambda connection: connection.exec_driver_sql("CREATE TABLE names (name TEXT)"))
writer = threading.Thread(target=act, args=(lambda connection: add(connection, "parent, in the fork", wait=True),))
writer.start()
in_write.wait()
os.register_at_fork(before=wants_to_fork.set)  # the last to be registered is called first
if (child := os.fork()) == 0:
    try:
        act(lambda connection: add(connection, "child"))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
writer.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
act(lambda connection: add(connection, "parent, later"))
act(lambda connection: print(sorted(connection.exec_driver_sql("SELECT name FROM names").scalars())))
"""


def test_a_child_forked_in_mid_write_writes_and_so_does_its_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITES_ON, f"sqlite:///{tmp_path / 'names.db'}"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE_S, text=True)
    assert done.stdout == "['child', 'parent, in the fork', 'parent, later']\n", done.stderr


def test_a_fork_does_not_wait_for_ever_for_a_transaction_of_its_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    gate = fork_gate.ForkGate(lambda: closed.append(True))
    monkeypatch.setattr(fork_gate, "PATIENCE_S", 0.0)
    with gate.passing():
        gate.shut()
        assert not closed
        gate.reopen()
    gate.shut()
    assert closed == [True]
    gate.reopen()
    with gate.passing():
        pass
