"""A process that uses a lesson book hard, told by its arguments how. It says on stdout what was acknowledged.

    worker.py write URL NAME COUNT           one process: COUNT reports, each with a key of its own
    worker.py crowd URL PROCESSES COUNT      that many processes at once, forked before any has opened the database
    worker.py killed URL ROUNDS SEED         in each round, a process that works until it is killed at some moment
    worker.py disk URL COUNT ERROR CALL...   COUNT reports, then COUNT more while these system calls fail with ERROR

It is started by `tests.forks`: importing, and what is made at first use, cost more than all the rest. The parent of
processes never opens the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

from lessonbook.config.settings import Settings
from lessonbook.domain.agent_tools import Application, LessonQuery, Report, ReportedIssue
from lessonbook.domain.errors import Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.services.feedback import applications
from lessonbook.services.opening import open_workspace
from lessonbook.services.report import refinement
from lessonbook.services.serve import delivery
from lessonbook.services.workspace import Workspace
from lessonbook.store import postgres, sqlite  # noqa: F401  # warm, whichever it will be

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.faults.syscalls import let_fail  # beside this script, wherever it is started

T = TypeVar("T")
AGENT = "BackendDevelopmentAgent"
LETTERS = "bcdfgjkmqv"
"""Consonants: with vowels two numbers could look like forms of one word, and their issues be merged."""
KILLED_AFTER_S = 0.12
"""The latest moment of a kill, counted from the last acknowledgement that was waited for."""
LINES_MAX = 6
"""How many acknowledgements are waited for at most: two turns of the loop."""
KILLED_AT_START_S = 0.4
"""The same of every fourth one, counted from the start: while it migrates or opens the database."""


def named(number: int) -> str:
    """Return a word for a number: digits alone would not make another problem of an issue."""
    return "kind" + "".join(LETTERS[int(digit)] for digit in str(number))


def an_issue(name: str) -> ReportedIssue:
    return ReportedIssue(
        description=" ".join(f"{part}{name}" for part in ("case", "seen", "told")),
        lesson=f"Check the length of every {name} upload against its limit before reading it.",
    )


async def insist(act: Callable[[], Awaitable[T]]) -> T:
    """Do as the error says where the database had no time: send the same again, under the same key."""
    while True:
        with contextlib.suppress(Unavailable):
            return await act()


async def opened(url: str) -> Workspace:
    settings = Settings.model_validate({"project": "demo", "database": {"url": url}})
    return await insist(lambda: open_workspace(settings))


async def report_one(work: Workspace, caller: Caller, name: str, say: Callable[[str], None]) -> str:
    wanted = Report(agent_name=AGENT, issues=[an_issue(name)], idempotency_key=name)
    made = await insist(lambda: refinement.report_issues(work, caller, wanted))
    say(f"report {name}")
    lesson_id = made.issues[0].lesson_id
    assert lesson_id
    return lesson_id


async def write(url: str, first: int, count: int, say: Callable[[str], None]) -> None:
    """Report `count` issues, numbered from `first`."""
    work = await opened(url)
    for number in range(first, first + count):
        await report_one(work, Caller("demo", "worker"), named(number), say)
    await work.store.close()


async def write_on_a_bad_disk(url: str, count: int, error: int, calls: list[str]) -> list[str]:
    """Report before and after system calls begin to fail, on SQLite; what is refused is said in its own words."""
    sqlite.WAL_CHECK_EVERY = 2  # pyright: ignore[reportPrivateUsage]  # so that the log is moved into the file meanwhile
    work = await opened(url)
    said: list[str] = []
    for number in range(10, 10 + 2 * count):
        if number == 10 + count:
            let_fail(calls, error)
        wanted = Report(agent_name=AGENT, issues=[an_issue(named(number))], idempotency_key=named(number))
        try:
            await refinement.report_issues(work, Caller("demo", "worker"), wanted)
        except Unavailable as refusal:
            said.append(f"refused {refusal}")
        else:
            said.append(f"report {named(number)}")
    await work.store.close()
    return said


async def turn(url: str, first: int, say: Callable[[str], None]) -> None:
    """Turn the loop for ever, beginning again with what the process before may have left undone."""
    work = await opened(url)
    agent, qa = Caller("demo", "worker"), Caller("demo", "qa")
    number = first
    while True:
        name = named(number)
        lesson_id = await report_one(work, agent, name, say)
        query = LessonQuery(agent_name=AGENT, task=name, run_id=name)
        served = await insist(lambda: delivery.get_lessons(work, agent, query))  # noqa: B023  # awaited at once
        say(f"run {name} {len(served.lessons)}")
        applied = Application(run_id=name, lesson_ids=[lesson_id], idempotency_key=name)
        await insist(lambda: applications.record_application(work, agent, applied))  # noqa: B023  # as above
        verdict = Application(
            run_id=name, lesson_ids=[lesson_id], prevented_issue=number % 2 == 0, source="qa", idempotency_key=name
        )
        await insist(lambda: applications.record_application(work, qa, verdict))  # noqa: B023  # as above
        say(f"verdict {name}")
        number += 1


def forked(act: Callable[[Callable[[str], None]], Coroutine[None, None, None]]) -> tuple[int, Pipe]:
    """Start a process that does `act`; returns its id and the pipe on which it says what it has done."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, Pipe(reading)
    os.close(reading)
    status = 1
    try:
        asyncio.run(act(lambda line: tell(writing, line)))
        status = 0
    except BaseException as error:  # noqa: BLE001  # told to the parent, whatever it is
        tell(writing, f"error {error!r}")
    finally:
        os._exit(status)


def tell(pipe: int, line: str) -> None:
    """Say a line on a pipe, at once."""
    os.write(pipe, f"{line}\n".encode())


class Pipe:
    """What a process says on its pipe, line by line."""

    def __init__(self, reading: int) -> None:
        self._reading = reading
        self._lines: deque[str] = deque()
        self._rest = b""

    def lines(self, until: float | None = None) -> Iterator[str]:
        """Yield lines to the end of the pipe, or as long as `until` (a moment of the monotonic clock) allows."""
        while True:
            while self._lines:
                yield self._lines.popleft()
            left = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([self._reading], [], [], left)[0]:
                return
            content = os.read(self._reading, 65_536)
            if not content:
                return
            *whole, self._rest = (self._rest + content).split(b"\n")
            self._lines.extend(line.decode() for line in whole)

    def close(self) -> None:
        os.close(self._reading)


def crowd(url: str, processes: int, count: int) -> list[str]:
    """Let many processes write at once, and return what all of them said."""
    started = [
        forked(lambda say, number=number: write(url, number * 1_000, count, say)) for number in range(1, processes + 1)
    ]
    said: list[str] = []
    for process, pipe in started:
        said += pipe.lines()
        pipe.close()
        os.waitpid(process, 0)
    return said


def killed(url: str, rounds: int, seed: int) -> list[str]:
    """Kill a working process in each round, and return what all of them had said."""
    moments = random.Random(seed)
    said: list[str] = []
    number = 10
    for round_number in range(rounds):
        process, pipe = forked(lambda say, number=number: turn(url, number, say))
        if round_number % 4:
            said += itertools.islice(pipe.lines(), moments.randint(1, LINES_MAX))
            longest_s = KILLED_AFTER_S
        else:
            longest_s = KILLED_AT_START_S
        said += pipe.lines(time.monotonic() + moments.uniform(0, longest_s))
        os.kill(process, signal.SIGKILL)
        said += pipe.lines()  # what it had said before it died
        pipe.close()
        os.waitpid(process, 0)
        done = [line.split()[1] for line in said if line.startswith("verdict ")]
        number = 10 + len(done)  # the one after: it was cut short, and is sent again under the same key
    return said


def main() -> None:
    command, url, *rest = sys.argv[1:]
    if command == "write":
        asyncio.run(write(url, int(rest[0]), int(rest[1]), print))
        return
    match command:
        case "crowd":
            said = crowd(url, int(rest[0]), int(rest[1]))
        case "killed":
            said = killed(url, int(rest[0]), int(rest[1]))
        case _:
            said = asyncio.run(write_on_a_bad_disk(url, int(rest[0]), int(rest[1]), rest[2:]))
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
