"""pgbouncer and nginx for tests, where they are installed."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

PORT = 6432
SESSIONS = 3
"""Sessions of the server, fewer than a store has connections: hardly a transaction gets the session of the last one."""
NOBODY = 65_534


def program(name: str) -> str:
    """Return where a program is, or skip the test."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if not found:
        pytest.skip(f"{name} is not installed: `apt-get install pgbouncer nginx` installs what this test needs")
    return found


@contextmanager
def pgbouncer(server_url: str, **settings: object) -> Iterator[str]:
    """Start pgbouncer in front of a server, and give the URL of the server's database `postgres` through it.

    Args:
        server_url: the server's own URL.
        settings: of pgbouncer, beside those it needs; by default it pools transactions.
    """
    parts = urlsplit(server_url)
    host = parse_qs(parts.query).get("host", [parts.hostname or "localhost"])[0]
    to = {"host": host, "port": parts.port or 5432, "user": parts.username or "postgres"}
    if parts.password:
        to["password"] = unquote(parts.password)
    with _folder() as folder:
        whole = {
            "unix_socket_dir": folder,
            "unix_socket_mode": "0777",
            "listen_port": PORT,
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": SESSIONS,
            "max_client_conn": 400,
            **settings,
        }
        lines = ["[databases]", f"* = {' '.join(f'{key}={value}' for key, value in to.items())}", "[pgbouncer]"]
        configured = folder / "pgbouncer.ini"
        configured.write_text("\n".join([*lines, *(f"{key} = {value}" for key, value in whole.items())]))
        # Its socket, where the server's is one, may be in a folder that only its owner enters.
        owner = Path(host).stat().st_uid if host.startswith("/") else NOBODY
        command = [program("pgbouncer"), str(configured)]
        user = owner if os.geteuid() == 0 else None
        with subprocess.Popen(command, user=user, stderr=subprocess.PIPE, text=True) as process:
            try:
                _read_until(process.stderr, "process up")
                yield f"postgresql://postgres@/postgres?host={quote(str(folder))}&port={PORT}"
            finally:
                process.kill()


@contextmanager
def nginx(upstreams: Sequence[str]) -> Iterator[str]:
    """Start nginx in front of three servers as `docs/nginx.conf` says, and give its URL.

    Args:
        upstreams: the servers, as `address:port`.
    """
    command = program("nginx")
    with _folder() as folder, socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        (folder / "nginx.conf").write_text(_sample(folder, port, upstreams))
        # It takes over a socket that listens already, as it does when its program is replaced: the port is not lost.
        given = {**os.environ, "NGINX": f"{listening.fileno()};"}
        with subprocess.Popen(
            [command, "-p", str(folder), "-c", str(folder / "nginx.conf")],
            pass_fds=[listening.fileno()],
            env=given,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                _read_until(process.stderr, "start worker process ")
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()


def _sample(folder: Path, port: int, upstreams: Sequence[str]) -> str:
    """Return the documented configuration for other servers, on a port without TLS, with all files in a folder."""
    text = (Path(__file__).parents[1] / "docs" / "nginx.conf").read_text()
    places = iter(upstreams)
    text, count = re.subn(r"(?<=\bserver )\d+\.\d+\.\d+\.\d+:\d+", lambda _: next(places), text)
    assert count == len(upstreams)
    text = re.sub(r"ssl_\w+ [^;]*;", "", text).replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    text = text.replace("http {", f"http {{ access_log off; {paths}", 1)
    return f"daemon off; pid {folder}/pid; error_log stderr notice;\n{text}"


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder that everybody may enter and write in, under /tmp: a socket's path may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="lessonbook-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def _read_until(log: IO[str] | None, sign: str) -> None:
    assert log is not None
    said: list[str] = []
    for line in log:
        said.append(line)
        if sign in line:
            return
    raise AssertionError("".join(said))
