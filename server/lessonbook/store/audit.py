"""The audit trail: a hash chain per project and writer, so that changed and missing entries are detected."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, update

from lessonbook.store import dialect
from lessonbook.store.tables import audit_heads, audit_log, in_project
from lessonbook.store.types import Row

GENESIS: Final = "0" * 64
_OF_WRITER: Final = (audit_heads.c.project == bindparam("of_project"), audit_heads.c.writer == bindparam("of_writer"))
# Locked to the commit, so that transactions of one writer take turns, also those that begin its chain.
_END: Final = select(audit_heads.c.seq, audit_heads.c.hash).where(*_OF_WRITER).with_for_update()
_ADD: Final = insert(audit_log)
_MOVE_END: Final = update(audit_heads).where(*_OF_WRITER)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a writer's chain. `seq` counts from 1; `hash` is empty until it is computed."""

    project: str
    writer: str
    seq: int
    principal: str
    action: str
    subject: str
    details: Mapping[str, Any]
    logged_at: datetime
    previous_hash: str
    hash: str = ""


def append(
    connection: Connection,
    *,
    project: str,
    writer: str,
    principal: str,
    entries: list[tuple[str, str, dict[str, Any]]],
    now: datetime,
) -> None:
    """Append `entries` (action, subject, details) to the writer's chain of the project."""
    _extend(connection, project, writer, [(principal, *entry, now) for entry in entries])


def _extend(
    connection: Connection,
    project: str,
    writer: str,
    entries: Sequence[tuple[str, str, str, Mapping[str, Any], datetime]],
) -> None:
    """Append entries (principal, action, subject, details, moment) to a chain."""
    if not entries:
        return
    of_writer: Row = {"of_project": project, "of_writer": writer}
    head = connection.execute(_END, of_writer).one_or_none()
    if head is None:
        start: Row = {"project": project, "writer": writer, "seq": 0, "hash": GENESIS}
        dialect.insert_new(connection, audit_heads, [start])
        head = connection.execute(_END, of_writer).one()
    seq, previous = head
    rows: list[Entry] = []
    for principal, action, subject, details, moment in entries:
        seq += 1
        entry = Entry(project, writer, seq, principal, action, subject, details, moment, previous)
        previous = chain_hash(entry)
        rows.append(replace(entry, hash=previous))
    connection.execute(_ADD, [{name: getattr(row, name) for name in Entry.__slots__} for row in rows])
    connection.execute(_MOVE_END, {**of_writer, "seq": seq, "hash": previous})


def chain_hash(entry: Entry) -> str:
    """Return the SHA-256 over an entry's content and the previous hash, in hexadecimal."""
    content = [
        entry.project,
        entry.writer,
        entry.seq,
        entry.principal,
        entry.action,
        entry.subject,
        entry.details,
        entry.logged_at.astimezone(UTC).isoformat(timespec="microseconds"),
        entry.previous_hash,
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def carry(connection: Connection, source: str, target: str, writer: str, limit: int) -> int:
    """Append the next entries of a chain of `source` to a chain of its own in `target`, and return how many.

    Each has its own time and principal, and says where it came from, with the number and hash that it has there. The
    entry of a number in one chain is that of the same number in the other, so a carrying that was broken off goes on.
    """
    own = f"{writer} of {source}"
    last = select(func.coalesce(func.max(audit_log.c.seq), 0)).where(*in_project(audit_log, target, writer=own))
    done = int(connection.execute(last).scalar_one())
    query = select(audit_log).where(*in_project(audit_log, source, writer=writer), audit_log.c.seq > done)
    found = [Entry(*row) for row in connection.execute(query.order_by(audit_log.c.seq).limit(limit))]
    origins = ({"project": source, "seq": entry.seq, "hash": entry.hash} for entry in found)
    carried = [
        (entry.principal, entry.action, entry.subject, {**entry.details, "merged_from": origin}, entry.logged_at)
        for entry, origin in zip(found, origins, strict=True)
    ]
    _extend(connection, target, own, carried)
    return len(found)


def heads_of(connection: Connection, project: str) -> dict[str, tuple[int, str]]:
    """Return where each chain of the project ends: number and hash of its last entry, by writer."""
    query = select(audit_heads.c.writer, audit_heads.c.seq, audit_heads.c.hash).where(audit_heads.c.project == project)
    return {writer: (seq, value) for writer, seq, value in connection.execute(query)}


def verify(connection: Connection, project: str) -> list[str]:
    """Return the faults of the project's chains, a sentence each; empty if there are none."""
    heads = heads_of(connection, project)
    ends: dict[str, tuple[int, str]] = {}
    wrong: list[str] = []
    query = select(audit_log).where(audit_log.c.project == project).order_by(audit_log.c.writer, audit_log.c.seq)
    for entry in (Entry(*row) for row in connection.execute(query)):
        writer = entry.writer
        seq, previous = ends.get(writer, (0, GENESIS))
        if entry.seq != seq + 1:
            wrong.append(f"audit chain {writer}: entries {seq + 1} to {entry.seq - 1} are missing")
        elif entry.previous_hash != previous:
            wrong.append(f"audit chain {writer}: entry {entry.seq} does not follow the one before it")
        if entry.hash != chain_hash(entry):
            wrong.append(f"audit chain {writer}: entry {entry.seq} was changed")
        ends[writer] = (entry.seq, entry.hash)
    wrong += [
        f"audit chain {writer}: its end was cut off or moved"
        for writer in sorted(heads.keys() | ends.keys())
        if heads.get(writer) != ends.get(writer)
    ]
    return wrong


def read(
    connection: Connection,
    project: str,
    *,
    subject: str = "",
    since: datetime | None = None,
    before: datetime | None = None,
    after: tuple[datetime, str, int] | None = None,
    limit: int = 100,
) -> list[Entry]:
    """Return at most `limit` audit entries, newest first, of one `subject` and between two moments where given.

    `after` is the time, writer and number of the entry behind which they begin.
    """
    query = select(audit_log).where(audit_log.c.project == project)
    if subject:
        query = query.where(audit_log.c.subject == subject)
    if since is not None:
        query = query.where(audit_log.c.logged_at >= since)
    if before is not None:
        query = query.where(audit_log.c.logged_at < before)
    if after is not None:
        moment, writer, seq = after
        behind = or_(audit_log.c.writer > writer, and_(audit_log.c.writer == writer, audit_log.c.seq < seq))
        query = query.where(or_(audit_log.c.logged_at < moment, and_(audit_log.c.logged_at == moment, behind)))
    query = query.order_by(audit_log.c.logged_at.desc(), audit_log.c.writer, audit_log.c.seq.desc()).limit(limit)
    return [Entry(*row) for row in connection.execute(query)]
