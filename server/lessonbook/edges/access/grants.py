"""What a verified token grants, and the interface of those that verify tokens."""

from __future__ import annotations

from typing import Protocol

from mcp.server.auth.provider import AccessToken

from lessonbook.domain.lesson import Caller
from lessonbook.domain.token_scopes import known_scopes


class Grant(AccessToken):
    """A verified token: whom it names and what it allows. `token` is its hash, so that the secret is kept nowhere.

    `projects` begins with the one for calls that name none.
    """

    principal: str
    projects: list[str]
    agent_name: str = ""

    def caller(self, project: str) -> Caller:
        """Return the caller of a request for one of the projects."""
        return Caller(
            project,
            self.principal,
            agent_name=self.agent_name,
            scopes=frozenset(known_scopes(self.scopes)),
            is_bound=bool(self.agent_name),
        )


class GrantVerifier(Protocol):
    """Verifies tokens of one kind: a `TokenVerifier` of the SDK that says more about them, and why one is refused."""

    def recognises(self, token: str) -> bool:
        """Return whether a token looks like one of this kind."""
        ...

    async def verify_token(self, token: str) -> Grant | None:
        """Return what the token grants, or None where nobody knows it.

        Raises:
            Unauthorised: it is refused for a reason that its owner can use: it has expired, say.
            Unavailable: it cannot be verified now.
        """
        ...
