"""Access tokens: made, listed and revoked by people, looked up for each call over HTTP."""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import BaseModel
from sqlalchemy import Connection

from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import Conflict, InvalidInput, NotFound, Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.domain.principals import RESERVED
from lessonbook.domain.token_scopes import NOT_FOR_AGENTS, USUAL, Scope, parse_scopes
from lessonbook.services.agent_names import give_name
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import tokens as token_rows
from lessonbook.store.row_security import EVERY_PROJECT
from lessonbook.store.tokens import USE_KEPT_EVERY, TokenRow

PREFIX: Final = "lbt_"
"""What every token begins with, so that people and secret scanners recognise one."""
SECRET_BYTES: Final = 32
PROJECTS_MAX: Final = 100
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")

State = Literal["valid", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class NewToken:
    """What a token is to allow. Without scopes it gets the usual ones, without projects the caller's own."""

    name: str
    scopes: Sequence[str] = ()
    projects: Sequence[str] = ()
    agent_name: str = ""
    lasts: timedelta | None = None


class TokenLine(BaseModel):
    """A token as people see it: everything but the secret. `last_used_at` is right to the hour."""

    name: str
    state: State
    scopes: list[Scope]
    projects: list[str]
    agent_name: str
    created_at: str
    expires_at: str | None
    last_used_at: str | None


class CreatedToken(BaseModel):
    """A fresh token. Its secret is shown this once, and stored nowhere."""

    token: str
    line: TokenLine


@dataclass(frozen=True, slots=True)
class FoundToken:
    """A stored token and its state."""

    row: TokenRow
    state: State


def token_hash(token: str) -> str:
    """Return what is stored of a token: SHA-256 is enough, since a token has 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


async def create_token(work: Workspace, caller: Caller, new: NewToken) -> CreatedToken:
    """Make a token whose name is the principal of its calls. A revoked or expired one of that name is replaced.

    Raises:
        Forbidden: the caller is not a person.
        InvalidInput: the name, a scope or the duration is not valid.
        Conflict: a valid token has the name, or one of the projects has as many valid tokens as it may.
    """
    caller.require_person("create a token", "token create")
    scopes = _checked_scopes(new)
    projects = list(dict.fromkeys(filter(None, new.projects))) or [caller.project]
    if not _NAME.fullmatch(new.name) or new.name.lower() in RESERVED:
        raise InvalidInput(
            f"{new.name!r} cannot be a token's name: take up to 100 letters, digits, dots, dashes or @, as in ci-shop"
            + (" (this one has another meaning)" if new.name.lower() in RESERVED else "")
        )
    if len(projects) > PROJECTS_MAX:
        raise InvalidInput(f"A token is for {PROJECTS_MAX} projects at most: make several")
    if new.lasts is not None and new.lasts <= timedelta(0):
        raise InvalidInput("A token has to last for some time: pass a day or more")
    agent_name = work.roster.resolve(new.agent_name) if new.agent_name else ""
    secret = PREFIX + urlsafe_b64encode(work.random_bytes(SECRET_BYTES)).decode().rstrip("=")

    def transaction(connection: Connection) -> TokenLine:
        now = work.now()
        row = TokenRow(
            name=new.name,
            scopes=scopes,
            projects=projects,
            agent_name=agent_name,
            created_at=now,
            expires_at=now + new.lasts if new.lasts else None,
            last_used_at=None,
            revoked_at=None,
        )
        _refuse_too_many(work, connection, row, now)
        if not token_rows.add(connection, {**row._asdict(), "token_hash": token_hash(secret)}):
            raise Conflict(
                f"There is a token {new.name!r} already: revoke it first (`lessonbook token revoke {new.name}`), or "
                "choose another name"
            )
        if agent_name:
            for project in sorted(projects):
                give_name(work, connection, project, agent_name, "a token")
        _note(work, caller, connection, now, "token.create", row)
        return _line(row, now)

    with work.store.within(EVERY_PROJECT):  # each of its projects has it in its audit trail
        return CreatedToken(token=secret, line=await work.store.write(transaction))


def _refuse_too_many(work: Workspace, connection: Connection, new: TokenRow, now: datetime) -> None:
    limit = work.settings.limits.tokens_per_project
    valid = [row for row in token_rows.every(connection) if row.name != new.name and _state(row, now) == "valid"]
    for project in new.projects:
        count = sum(project in row.projects for row in valid)
        if limit and count >= limit:
            raise Conflict(
                f"Project {project!r} has {count_of(count, 'valid token')}, and may have {limit} "
                "(limits.tokens_per_project): revoke those that nobody uses (`lessonbook token list`)"
            )


def _checked_scopes(new: NewToken) -> list[Scope]:
    scopes = parse_scopes(new.scopes or USUAL)
    if new.agent_name and (refused := NOT_FOR_AGENTS.intersection(scopes)):
        raise InvalidInput(
            f"A token bound to an agent cannot have {min(refused)}: an agent's word on its own work is no independent "
            "evidence. Make another token, without --agent, for QA or CI"
        )
    return list(scopes)


async def list_tokens(work: Workspace, _caller: Caller) -> list[TokenLine]:
    """Return all tokens of the database by name, also revoked and expired ones."""
    rows = await work.store.read(token_rows.every)
    return [_line(row, work.now()) for row in rows]


async def revoke_token(work: Workspace, caller: Caller, name: str) -> TokenLine:
    """Revoke a token; servers notice within `edges.access.verification.KNOWN_FOR_S` seconds.

    Raises:
        Forbidden: the caller is not a person.
        NotFound: there is no such token.
    """
    caller.require_person("revoke a token", "token revoke")

    def transaction(connection: Connection) -> TokenLine:
        now = work.now()
        row = token_rows.named(connection, name)
        if row is None:
            raise NotFound(f"There is no token {name!r}: see `lessonbook token list`")
        if row.revoked_at is None:
            token_rows.revoke(connection, name, now)
            row = row._replace(revoked_at=now)
            _note(work, caller, connection, now, "token.revoke", row)
        return _line(row, now)

    with work.store.within(EVERY_PROJECT):
        return await work.store.write(transaction)


async def find_token(work: Workspace, _caller: Caller, hashed: str) -> FoundToken | None:
    """Return the token with this hash and its state, or None; a use is stored once an hour at most."""
    row = await work.store.read(lambda connection: token_rows.find(connection, hashed))
    if row is None:
        return None
    now = work.now()
    found = FoundToken(row, _state(row, now))
    if found.state == "valid" and (row.last_used_at is None or row.last_used_at <= now - USE_KEPT_EVERY):
        with suppress(Unavailable):  # a database that only reads still serves
            await work.store.write(lambda connection: token_rows.note_use(connection, hashed, now))
    return found


def _state(row: TokenRow, now: datetime) -> State:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= now else "valid"


def _line(row: TokenRow, now: datetime) -> TokenLine:
    return TokenLine(
        name=row.name,
        state=_state(row, now),
        scopes=row.scopes,
        projects=row.projects,
        agent_name=row.agent_name,
        created_at=row.created_at.isoformat(timespec="seconds"),
        expires_at=_moment(row.expires_at),
        last_used_at=_moment(row.last_used_at),
    )


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def _note(work: Workspace, caller: Caller, connection: Connection, now: datetime, action: str, row: TokenRow) -> None:
    """Write a change of a token into the audit trail of each of its projects."""
    details = {"scopes": list(row.scopes), "projects": list(row.projects), "agent_name": row.agent_name}
    for project in sorted(row.projects):
        ledger = Ledger(work, replace(caller, project=project), connection, now)
        ledger.note(action, row.name, details)
        ledger.write()
