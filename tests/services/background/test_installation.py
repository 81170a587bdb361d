"""The doctor looks at the installation: files, file system, server, addresses and tokens; each note says what to do."""

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from lessonbook.config import working_folder
from lessonbook.config.settings import Settings, user_file
from lessonbook.services.background.doctor_checks import diagnose
from lessonbook.services.background.installation import warnings
from lessonbook.services.workspace import Workspace
from lessonbook.store import installation
from lessonbook.store.tokens import TokenRow

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, tzinfo=UTC)
sqlite_alone = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
postgresql_alone = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)


def told(settings: Mapping[str, Any], *tokens: TokenRow) -> list[str]:
    return warnings(Settings.model_validate(settings), list(tokens))


def token(name: str, *scopes: Any, expires_at: datetime | None = None) -> TokenRow:
    return TokenRow(name, list(scopes), ["demo"], "", NOW, expires_at, None, None)


def test_usual_settings_give_no_note() -> None:
    assert told({}) == []
    team = {
        "server": {"host": "0.0.0.0", "public_url": "https://lessons.example"},
        "auth": {"accept": ["tokens"]},
        "semantic": {"model": "/models/small"},
    }
    assert told(team, token("agent", "lessons:read")) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"server": {"host": "0.0.0.0", "public_url": "https://x.example"}}, 'auth.accept = ["tokens"]'),
        ({"server": {"host": "0.0.0.0"}, "auth": {"accept": ["oauth"]}}, "server.public_url"),
        ({"server": {"allowed_hosts": ["*.example"]}}, "letter for letter"),
        ({"server": {"allowed_origins": ["null"]}}, "take it out"),
        ({"server": {"public_url": "http://x.example"}}, "proxy with TLS"),
        ({"server": {"allowed_origins": ["http://x.example"]}}, "proxy with TLS"),
        ({"auth": {"accept": ["tokens"]}}, "lessonbook token create"),
        ({"semantic": {"model": "/m", "timeout_s": 40}}, "set at most 5"),
    ],
)
def test_a_risky_setting_is_named_with_what_to_do(settings: dict[str, Any], words: str) -> None:
    (note,) = told(settings)
    assert words in note


def test_strong_tokens_that_never_expire_are_named() -> None:
    auth = {"auth": {"accept": ["tokens"]}}
    later = NOW + timedelta(days=9)
    (note,) = told(auth, token("boss", "lessons:approve"), token("ci", "evidence:write", expires_at=later))
    assert "boss" in note
    assert "ci" not in note.split(":")[1]


@pytest.mark.skipif(os.name == "nt", reason="files have no modes")
def test_files_that_others_may_change_or_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "jwks.json"
    keys.write_text("{}")
    issuer = {"auth": {"accept": ["oauth"], "jwks": str(keys)}}
    keys.chmod(0o644)
    assert told(issuer) == []
    keys.chmod(0o666)
    (note,) = told(issuer)
    assert f"chmod go-w {keys}" in note

    user_file().parent.mkdir(parents=True)
    user_file().write_text('[database]\nurl = "postgresql://me:hunter2@db/lessons"\n')
    user_file().chmod(0o644)
    (note,) = told({"database": {"url": "postgresql://me:hunter2@db/lessons"}})
    assert f"chmod 600 {user_file()}" in note
    assert "hunter2" not in note
    user_file().chmod(0o600)
    assert told({"database": {"url": "postgresql://me:hunter2@db/lessons"}}) == []

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / working_folder.FILE_NAME
    folder.write_text('agent = "A"\n')
    folder.chmod(0o666)
    assert told({}) == []
    working_folder.trust(working_folder.read(folder))
    (note,) = told({})
    assert f"chmod go-w {folder}" in note


@sqlite_alone
async def test_a_file_whose_folder_file_system_or_log_is_at_risk_is_told_of(
    work: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(settings.database_url.removeprefix("sqlite:///"))

    async def found() -> str:
        return "\n".join(await work.store.read(installation.warnings))

    place.parent.chmod(0o700)
    before = await found()
    assert "chmod" not in before
    place.parent.chmod(0o777)
    assert f"chmod go-w {place.parent}" in await found()
    place.parent.chmod(0o700)
    monkeypatch.setattr(installation, "kind_of", lambda _: "virtiofs")
    assert "virtiofs" in await found()
    monkeypatch.undo()
    monkeypatch.setattr(installation, "WAL_MUCH_BYTES", 1)
    assert "a program keeps a transaction open" in await found()
    monkeypatch.undo()
    usage = shutil.disk_usage(place.parent)._replace(free=7_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert "only 7 MB left" in await found()
    assert "only 7 MB left" in "\n".join((await diagnose(work)).warnings)


@sqlite_alone
async def test_a_journal_that_is_not_wal_and_a_missing_wait_are_told_of(work: Workspace) -> None:
    def found(connection: Connection) -> str:
        raw: Any = connection.connection.driver_connection
        raw.execute("COMMIT")
        raw.execute("PRAGMA busy_timeout = 0")
        try:
            return "\n".join(installation.warnings(connection))
        finally:
            raw.execute("PRAGMA busy_timeout = 500")
            raw.execute("BEGIN")

    assert "busy_timeout is 0" in await work.store.read(found)
    assert "not WAL" not in "\n".join(await work.store.read(installation.warnings))


@postgresql_alone
async def test_a_server_that_may_lose_what_it_acknowledged_or_ignores_time_outs_is_told_of(work: Workspace) -> None:
    """The server of the tests is hasty, and they log in as its owner."""

    def found(connection: Connection) -> list[str]:
        return installation.warnings(connection)

    def without_time_outs(connection: Connection) -> list[str]:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        return installation.warnings(connection)

    notes = "\n".join(await work.store.read(found))
    assert "fsync = off" in notes
    assert "lessonbook db grant ROLE" in notes
    assert "not what Lessonbook asked for" not in notes
    assert "statement_timeout is not what Lessonbook asked for" in "\n".join(await work.store.read(without_time_outs))
