"""A disk that is full, or does not take what it is told to keep: callers are told, and nothing acknowledged is lost."""

import pytest

from tests.faults import syscalls
from tests.faults.soundness import afterwards, assert_sound, stored_keys
from tests.faults.test_processes import said_by

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(not syscalls.IS_POSSIBLE, reason="only Linux lets system calls fail without privileges"),
]

COUNT = 6


@pytest.mark.parametrize("dialect", ["sqlite"])
@pytest.mark.parametrize(
    ("calls", "error", "told"),
    [
        (["pwrite64"], syscalls.FULL, "The disk is full"),
        (["pwrite64"], syscalls.BROKEN, "The disk does not answer"),
        (["fsync", "fdatasync"], syscalls.BROKEN, "The disk does not answer"),
    ],
    ids=["full", "broken", "keeps nothing"],
)
async def test_whoever_writes_to_a_bad_disk_is_told_and_nothing_is_half_there(
    empty_url: str, calls: list[str], error: int, told: str
) -> None:
    said = said_by("disk", empty_url, COUNT, error, *calls)
    acknowledged = [line.removeprefix("report ") for line in said if line.startswith("report ")]
    refused = [line for line in said if line.startswith("refused ")]
    assert len(acknowledged) + len(refused) == 2 * COUNT
    assert [line for line in refused if told not in line or "Nothing was changed" not in line] == []
    if "pwrite64" in calls:
        assert len(refused) == COUNT
    async with afterwards(empty_url) as work:
        await assert_sound(work, acknowledged)
        assert await stored_keys(work, "report_issues") == set(acknowledged)
