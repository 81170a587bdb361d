from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.errors import ConfigError, LessonbookError
from lessonbook.store.engine import connect
from lessonbook.store.urls import PostgresAddress, SqliteAddress, parse_address, without_password
from tests.store.scenario import scalar

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///lessons.db", "lessons.db"),
        ("sqlite:///folder/lessons.db", "folder/lessons.db"),
        ("sqlite:////srv/lessons.db", "/srv/lessons.db"),
        ("sqlite+aiosqlite:////srv/lessons.db", "/srv/lessons.db"),
        ("SQLite:////srv/lessons.db", "/srv/lessons.db"),
        ("sqlite:////srv/a folder/é.db", "/srv/a folder/é.db"),
        ("sqlite:///~/lessons.db", str(Path("~/lessons.db").expanduser())),
        ("sqlite://", None),
        ("sqlite:///", None),
        ("sqlite:///:memory:", None),
    ],
)
def test_a_sqlite_address_names_a_file_or_memory(url: str, path: str | None) -> None:
    if path is not None and "~" in url:
        path = str(Path("~/lessons.db").expanduser())  # the home of the test, not of the person
    assert parse_address(url) == SqliteAddress(Path(path) if path else None)


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg2", "PostgreSQL"]
)
def test_a_postgresql_address_is_known_by_any_of_its_schemes(scheme: str) -> None:
    assert parse_address(f"{scheme}://me@host:5433/db?sslmode=disable") == PostgresAddress(
        "postgresql://me@host:5433/db?sslmode=disable"
    )


@pytest.mark.parametrize("url", ["", "lessons.db", "/srv/lessons.db", "mysql://u@h/db", "http://host/db", "://x"])
def test_any_other_address_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(ConfigError, match=r"not understood: write sqlite:///.* or postgresql://"):
        parse_address(url)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@host/db",
        f"postgresql://me:{SECRET}@host:5432,other:5433/db?sslmode=require",
        f"postgresql://:{SECRET}@host/db",
        f"mysql://me:{SECRET}@host/db",
        f"postgresql://me:p#{SECRET}@host/db",
        f"postgresql://me:p/{SECRET}@host/db",
        f"postgresql://me:p?{SECRET}@host/db",
        f"postgresql://me:p@{SECRET}@host/db",
        f"postgresql://me:p\n{SECRET}@host/db",
        f"postgresql://me:[{SECRET}@host/db",
        f"postgresql:///db?user=me&password={SECRET}",
        f"postgresql:///db?PASSWORD={SECRET}&host=/run",
        f"postgresql://host/db?sslpassword={SECRET}",
    ],
)
def test_an_address_is_shown_without_its_password(url: str) -> None:
    assert SECRET not in without_password(url)
    assert "***" in without_password(url)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////srv/lessons.db",
        "postgresql://me@host:5432/db",
        "postgresql://host:5432/db",
        "postgresql://postgres@/db?host=/run/pg&sslmode=disable",
        "postgresql:///db",
    ],
)
def test_an_address_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert without_password(url) == url


@given(st.text(min_size=8).filter(lambda text: "postgresql" not in text), st.sampled_from(["postgresql", "mysql", "x"]))
def test_no_password_of_any_characters_is_shown(password: str, scheme: str) -> None:
    shown = without_password(f"{scheme}://me:{password}@host/db")
    assert shown == f"{scheme}://me:***@host/db"


def spellings(url: str) -> list[str]:
    """Return the server's address as people may write it."""
    rest = url.partition("://")[2]
    mark = "&" if "?" in rest else "?"
    return [
        f"postgresql://{rest}",
        f"postgres://{rest}",
        f"postgresql+asyncpg://{rest}",
        f"postgresql://{rest}{mark}sslmode=disable",
        f"postgresql://{rest}{mark}application_name=somebody",
    ]


@pytest.mark.anyio
async def test_every_spelling_reaches_the_real_server(postgres_url: str) -> None:
    for url in spellings(postgres_url):
        store = connect(parse_address(url))
        assert await scalar(store, "SELECT 1 + 1") == 2
        assert await scalar(store, "SELECT current_setting('timezone')") == "UTC"
        await store.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@127.0.0.1:port/db",
        f"postgresql://me:{SECRET}@127.0.0.1:99999/db",
        f"postgresql://me:pa/{SECRET}@127.0.0.1:5432/db",
        f"postgresql://me:{SECRET}@127.0.0.1:5432/db?sslmode=perhaps",
        f"postgresql://me:{SECRET}@[::1/db",
    ],
)
async def test_an_address_nobody_understands_is_refused_without_its_password(url: str) -> None:
    store = connect(parse_address(url))
    with pytest.raises(LessonbookError) as caught:
        await scalar(store, "SELECT 1")
    told = f"{caught.value} {caught.value.place}"  # the place is for the terminal and the log alone
    assert SECRET not in told
    assert "127.0.0.1" in told or "::1" in told or "***" in told
    await store.close()


@pytest.mark.anyio
async def test_a_parameter_the_server_does_not_know_is_an_error_in_the_configuration(postgres_url: str) -> None:
    url = postgres_url + ("&" if "?" in postgres_url else "?") + "no_such_parameter=1"
    store = connect(parse_address(url))
    with pytest.raises(ConfigError, match="check the port, the parameters"):
        await scalar(store, "SELECT 1")
    await store.close()
