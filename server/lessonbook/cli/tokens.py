"""token …: who may call over HTTP, and what they may do."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lessonbook import services
from lessonbook.cli.console import add_group, command, print_table, run, say, shown_as_json, strong, write
from lessonbook.domain.errors import InvalidInput

if TYPE_CHECKING:
    from lessonbook.services.tokens import TokenLine

_NEVER: Final = "never"
_SPAN: Final = re.compile(r"(\d{1,5})d")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = add_group(app, "token", "Create, list and revoke the tokens of callers over HTTP.")
    command(group, "create")(create)
    command(group, "list")(list_)
    command(group, "revoke")(revoke)


def create(
    name: Annotated[str, typer.Argument(help="Who calls: the principal that the history and the audit trail name.")],
    scopes: Annotated[str, typer.Option(help="What it may do, with commas; by default what an agent needs.")] = "",
    projects: Annotated[str, typer.Option(help="Its projects, with commas; by default this one.")] = "",
    agent: Annotated[str, typer.Option(help="The agent as which alone it serves and reports.")] = "",
    expires: Annotated[str, typer.Option(help="After how many days it ends, as 90d; or never.")] = "365d",
) -> None:
    """Create a token and show it, this once: only its hash is stored.

    Scopes: lessons:read, issues:write, applications:write, stats:read (these by default), lessons:propose,
    lessons:approve, evidence:write (for QA and CI, never with --agent), admin.
    """
    from lessonbook.services.tokens import NewToken

    new = NewToken(name, _names(scopes), _names(projects), agent, _span(expires))
    created = run(services.tokens.create_token, new)
    if shown_as_json({"token": created.token, **created.line.model_dump(mode="json")}):
        return
    line = created.line
    write(created.token)
    until = f"until {line.expires_at[:10]}" if line.expires_at else "for ever"
    bound = (" as ", strong(line.agent_name), " alone") if line.agent_name else ()
    say(
        strong(line.name),
        f" may do {', '.join(line.scopes)} in {', '.join(line.projects)}",
        *bound,
        f", {until}. Keep the token now: it is not shown again.",
    )


def list_() -> None:
    """List the tokens of the database, without their secrets. The last use is right to the hour."""
    tokens = run(services.tokens.list_tokens)
    if not shown_as_json({"tokens": tokens}):
        columns = ["token", "state", "scopes", "projects", "agent", "expires", "last used"]
        print_table("Tokens", columns, [_row(token) for token in tokens])


def _row(token: TokenLine) -> tuple[str, ...]:
    return (
        token.name,
        token.state,
        "\n".join(token.scopes),
        "\n".join(token.projects),
        token.agent_name,
        (token.expires_at or _NEVER)[:10],
        (token.last_used_at or _NEVER)[:16],
    )


def revoke(name: Annotated[str, typer.Argument(help="The token's name.")]) -> None:
    """Revoke a token: servers refuse it within 30 seconds, and break its open streams off within a minute."""
    revoked = run(services.tokens.revoke_token, name)
    if not shown_as_json(revoked):
        say(strong(revoked.name), " is revoked; running servers notice within 30 seconds.")


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


def _span(text: str) -> timedelta | None:
    if text == _NEVER:
        return None
    found = _SPAN.fullmatch(text)
    if found is None:
        raise InvalidInput(f"--expires {text!r} is no number of days: write it as 90d, or never")
    return timedelta(days=int(found[1]))
