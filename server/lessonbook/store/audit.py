"""The audit trail: a hash chain per project and writer, so that neither a change nor a cut goes unseen."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from lessonbook.store import dialect
from lessonbook.store.tables import audit_heads, audit_log
from lessonbook.store.types import Row

GENESIS: Final = "0" * 64


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
    if not entries:
        return
    of_writer = (audit_heads.c.project == project, audit_heads.c.writer == writer)
    # Held to the commit, so that transactions of one writer take turns, those that begin its chain too.
    ending = select(audit_heads.c.seq, audit_heads.c.hash).where(*of_writer).with_for_update()
    head = connection.execute(ending).one_or_none()
    if head is None:
        start: Row = {"project": project, "writer": writer, "seq": 0, "hash": GENESIS}
        dialect.insert_new(connection, audit_heads, [start])
        head = connection.execute(ending).one()
    seq, previous = head
    rows: list[Row] = []
    for action, subject, details in entries:
        seq += 1
        row: Row = {
            "project": project,
            "writer": writer,
            "seq": seq,
            "principal": principal,
            "action": action,
            "subject": subject,
            "details": details,
            "logged_at": now,
            "previous_hash": previous,
        }
        row["hash"] = previous = chain_hash(row)
        rows.append(row)
    connection.execute(insert(audit_log), rows)
    connection.execute(update(audit_heads).where(*of_writer).values(seq=seq, hash=previous))


def chain_hash(row: Row) -> str:
    """Return the SHA-256 over a row's content and the hash before it."""
    content = [
        row["project"],
        row["writer"],
        row["seq"],
        row["principal"],
        row["action"],
        row["subject"],
        row["details"],
        row["logged_at"].astimezone(UTC).isoformat(timespec="microseconds"),
        row["previous_hash"],
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def verify(connection: Connection, project: str) -> list[str]:
    """Return what is wrong with the project's chains, a sentence each; empty when they are whole."""
    heads = {
        writer: (seq, value)
        for writer, seq, value in connection.execute(
            select(audit_heads.c.writer, audit_heads.c.seq, audit_heads.c.hash).where(audit_heads.c.project == project)
        )
    }
    ends: dict[str, tuple[int, str]] = {}
    wrong: list[str] = []
    query = select(audit_log).where(audit_log.c.project == project).order_by(audit_log.c.writer, audit_log.c.seq)
    for row in connection.execute(query).mappings():
        writer = row["writer"]
        seq, previous = ends.get(writer, (0, GENESIS))
        if row["seq"] != seq + 1:
            wrong.append(f"audit chain {writer}: entries {seq + 1} to {row['seq'] - 1} are missing")
        elif row["previous_hash"] != previous:
            wrong.append(f"audit chain {writer}: entry {row['seq']} does not follow the one before it")
        if row["hash"] != chain_hash(dict(row)):
            wrong.append(f"audit chain {writer}: entry {row['seq']} was changed")
        ends[writer] = (row["seq"], row["hash"])
    wrong += [
        f"audit chain {writer}: its end was cut off or moved"
        for writer in sorted(heads.keys() | ends.keys())
        if heads.get(writer) != ends.get(writer)
    ]
    return wrong


def read(
    connection: Connection, project: str, *, subject: str = "", before: datetime | None = None, limit: int = 100
) -> list[Row]:
    """Return audit entries, newest first."""
    query = select(audit_log).where(audit_log.c.project == project)
    if subject:
        query = query.where(audit_log.c.subject == subject)
    if before is not None:
        query = query.where(audit_log.c.logged_at < before)
    query = query.order_by(audit_log.c.logged_at.desc(), audit_log.c.writer, audit_log.c.seq.desc()).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]
