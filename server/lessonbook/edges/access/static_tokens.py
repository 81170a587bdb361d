"""Tokens that people made with `lessonbook token create`: looked up by their hash."""

from __future__ import annotations

import re
from typing import Final

from lessonbook import services
from lessonbook.domain.errors import Unauthorised
from lessonbook.domain.token_scopes import NOT_FOR_AGENTS
from lessonbook.edges.access.gateway import TOOL_TIMEOUT_S, Gateway
from lessonbook.edges.access.grants import Grant

_FORM: Final = re.compile(r"lbt_[A-Za-z0-9_-]{43}")


class StaticTokens:
    """Verifies tokens that are stored, hashed, in the database."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def recognises(self, token: str) -> bool:
        """Return whether a token begins as ours do."""
        return token.startswith("lbt_")

    async def verify_token(self, token: str) -> Grant | None:
        """Return what a stored token grants. See `GrantVerifier.verify_token`."""
        if not _FORM.fullmatch(token):
            return None
        hashed = services.tokens.token_hash(token)
        caller = self._gateway.server("tokens")
        found = await self._gateway.call_for(caller, TOOL_TIMEOUT_S, services.tokens.find_token, hashed)
        if found is None:
            return None
        row = found.row
        if found.state != "valid":
            raise Unauthorised(
                f"The token {row.name!r} is {found.state}: ask for another one (`lessonbook token create`)"
            )
        scopes = set(row.scopes) - (NOT_FOR_AGENTS if row.agent_name else set())
        return Grant(
            token=hashed,
            client_id=row.name,
            subject=row.name,
            scopes=sorted(scopes),
            expires_at=int(row.expires_at.timestamp()) if row.expires_at else None,
            principal=row.name,
            projects=row.projects,
            agent_name=row.agent_name,
        )
