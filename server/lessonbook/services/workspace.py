"""What every use case works with: store, data files, clock and randomness."""

import hashlib
import json
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from sqlalchemy import Connection

from lessonbook.classify.agent_roster import Roster
from lessonbook.classify.catalogue import Catalogue, load_catalogue
from lessonbook.config.settings import Settings
from lessonbook.domain.lesson import Caller
from lessonbook.domain.vocabulary import ReviewMode
from lessonbook.screening.redact import refuse_secret
from lessonbook.services.cache.embeddings import Semantic
from lessonbook.services.cache.known_groups import PrecedentCaches
from lessonbook.services.cache.pending_groups import GroupCaches
from lessonbook.services.cache.shelf import Shelves
from lessonbook.services.limits import Limits
from lessonbook.services.project_names import ProjectNames
from lessonbook.store import idempotency
from lessonbook.store.engine import Store

Answer = TypeVar("Answer", bound=BaseModel)

ID_BYTES: Final = 6
RUN_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Workspace:
    """Shared by all calls of one process. `secret` is the same in every replica; `writer` identifies this process."""

    store: Store
    settings: Settings
    roster: Roster
    shelves: Shelves
    precedent_caches: PrecedentCaches
    semantic: Semantic
    secret: bytes
    writer: str
    now: Callable[[], datetime]
    random_bytes: Callable[[int], bytes]
    group_caches: GroupCaches = field(default_factory=GroupCaches)
    limits: Limits = field(default_factory=Limits)
    project_names: ProjectNames = field(default_factory=ProjectNames)
    met: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Agents given to this server (`serve --agent`) that are stored, as (project, agent)."""

    @property
    def catalogue(self) -> Catalogue:
        """The curated rules, read at first use: serving does not need them."""
        return load_catalogue(self.settings.data.catalogue)

    def review_for(self, caller: Caller) -> ReviewMode:
        """Return which lessons in a caller's words wait for a person."""
        if (setting := self.settings.trust.review) != "auto":
            return setting
        tells_apart = caller.scopes is not None or bool(self.settings.auth.accept)
        return "others" if tells_apart else "risky"

    def new_id(self, prefix: str) -> str:
        """Return a fresh id: a letter for its kind and 48 random bits."""
        return prefix + self._random_name(ID_BYTES)

    def new_run_id(self) -> str:
        """Return a run id that cannot be guessed: 128 random bits."""
        return self._random_name(RUN_ID_BYTES)

    def _random_name(self, size: int) -> str:
        return b32encode(self.random_bytes(size)).decode().rstrip("=").lower()


def is_lesson_id(name: str) -> bool:
    """Return whether `name` is a lesson's id, not an issue's: the first letter of an id names its kind."""
    return name.startswith("L")


def request_hash(request: BaseModel, *leave_out: str) -> str:
    """Return a hash of a request without the fields of `leave_out`."""
    return hash_of(request.model_dump(mode="json", exclude=set(leave_out)))


def hash_of(content: dict[str, Any]) -> str:
    """Return 128 bits of SHA-256 over a JSON document."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


async def once(
    work: Workspace,
    caller: Caller,
    tool: str,
    key: str,
    fingerprint: str,
    answer: type[Answer],
    act: Callable[[Connection, datetime], Answer],
) -> Answer:
    """Run `act` in a writing transaction, at most once per idempotency key; a repeated call gets the stored answer.

    Args:
        work: the workspace.
        caller: who calls; every principal has its own keys.
        tool: the tool's name.
        key: the idempotency key; empty: always act.
        fingerprint: the request's hash, so that one key cannot be used for two requests.
        answer: the answer's type.
        act: called with the connection of the transaction and the time.

    Raises:
        Conflict: the key was used with another request.
        InvalidInput: the key holds a secret.
    """
    refuse_secret(key, "idempotency_key")

    def transaction(connection: Connection) -> Answer:
        now = work.now()
        if key:
            stored = idempotency.answer(connection, caller.project, caller.principal, tool, key, fingerprint, now)
            if stored is not None:
                return answer.model_validate(stored)
        result = act(connection, now)
        if key:
            document = result.model_dump(mode="json")
            idempotency.remember(connection, caller.project, caller.principal, tool, key, fingerprint, document, now)
        return result

    return await work.store.write(transaction)
