"""Access tokens of an OAuth issuer (JWT, RFC 9068): signature, issuer, audience and expiry are checked here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, cast

import jwt

from lessonbook.config.settings import AuthSettings
from lessonbook.domain.errors import Unauthorised
from lessonbook.domain.token_scopes import NOT_FOR_AGENTS, known_scopes
from lessonbook.edges.access.grants import Grant
from lessonbook.providers.key_set import Jwk, KeySet

LEEWAY_S: Final = 10.0
"""How far the issuer's clock may be off."""
NAME_MAX: Final = 200
TRIED_MAX: Final = 10
"""Maximum number of keys that are tried on a token that names none."""
PROJECTS_MAX: Final = 100
_MALFORMED: Final = (jwt.InvalidTokenError, ValueError, OverflowError, RecursionError)
_TYPES: Final = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
"""Types of a token's header that an access token may have; logout and DPoP tokens have others."""
_FAMILIES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
"""The type of key that each family of algorithms needs."""


class OAuthTokens:
    """Verifies tokens of the configured issuer. `project` is for those that name no projects."""

    def __init__(self, settings: AuthSettings, project: str, keys: KeySet | None = None) -> None:
        self._settings = settings
        self._project = project
        self._keys = keys or KeySet(settings.jwks)

    def recognises(self, token: str) -> bool:
        """Return whether a token has the form of a JWT."""
        return token.count(".") == 2  # noqa: PLR2004  # header, claims, signature

    async def verify_token(self, token: str) -> Grant | None:
        """Return what a token of the issuer grants. See `GrantVerifier.verify_token`."""
        try:
            header: Mapping[str, Any] = jwt.get_unverified_header(token)
        except _MALFORMED:
            return None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self._settings.algorithms or str(header.get("typ") or "").lower() not in _TYPES:
            return None
        # Keys and addresses that the header itself offers (jwk, jku, x5u) are not looked at.
        for jwk in (await self._keys.candidates(key_id))[:TRIED_MAX]:
            claims = self._claims(token, cast("str", algorithm), jwk)
            if claims is not None:
                return self._grant(token, claims)
        return None

    def _claims(self, token: str, algorithm: str, jwk: Jwk) -> dict[str, Any] | None:
        """Return the claims where the key verifies the token, None where it does not.

        Raises:
            Unauthorised: the signature is good, but the token has expired, or is for another server.
        """
        if jwk.get("kty") != _FAMILIES[algorithm[:2]] or jwk.get("alg", algorithm) != algorithm:
            return None
        settings = self._settings
        try:
            key = jwt.PyJWK(dict(jwk), algorithm).key
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthorised("The token has expired: get a new one") from error
        except jwt.InvalidAudienceError as error:
            raise Unauthorised("The token is for another server: its audience is not this one's") from error
        except jwt.InvalidIssuerError as error:
            raise Unauthorised("The token is of another issuer") from error
        except (jwt.PyJWKError, *_MALFORMED):
            return None

    def _grant(self, token: str, claims: Mapping[str, Any]) -> Grant | None:
        subject, issuer, expires = claims["sub"], claims["iss"], claims["exp"]
        agent_name = claims.get(self._settings.agent_claim) or ""
        if not (isinstance(subject, str) and 0 < len(subject) <= NAME_MAX and subject.isprintable()):
            return None
        if not isinstance(agent_name, str) or len(agent_name) > NAME_MAX // 2:
            return None
        scopes = {*_words(claims.get("scope")), *_words(claims.get("scp"))}
        if agent_name:
            scopes -= NOT_FOR_AGENTS
        projects = [name for name in _words(claims.get(self._settings.projects_claim)) if len(name) <= NAME_MAX]
        return Grant(
            token=hashlib.sha256(token.encode()).hexdigest(),
            client_id=str(claims.get("client_id") or claims.get("azp") or subject)[:NAME_MAX],
            subject=subject,
            claims={"iss": issuer},
            scopes=list(known_scopes(scopes)),
            expires_at=int(expires) + int(LEEWAY_S),
            principal=f"oauth:{subject}",
            projects=projects[:PROJECTS_MAX] or [self._project],
            agent_name=" ".join(agent_name.split()),
        )


def _words(claim: object) -> list[str]:
    """Return the names of a claim, which is a list or words with blanks."""
    if isinstance(claim, str):
        return claim.split()
    return [name for name in cast("list[object]", claim) if isinstance(name, str)] if isinstance(claim, list) else []
