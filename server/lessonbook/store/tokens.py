"""Queries about access tokens."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, or_, select, update

from lessonbook.domain.token_scopes import Scope
from lessonbook.store import dialect
from lessonbook.store.tables import access_tokens
from lessonbook.store.types import Row

USE_KEPT_EVERY: Final = timedelta(hours=1)
"""How old the stored moment of a token's last use may be, so that a busy token is no hot row."""


class TokenRow(NamedTuple):
    """A token without its secret, which is nowhere stored."""

    name: str
    scopes: list[Scope]
    projects: list[str]
    agent_name: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


_COLUMNS: Final = tuple(access_tokens.c[name] for name in TokenRow._fields)


def add(connection: Connection, row: Row) -> bool:
    """Store a token, in place of a revoked or expired one of its name, and return whether the name was free."""
    columns = access_tokens.c
    over = or_(columns.revoked_at.is_not(None), columns.expires_at <= row["created_at"])
    connection.execute(delete(access_tokens).where(columns.name == row["name"], over))
    return dialect.insert_new(connection, access_tokens, [row]) == 1


def find(connection: Connection, token_hash: str) -> TokenRow | None:
    """Return the token with this hash, also a revoked or expired one."""
    row = connection.execute(select(*_COLUMNS).where(access_tokens.c.token_hash == token_hash)).one_or_none()
    return TokenRow(*row) if row else None


def named(connection: Connection, name: str) -> TokenRow | None:
    """Return the token of this name, locked until the commit."""
    row = connection.execute(select(*_COLUMNS).where(access_tokens.c.name == name).with_for_update()).one_or_none()
    return TokenRow(*row) if row else None


def every(connection: Connection) -> list[TokenRow]:
    """Return all tokens by name, also revoked and expired ones."""
    return [TokenRow(*row) for row in connection.execute(select(*_COLUMNS).order_by(access_tokens.c.name))]


def revoke(connection: Connection, name: str, now: datetime) -> None:
    """Mark a token as revoked."""
    connection.execute(update(access_tokens).where(access_tokens.c.name == name).values(revoked_at=now))


def note_use(connection: Connection, token_hash: str, now: datetime) -> None:
    """Store that a token is used, unless that was stored within the last hour."""
    columns = access_tokens.c
    stale = or_(columns.last_used_at.is_(None), columns.last_used_at <= now - USE_KEPT_EVERY)
    used = update(access_tokens).where(columns.token_hash == token_hash, stale)
    connection.execute(used.values(last_used_at=now))
