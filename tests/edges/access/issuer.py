"""A small real issuer: keys that rotate, a JWKS on loopback, and tokens signed with them, right or wrong."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUDIENCE = "https://lessonbook.example"


def new_key(kind: str = "RS256") -> Any:
    return rsa.generate_private_key(65537, 2048) if kind == "RS256" else ec.generate_private_key(ec.SECP256R1())


def public_jwk(key: Any, key_id: str, kind: str = "RS256") -> dict[str, Any]:
    algorithm: Any = jwt.get_algorithm_by_name(kind)
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig", "alg": kind}


def public_pem(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def encoded(part: Any) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass
class Issuer:
    """An issuer whose `keys` are private ones by key id; `asked` counts the requests for the public ones."""

    address: str = ""
    keys: dict[str, Any] = field(default_factory=lambda: {"one": new_key()})
    asked: int = 0
    is_down: bool = False

    @property
    def jwks(self) -> str:
        return f"{self.address}/jwks.json"

    def document(self) -> dict[str, Any]:
        return {"keys": [public_jwk(key, key_id) for key_id, key in self.keys.items()]}

    def claims(self, **others: Any) -> dict[str, Any]:
        now = int(time.time())
        known = {"iss": self.address, "aud": AUDIENCE, "sub": "ana", "iat": now, "exp": now + 600}
        known |= {"scope": "lessons:read stats:read openid"}
        return {name: value for name, value in {**known, **others}.items() if value is not None}

    def token(self, key_id: str = "one", header: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
        headers = {"kid": key_id, "typ": "at+jwt", **(header or {})}
        return jwt.encode(self.claims(**claims), key or self.keys[key_id], "RS256", headers=headers)


@contextmanager
def serving(issuer: Issuer) -> Iterator[Issuer]:
    """Serve the issuer's JWKS on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            body = json.dumps(issuer.document()).encode()
            self.send_response(503 if issuer.is_down else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    issuer.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
