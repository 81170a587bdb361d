"""Writers of one SQLite file pass in the order in which they came; whoever stops waiting or dies holds up nobody."""

import contextlib
import math
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lessonbook.store.writer_queue import WriterQueue
from tests.patience import PATIENCE_S

NOW = -math.inf

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"])


@contextlib.contextmanager
def queues(folder: Path, count: int) -> Iterator[list[WriterQueue]]:
    """Places to wait in front of one file, each as a process of its own would have it."""
    made = [WriterQueue(folder / "lessons.db.queue") for _ in range(count)]
    yield made
    for queue in made:
        queue.close()


def patience() -> float:
    return time.monotonic() + PATIENCE_S


def is_free(queue: WriterQueue) -> bool:
    with queue.turn(NOW) as came:
        return came


def waiters(path: Path) -> int:
    """Return how many wait for the lock of a file, as the kernel tells."""
    number = f":{path.stat().st_ino} "
    return sum("->" in line and number in line for line in Path("/proc/locks").read_text().splitlines())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who waits for a lock")
def test_writers_pass_in_the_order_in_which_they_came(tmp_path: Path, dialect: str) -> None:
    passed: list[int] = []
    with queues(tmp_path, 13) as (holder, *others):

        def write(number: int, queue: WriterQueue) -> None:
            with queue.turn(patience()) as came:
                assert came
                passed.append(number)

        threads = [threading.Thread(target=write, args=one) for one in enumerate(others)]
        with holder.turn(NOW) as came:
            assert came
            for place, thread in enumerate(threads):
                thread.start()
                while waiters(tmp_path / "lessons.db.queue") <= place:
                    pass
        for thread in threads:
            thread.join(PATIENCE_S)
    assert passed == list(range(12))


def test_who_has_waited_long_enough_is_told_and_leaves_the_queue(tmp_path: Path, dialect: str) -> None:
    with queues(tmp_path, 3) as (holder, hasty, patient):
        with holder.turn(NOW):
            for _ in range(3):
                with hasty.turn(time.monotonic() + 0.01) as came:
                    assert not came
        with patient.turn(patience()) as came:
            assert came
        with hasty.turn(patience()) as came:
            assert came


def test_whoever_does_not_wait_passes_only_where_nobody_else_writes(tmp_path: Path, dialect: str) -> None:
    with queues(tmp_path, 2) as (one, other):
        with one.turn(NOW) as came:
            assert came
            assert not is_free(other)
            assert not is_free(one)
        assert is_free(other)


def test_a_holder_that_is_killed_lets_the_next_one_pass(tmp_path: Path, dialect: str) -> None:
    code = (
        "import math, pathlib, sys\n"
        "from lessonbook.store.writer_queue import WriterQueue\n"
        "with WriterQueue(pathlib.Path(sys.argv[1])).turn(-math.inf) as came:\n"
        "    print(came, flush=True); sys.stdin.read()\n"
    )
    path = tmp_path / "lessons.db.queue"
    with (
        subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder,
        queues(tmp_path, 1) as (queue,),
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not is_free(queue)
        holder.send_signal(signal.SIGKILL)
        with queue.turn(patience()) as came:
            assert came


def test_giving_up_ends_the_wait_and_closing_leaves_no_lock(tmp_path: Path, dialect: str) -> None:
    ended: list[bool] = []
    with queues(tmp_path, 3) as (holder, waiting, third):

        def write() -> None:
            with waiting.turn(patience()) as came:
                ended.append(came)

        with holder.turn(NOW):
            thread = threading.Thread(target=write)
            thread.start()
            waiting.give_up()
            thread.join(PATIENCE_S)
            waiting.close()
        assert ended == [False]
        with third.turn(patience()) as came:
            assert came


def test_where_the_file_cannot_be_made_everybody_passes(tmp_path: Path, dialect: str) -> None:
    (tmp_path / "lessons.db.queue").mkdir()
    with queues(tmp_path, 2) as (one, other), one.turn(NOW) as came:
        assert came
        assert is_free(other)


def test_the_file_is_the_owners_alone(tmp_path: Path, dialect: str) -> None:
    with queues(tmp_path, 1) as (queue,):
        assert is_free(queue)
    assert stat.S_IMODE((tmp_path / "lessons.db.queue").stat().st_mode) == 0o600
