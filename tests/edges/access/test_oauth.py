"""Tokens of an OAuth issuer: what is believed, what is not, and keys that rotate."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lessonbook.config.settings import AuthSettings
from lessonbook.domain.errors import Unauthorised, Unavailable
from lessonbook.edges.access.grants import Grant
from lessonbook.edges.access.oauth import OAuthTokens
from lessonbook.edges.access.token_verification import Verification
from lessonbook.providers import key_set
from lessonbook.providers.key_set import KeySet
from tests.edges.access.issuer import AUDIENCE, Issuer, encoded, new_key, public_jwk, public_pem, serving

pytestmark = pytest.mark.anyio


class Ticks:
    """A clock that stands until it is told to go on, in seconds."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture(scope="module")
def served() -> Iterator[Issuer]:
    with serving(Issuer()) as issuer:
        yield issuer


@pytest.fixture
def issuer(served: Issuer) -> Issuer:
    served.keys = {"one": served.keys["one"]}
    served.asked, served.is_down = 0, False
    return served


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def tokens(issuer: Issuer, ticks: Ticks) -> OAuthTokens:
    return verifier(issuer, ticks)


def verifier(issuer: Issuer, ticks: Ticks, **settings: Any) -> OAuthTokens:
    given = {"accept": ["oauth"], "issuer": issuer.address, "audience": AUDIENCE, "jwks": issuer.jwks, **settings}
    known = AuthSettings.model_validate(given)
    return OAuthTokens(known, "demo", KeySet(known.jwks, ticks))


async def granted(tokens: OAuthTokens, token: str) -> Grant:
    grant = await Verification([tokens]).verify_token(token)
    assert token not in repr(grant)
    return grant


async def refused(tokens: OAuthTokens, token: str) -> str:
    with pytest.raises(Unauthorised) as refusal:
        await Verification([tokens]).verify_token(token)
    assert token not in str(refusal.value)
    return str(refusal.value)


async def test_a_good_token_grants_its_scopes_in_the_servers_project(tokens: OAuthTokens, issuer: Issuer) -> None:
    grant = await granted(tokens, issuer.token())
    assert (grant.principal, grant.scopes, grant.projects) == ("oauth:ana", ["lessons:read", "stats:read"], ["demo"])
    caller = grant.caller("demo")
    assert caller.scopes == {"lessons:read", "stats:read"}
    assert not caller.person
    assert not caller.is_bound


async def test_projects_agent_and_scopes_are_read_from_claims(tokens: OAuthTokens, issuer: Issuer) -> None:
    claims = {"lessonbook_projects": ["shop", "site"], "lessonbook_agent": "BackendDevelopmentAgent", "scope": None}
    token = issuer.token(**claims, scp=["evidence:write", "issues:write"], aud=["https://other.example", AUDIENCE])
    grant = await granted(tokens, token)
    assert grant.projects == ["shop", "site"]
    assert grant.caller("shop").is_bound
    assert grant.scopes == ["issues:write"]  # an agent's word is no evidence


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": int(time.time()) - 60}, "expired"),
        ({"aud": "https://other.example"}, "another server"),
        ({"aud": [AUDIENCE + "/"]}, "another server"),
        ({"iss": "https://other.example"}, "another issuer"),
        ({"exp": None}, "not valid"),
        ({"aud": None}, "not valid"),
        ({"iss": None}, "not valid"),
        ({"sub": None}, "not valid"),
        ({"sub": ""}, "not valid"),
        ({"sub": "a\nb"}, "not valid"),
        ({"sub": "a" * 201}, "not valid"),
        ({"nbf": int(time.time()) + 86_400}, "not valid"),
        ({"exp": 1e400}, "not valid"),
    ],
)
async def test_a_token_with_wrong_claims_is_refused(
    tokens: OAuthTokens, issuer: Issuer, claims: dict[str, Any], said: str
) -> None:
    assert said in await refused(tokens, issuer.token(**claims))


async def test_a_token_signed_by_another_key_is_refused(tokens: OAuthTokens, issuer: Issuer) -> None:
    foreign = new_key()
    assert "not valid" in await refused(tokens, issuer.token(key=foreign))
    # Nor is a key believed that the token brings along, or an address of one.
    brought = {"jwk": public_jwk(foreign, "one"), "jku": "http://127.0.0.1:9/jwks.json", "x5u": "http://127.0.0.1:9/"}
    assert "not valid" in await refused(tokens, issuer.token(key=foreign, header=brought))


@pytest.mark.parametrize("key_id", ["../../etc/passwd", "one' OR '1'='1", "/dev/null", "", "x" * 5_000])
async def test_a_made_up_key_id_leads_nowhere(tokens: OAuthTokens, issuer: Issuer, key_id: str) -> None:
    foreign = new_key()
    assert "not valid" in await refused(tokens, issuer.token(key=foreign, header={"kid": key_id}))


@pytest.mark.parametrize("key_id", [1, None, ["one"], {"one": 1}])
async def test_a_key_id_of_another_type_is_refused(tokens: OAuthTokens, issuer: Issuer, key_id: Any) -> None:
    token = ".".join([encoded({"alg": "RS256", "kid": key_id}), encoded(issuer.claims()), encoded(b"x" * 256)])
    assert "not valid" in await refused(tokens, token)


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", "HS256", "HS512", "RS384", "PS256", "ES256", ["RS256"]]
)
async def test_an_algorithm_is_never_the_tokens_choice(tokens: OAuthTokens, issuer: Issuer, algorithm: Any) -> None:
    signed = f"{encoded({'alg': algorithm, 'kid': 'one', 'typ': 'JWT'})}.{encoded(issuer.claims())}"
    public = public_pem(issuer.keys["one"])  # known to all, so it must not do as a secret
    for signature in (b"", hmac.new(public, signed.encode(), hashlib.sha256).digest()):
        assert "not valid" in await refused(tokens, f"{signed}.{encoded(signature)}")


async def test_a_secret_key_in_the_key_set_is_not_used(tmp_path: Path, issuer: Issuer, ticks: Ticks) -> None:
    secret = {"kty": "oct", "kid": "one", "k": encoded(b"s" * 32)}
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [secret, *issuer.document()["keys"]]}))
    tokens = verifier(issuer, ticks, jwks=str(file))
    signed = f"{encoded({'alg': 'HS256', 'kid': 'one'})}.{encoded(issuer.claims())}"
    forged = hmac.new(b"s" * 32, signed.encode(), hashlib.sha256).digest()
    assert "not valid" in await refused(tokens, f"{signed}.{encoded(forged)}")
    assert (await granted(tokens, issuer.token())).principal == "oauth:ana"


@pytest.mark.parametrize("kind", ["logout+jwt", "dpop+jwt"])
async def test_a_token_of_another_kind_is_refused(tokens: OAuthTokens, issuer: Issuer, kind: str) -> None:
    assert "not valid" in await refused(tokens, issuer.token(header={"typ": kind}))


@pytest.mark.parametrize("token", ["..", "a.b.c", "💥.💥.💥", f"{encoded([1])}.{encoded([1])}.x", "e30.e30.", "." * 2])
async def test_what_is_no_jwt_is_refused(tokens: OAuthTokens, token: str) -> None:
    assert "not valid" in await refused(tokens, token)


async def test_a_changed_token_is_refused(tokens: OAuthTokens, issuer: Issuer) -> None:
    header, _, signature = issuer.token().split(".")
    assert "not valid" in await refused(tokens, f"{header}.{encoded(issuer.claims(scope='admin'))}.{signature}")


async def test_a_new_key_is_fetched_when_a_token_names_it(tokens: OAuthTokens, issuer: Issuer, ticks: Ticks) -> None:
    await granted(tokens, issuer.token())
    issuer.keys["two"] = new_key()
    ticks.at += key_set.ASKED_EVERY_S
    assert (await granted(tokens, issuer.token("two"))).principal == "oauth:ana"
    assert issuer.asked == 2
    await granted(tokens, issuer.token())
    assert issuer.asked == 2


async def test_made_up_key_ids_cause_one_request_in_ten_seconds(
    tokens: OAuthTokens, issuer: Issuer, ticks: Ticks
) -> None:
    foreign = new_key()
    for number in range(20):
        await refused(tokens, issuer.token(key=foreign, header={"kid": f"made-up-{number}"}))
    assert issuer.asked == 1
    ticks.at += key_set.ASKED_EVERY_S
    await refused(tokens, issuer.token(key=foreign, header={"kid": "made-up"}))
    assert issuer.asked == 2


async def test_a_withdrawn_key_is_believed_no_longer_than_ten_minutes(
    tokens: OAuthTokens, issuer: Issuer, ticks: Ticks
) -> None:
    old = issuer.token()
    await granted(tokens, old)
    stolen, issuer.keys = issuer.keys["one"], {"two": new_key()}
    try:
        ticks.at += key_set.REREAD_EVERY_S
        assert "not valid" in await refused(tokens, old)
    finally:
        issuer.keys["one"] = stolen


async def test_an_issuer_that_is_down_does_not_stop_known_keys(
    tokens: OAuthTokens, issuer: Issuer, ticks: Ticks
) -> None:
    await granted(tokens, issuer.token())
    issuer.is_down = True
    ticks.at += key_set.BELIEVED_FOR_S
    assert (await granted(tokens, issuer.token())).principal == "oauth:ana"
    ticks.at += key_set.ASKED_EVERY_S
    with pytest.raises(Unavailable, match=r"auth\.jwks"):
        await Verification([tokens]).verify_token(issuer.token())


async def test_keys_that_cannot_be_read_are_no_bad_token(tmp_path: Path, issuer: Issuer, ticks: Ticks) -> None:
    file = tmp_path / "jwks.json"
    for content in (None, "", "{", "[]", '{"keys": []}', '{"keys": [1]}', "x" * 300_000):
        if content is not None:
            file.write_text(content)
        ticks.at += key_set.ASKED_EVERY_S
        with pytest.raises(Unavailable, match=r"auth\.jwks"):
            await Verification([verifier(issuer, ticks, jwks=str(file))]).verify_token(issuer.token())


async def test_a_verified_token_is_looked_at_again_after_thirty_seconds(issuer: Issuer, ticks: Ticks) -> None:
    seen: list[str] = []

    class Counting:
        def recognises(self, token: str) -> bool:
            return True

        async def verify_token(self, token: str) -> Grant | None:
            seen.append(token)
            if len(seen) > 1:
                return None
            return Grant(token="", client_id="a", scopes=[], principal="a", projects=["demo"], expires_at=2_000)

    wall = Ticks()
    verification = Verification([Counting()], wall=wall, monotonic=ticks)
    for _ in range(3):
        await verification.verify_token("t")
    ticks.at += 29.9
    await verification.verify_token("t")
    assert len(seen) == 1
    wall.at = 2_000.0
    with pytest.raises(Unauthorised, match="expired"):
        await verification.verify_token("t")
    wall.at = 1_000.0
    ticks.at += 0.1
    with pytest.raises(Unauthorised, match="not valid"):
        await verification.verify_token("t")
    assert len(seen) == 2
