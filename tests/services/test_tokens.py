"""Access tokens: made, listed, revoked and looked up, on both databases."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lessonbook.domain.audit_trail import AuditQuery
from lessonbook.domain.errors import Conflict, Forbidden, InvalidInput, NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.domain.token_scopes import USUAL
from lessonbook.services import tokens
from lessonbook.services.queries import get_audit
from lessonbook.services.tokens import NewToken, token_hash
from lessonbook.services.workspace import Workspace
from tests.conftest import Clock
from tests.store.scenario import ask

pytestmark = pytest.mark.anyio


async def found(work: Workspace, caller: Caller, token: str) -> tokens.FoundToken:
    looked_up = await tokens.find_token(work, caller, token_hash(token))
    assert looked_up is not None
    return looked_up


async def test_a_token_is_shown_once_and_stored_as_a_hash(work: Workspace, person: Caller) -> None:
    created = await tokens.create_token(work, person, NewToken("claude"))
    assert created.token.startswith("lbt_")
    assert created.line.scopes == list(USUAL)
    assert created.line.projects == ["demo"]
    row = repr(await ask(work.store, "SELECT * FROM access_tokens"))
    assert token_hash(created.token) in row
    assert created.token not in row
    listed = await tokens.list_tokens(work, person)
    assert listed == [created.line]
    assert created.token not in listed[0].model_dump_json()


async def test_a_token_is_found_with_what_it_allows(work: Workspace, person: Caller) -> None:
    new = NewToken("bot", ("stats:read", "lessons:read"), ("shop", "site", "shop"), "backend")
    created = await tokens.create_token(work, person, new)
    row = (await found(work, person, created.token)).row
    assert (row.name, row.scopes, row.projects) == ("bot", ["lessons:read", "stats:read"], ["shop", "site"])
    assert row.agent_name == work.roster.resolve("backend")
    assert await tokens.find_token(work, person, token_hash(created.token + "x")) is None


async def test_a_revoked_and_an_expired_token_are_known_as_such(work: Workspace, person: Caller, clock: Clock) -> None:
    short = await tokens.create_token(work, person, NewToken("short", lasts=timedelta(days=1)))
    long = await tokens.create_token(work, person, NewToken("long"))
    assert (await tokens.revoke_token(work, person, "long")).state == "revoked"
    assert (await found(work, person, long.token)).state == "revoked"
    clock.go_on(hours=23)
    assert (await found(work, person, short.token)).state == "valid"
    clock.go_on(hours=1)
    assert (await found(work, person, short.token)).state == "expired"
    assert {line.name: line.state for line in await tokens.list_tokens(work, person)} == {
        "long": "revoked",
        "short": "expired",
    }


async def test_a_name_is_free_again_once_its_token_is_over(work: Workspace, person: Caller) -> None:
    old = await tokens.create_token(work, person, NewToken("ci"))
    with pytest.raises(Conflict, match="revoke it first"):
        await tokens.create_token(work, person, NewToken("ci"))
    await tokens.revoke_token(work, person, "ci")
    new = await tokens.create_token(work, person, NewToken("ci"))
    assert await tokens.find_token(work, person, token_hash(old.token)) is None
    assert (await found(work, person, new.token)).state == "valid"


async def test_the_last_use_is_stored_once_an_hour(work: Workspace, person: Caller, clock: Clock) -> None:
    created = await tokens.create_token(work, person, NewToken("ci"))

    async def last_use() -> str | None:
        await found(work, person, created.token)
        return (await tokens.list_tokens(work, person))[0].last_used_at

    first = clock().isoformat(timespec="seconds")
    assert await last_use() == first
    clock.go_on(minutes=59)
    assert await last_use() == first
    clock.go_on(minutes=1)
    assert await last_use() == clock().isoformat(timespec="seconds")


SENSELESS = [
    (NewToken("ci", ("issues:wirte",)), "no scope 'issues:wirte'"),
    (NewToken("ci", ("evidence:write",), agent_name="backend"), "cannot have evidence:write"),
    (NewToken("local"), "cannot be a token's name"),
    (NewToken("oauth:ci"), "cannot be a token's name"),
    (NewToken(""), "cannot be a token's name"),
    (NewToken("ci", lasts=timedelta(0)), "last for some time"),
    (NewToken("ci", projects=[f"p{number}" for number in range(101)]), "100 projects"),
]


async def test_a_token_that_makes_no_sense_is_refused(work: Workspace, person: Caller) -> None:
    for new, said in SENSELESS:
        with pytest.raises(InvalidInput, match=said):
            await tokens.create_token(work, person, new)
    assert await tokens.list_tokens(work, person) == []


async def test_only_people_make_and_revoke_tokens(work: Workspace, agent: Caller, person: Caller) -> None:
    with pytest.raises(Forbidden, match="lessonbook token create"):
        await tokens.create_token(work, agent, NewToken("mine", ("admin",)))
    await tokens.create_token(work, person, NewToken("ci"))
    with pytest.raises(Forbidden, match="lessonbook token revoke"):
        await tokens.revoke_token(work, agent, "ci")
    with pytest.raises(NotFound, match="lessonbook token list"):
        await tokens.revoke_token(work, person, "cd")


async def test_every_project_of_a_token_has_it_in_its_audit_trail(work: Workspace, person: Caller) -> None:
    await tokens.create_token(work, person, NewToken("ci", projects=("demo", "site")))
    await tokens.revoke_token(work, person, "ci")
    for project in ("demo", "site"):
        trail = await get_audit(work, Caller(project, "cli", person=True), AuditQuery())
        assert [(entry.action, entry.subject) for entry in trail.entries] == [
            ("token.revoke", "ci"),
            ("token.create", "ci"),
        ]


async def test_a_project_has_no_more_valid_tokens_than_it_may(work: Workspace, person: Caller) -> None:
    limits = work.settings.limits.model_copy(update={"tokens_per_project": 2})
    few = replace(work, settings=work.settings.model_copy(update={"limits": limits}))
    for name in ("one", "two"):
        await tokens.create_token(few, person, NewToken(name))
    with pytest.raises(Conflict, match=r"2 valid tokens, and may have 2 \(limits.tokens_per_project\)"):
        await tokens.create_token(few, person, NewToken("three", projects=("site", "demo")))
    await tokens.create_token(few, person, NewToken("three", projects=("site",)))
    await tokens.revoke_token(few, person, "one")
    await tokens.create_token(few, person, NewToken("four"))
