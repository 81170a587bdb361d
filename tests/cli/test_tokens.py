"""token create, list and revoke, as a person uses them."""

import asyncio
import re

import pytest

from lessonbook import services
from lessonbook.app import gateway_for
from lessonbook.config.settings import load_settings
from lessonbook.domain.agent_tools import Flag
from lessonbook.domain.token_scopes import SCOPES
from lessonbook.screening.redact import redact
from tests.cli.conftest import Run


def test_a_token_is_created_listed_and_revoked(run: Run) -> None:
    done = run("token", "create", "ci", "--scopes", "issues:write, evidence:write", "--projects", "shop,site")
    assert done.code == 0, done.err
    secret, *said = done.out.splitlines()
    assert re.fullmatch(r"lbt_[A-Za-z0-9_-]{43}", secret)
    assert "issues:write, evidence:write in shop, site" in " ".join(said)
    listed = run("token", "list")
    assert secret not in listed.out
    assert "evidence:write" in listed.out
    (line,) = run("token", "list", "--json").json["tokens"]
    assert (line["name"], line["state"], line["projects"]) == ("ci", "valid", ["shop", "site"])
    assert run("token", "revoke", "ci").code == 0
    assert run("token", "list", "--json").json["tokens"][0]["state"] == "revoked"


def test_a_script_gets_the_token_as_json(run: Run) -> None:
    made = run("token", "create", "ci", "--expires", "never", "--json").json
    assert made["token"].startswith("lbt_")
    assert made["expires_at"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "ci", "--expires", "soon"), "90d"),
        (("create", "ci", "--scopes", "everything"), "admin"),
        (("create", "ci", "--agent", "backend", "--scopes", "evidence:write"), "independent"),
        (("create", "cli"), "another meaning"),
        (("revoke", "nobody"), "token list"),
    ],
)
def test_bad_input_is_one_sentence(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run("token", *arguments)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_the_help_names_every_scope(run: Run) -> None:
    shown = run("token", "create", "--help").out
    assert [scope for scope in SCOPES if scope not in shown] == []


def test_a_token_in_a_report_is_redacted(run: Run) -> None:
    secret = run("token", "create", "ci", "--json").json["token"]
    assert secret not in redact(f"The call failed with {secret} in its header")[0]


def test_flags_are_shown_with_their_reasons(run: Run) -> None:
    done = run("report", "The handle leaks", "--lesson", "Close every file in its own block.", "--json")
    lesson_id = done.json["issues"][0]["lesson_id"]
    for reason in ("wrong for our framework", "and out of date"):
        asyncio.run(flag(lesson_id, reason))
    assert "local: wrong for our framework; local: and out of date" in run("pending").out


async def flag(lesson_id: str, reason: str) -> None:
    gateway = gateway_for(load_settings(), "local")
    try:
        await gateway.call(services.feedback.flag_lesson, Flag(lesson_id=lesson_id, reason=reason))
    finally:
        await gateway.close()
