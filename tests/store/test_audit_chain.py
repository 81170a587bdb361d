import asyncio
from dataclasses import replace
from typing import Any

import pytest

from lessonbook.domain.lesson import Caller
from lessonbook.services.background.doctor_checks import diagnose
from lessonbook.services.workspace import Workspace
from lessonbook.store import audit
from tests.store.scenario import PROJECT, ask, counted, issue, play, scalar, tamper, tell

pytestmark = pytest.mark.anyio

Loop = Any


@pytest.fixture
async def played(work: Workspace, clock: Any, agent: Caller, qa: Caller, person: Caller) -> Workspace:
    """A workspace in which the loop has turned once."""
    await play(work, clock, agent, qa, person)
    return work


async def verified(work: Workspace, project: str = PROJECT) -> list[str]:
    return await work.store.read(lambda connection: audit.verify(connection, project))


async def numbers(work: Workspace) -> list[int]:
    return [row[0] for row in await ask(work.store, "SELECT seq FROM audit_log ORDER BY seq")]


async def test_the_chain_is_whole_after_the_loop_has_turned(played: Workspace) -> None:
    assert await verified(played) == []
    entries = await numbers(played)
    assert len(entries) > 8
    assert entries == list(range(1, len(entries) + 1))


async def test_a_changed_entry_is_seen(played: Workspace) -> None:
    changes = (
        "principal = 'somebody else'",
        "action = 'nothing.happened'",
        "subject = 'another'",
        "details = '{}'",
        "logged_at = (SELECT max(logged_at) FROM audit_log)",
    )
    for seq, change in enumerate(changes, 3):
        assert await tamper(played.store, f"UPDATE audit_log SET {change} WHERE seq = {seq}") == 1
        lines = await verified(played)
        assert len(lines) == seq - 2, change
        assert f"entry {seq} was changed" in lines[-1]


async def test_a_changed_entry_with_a_hash_made_to_fit_is_seen_at_the_next_one(played: Workspace) -> None:
    def forge(connection: Any) -> None:
        row = connection.execute(audit.audit_log.select().where(audit.audit_log.c.seq == 3)).one()
        forged = replace(audit.Entry(*row), principal="somebody else")
        connection.execute(
            audit.audit_log.update()
            .where(audit.audit_log.c.seq == 3)
            .values(principal=forged.principal, hash=audit.chain_hash(forged))
        )

    await played.store.write(forge)
    (line,) = await verified(played)
    assert "entry 4 does not follow the one before it" in line


async def test_a_deleted_entry_is_seen(played: Workspace) -> None:
    await tamper(played.store, "DELETE FROM audit_log WHERE seq = 4")
    assert any("entries 4 to 4 are missing" in line for line in await verified(played))


async def test_a_deleted_first_entry_is_seen(played: Workspace) -> None:
    await tamper(played.store, "DELETE FROM audit_log WHERE seq = 1")
    assert any("entries 1 to 1 are missing" in line for line in await verified(played))


async def test_a_cut_off_end_is_seen(played: Workspace) -> None:
    last = max(await numbers(played))
    await tamper(played.store, "DELETE FROM audit_log WHERE seq >= :seq", seq=last - 1)
    (line,) = await verified(played)
    assert "its end was cut off or moved" in line


async def test_a_chain_that_is_gone_altogether_is_seen(played: Workspace) -> None:
    await tamper(played.store, "DELETE FROM audit_log")
    (line,) = await verified(played)
    assert "its end was cut off or moved" in line


async def test_a_lost_end_mark_is_seen(played: Workspace) -> None:
    await tamper(played.store, "DELETE FROM audit_heads")
    (line,) = await verified(played)
    assert "its end was cut off or moved" in line


async def test_entries_that_changed_places_are_seen(played: Workspace) -> None:
    await tamper(played.store, "UPDATE audit_log SET seq = 1000 WHERE seq = 2")
    await tamper(played.store, "UPDATE audit_log SET seq = 2 WHERE seq = 3")
    await tamper(played.store, "UPDATE audit_log SET seq = 3 WHERE seq = 1000")
    lines = await verified(played)
    assert any("entry 2" in line for line in lines)
    assert any("entry 3" in line for line in lines)


async def test_an_added_entry_is_seen(played: Workspace) -> None:
    last = max(await numbers(played))
    await tamper(
        played.store,
        "INSERT INTO audit_log SELECT project, writer, seq + 1, principal, action, subject, details, logged_at, "
        "hash, hash FROM audit_log WHERE seq = :seq",
        seq=last,
    )
    assert any(f"entry {last + 1} was changed" in line for line in await verified(played))


async def test_the_doctor_names_the_project_of_a_broken_chain(played: Workspace) -> None:
    await tamper(played.store, "UPDATE audit_log SET principal = 'x' WHERE seq = 3")
    diagnosis = await diagnose(played)
    assert not diagnosis.healthy
    assert diagnosis.faults[0].startswith(f"project {PROJECT}: audit chain")


async def test_the_doctor_looks_at_chains_of_projects_that_have_nothing_else(work: Workspace, clock: Any) -> None:
    entries = [("cleanup", "quiet", {"suspended": 0})]
    await work.store.write(
        lambda connection: audit.append(
            connection, project="quiet", writer="w", principal="p", entries=entries, now=clock()
        )
    )
    assert (await diagnose(work)).healthy
    await tamper(work.store, "DELETE FROM audit_log")
    assert not (await diagnose(work)).healthy


async def test_projects_and_writers_have_chains_of_their_own(work: Workspace, clock: Any) -> None:
    for project, writer in (("a", "1"), ("a", "2"), ("b", "1"), ("a", "1")):
        await work.store.write(
            lambda connection, project=project, writer=writer: audit.append(
                connection, project=project, writer=writer, principal="p", entries=[("x", "y", {})], now=clock()
            )
        )
    found = await ask(work.store, "SELECT project, writer, seq FROM audit_heads ORDER BY project, writer")
    assert found == [("a", "1", 2), ("a", "2", 1), ("b", "1", 1)]
    await tamper(work.store, "DELETE FROM audit_log WHERE project = 'b'")
    assert await verified(work, "a") == []
    assert len(await verified(work, "b")) == 1


async def test_the_first_entries_of_a_writer_may_come_all_at_once(work: Workspace, agent: Caller) -> None:
    await asyncio.gather(*(tell(work, agent, issue(number)) for number in range(16)))
    assert await verified(work) == []
    assert await scalar(work.store, "SELECT count(*) FROM audit_log WHERE action = 'refine'") == 16


async def test_numbers_and_words_of_the_details_keep_their_hash(work: Workspace, clock: Any) -> None:
    details = {
        "b": 0.1 + 0.2,
        "a": [1.0, -0.5, 1e-9, 123_456_789_012, None, True],
        "ü": 'quotes " and \\ and \u2028',
        "deep": {"z": 1, "a": 2},
    }
    await work.store.write(
        lambda connection: audit.append(
            connection, project=PROJECT, writer="w", principal="p\n", entries=[("x", "y", details)], now=clock()
        )
    )
    assert await verified(work) == []


async def test_nothing_to_say_makes_no_entry(work: Workspace, clock: Any) -> None:
    before = await counted(work.store)
    await work.store.write(
        lambda connection: audit.append(connection, project=PROJECT, writer="w", principal="p", entries=[], now=clock())
    )
    assert await counted(work.store) == before
