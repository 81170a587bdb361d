"""A language model's provider on loopback, over real HTTP, that behaves and misbehaves as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.patience import PATIENCE_S

KEY = "sk-test-" + "k9" * 12
TOKENS_IN, TOKENS_OUT = 1_200, 300


@dataclass
class Asked:
    """One request as the provider got it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def system(self) -> str:
        """What it was told as instructions."""
        if "messages" in self.body and "system" not in self.body:
            return "\n".join(m["content"] for m in self.body["messages"] if m["role"] in {"system", "developer"})
        return json.dumps(self.body.get("system") or self.body.get("instructions") or "")

    @property
    def user(self) -> str:
        """What stood in the user's message."""
        messages = self.body.get("messages") or self.body["input"]
        content = next(m["content"] for m in messages if m.get("role") == "user")
        return content if isinstance(content, str) else "".join(part["text"] for part in content)

    @property
    def data(self) -> list[dict[str, Any]]:
        """The lines between the marks."""
        return [json.loads(line) for line in self.user.splitlines()[1:-1]]


Behaviour = Callable[["_Handler", Asked], None]


@dataclass
class FakeProvider:
    """`script` holds a behaviour per request; the last one stays in force."""

    url: str = ""
    script: list[Behaviour] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def will(self, *behaviours: Behaviour) -> None:
        self.script = list(behaviours)

    def settings(self, **others: Any) -> dict[str, Any]:
        """The refiner's settings that lead here."""
        quick = {"timeout_s": PATIENCE_S, "retries": 0, "every_s": 1, "api_key_env": "LESSONBOOK_TEST_KEY"}
        return {"model": "small-model", "base_url": f"{self.url}/v1", **quick, **others}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider: FakeProvider

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, json.loads(body))
        self.provider.asked.append(asked)
        script = self.provider.script
        behave = script.pop(0) if len(script) > 1 else script[0]
        try:
            behave(self, asked)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@contextmanager
def fake_provider() -> Iterator[FakeProvider]:
    provider = FakeProvider()
    handler = type("Handler", (_Handler,), {"provider": provider})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        provider.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield provider
        finally:
            provider.released.set()
            server.shutdown()
            thread.join()


def says(**abstraction: Any) -> Behaviour:
    """Answer in the agreed form, in the protocol of the endpoint that was asked."""
    return lambda handler, asked: handler.send(200, json.dumps(_answer(asked, abstraction)).encode())


def uncounted(**abstraction: Any) -> Behaviour:
    """Answer in the agreed form without a word on what was used."""

    def behave(handler: _Handler, asked: Asked) -> None:
        answer = _answer(asked, abstraction)
        del answer["usage"]
        handler.send(200, json.dumps(answer).encode())

    return behave


def fits_all(lesson: str = "Give each outgoing request a timeout.", **about: Any) -> Behaviour:
    """Word one lesson for every issue that is in the data."""

    def behave(handler: _Handler, asked: Asked) -> None:
        numbers = [line["issue"] for line in asked.data if "issue" in line]
        says(lessons=[{"issues": numbers, "lesson": lesson, **about}])(handler, asked)

    return behave


def fails(status: int, message: str = "no", **headers: str) -> Behaviour:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps({"error": {"message": f"{message}: {KEY}", "type": "x", "code": None}}).encode()
    return lambda handler, _: handler.send(status, body, named)


def sends(body: bytes) -> Behaviour:
    """Answer with these bytes."""
    return lambda handler, _: handler.send(200, body)


def cut(handler: _Handler, _: Asked) -> None:
    """Begin an answer and cut the connection."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"id": ')
    handler.close_connection = True


def stalls(handler: _Handler, _: Asked) -> None:
    """Say nothing until the test is over."""
    handler.provider.released.wait()
    handler.close_connection = True


def floods(handler: _Handler, _: Asked) -> None:
    """Answer without end."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65_536)


def _answer(asked: Asked, abstraction: dict[str, Any]) -> dict[str, Any]:
    tool = asked.body["tools"][0]
    if asked.path.endswith("/messages"):
        call = {"type": "tool_use", "id": "c1", "name": tool["name"], "input": abstraction}
        usage = {"input_tokens": TOKENS_IN, "output_tokens": TOKENS_OUT}
        about = {"id": "m", "type": "message", "role": "assistant", "model": asked.body["model"]}
        return {**about, "content": [call], "stop_reason": "tool_use", "stop_sequence": None, "usage": usage}
    if asked.path.endswith("/responses"):
        call = {"type": "function_call", "id": "f1", "call_id": "c1", "name": tool["name"], "status": "completed"}
        usage = {
            "input_tokens": TOKENS_IN,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": TOKENS_OUT,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": TOKENS_IN + TOKENS_OUT,
        }
        about = {"id": "m", "object": "response", "created_at": 1, "status": "completed", "model": asked.body["model"]}
        settled = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": usage}
        return {**about, **settled, "output": [{**call, "arguments": json.dumps(abstraction)}]}
    call = {"name": tool["function"]["name"], "arguments": json.dumps(abstraction)}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": call}],
    }
    return {
        "id": "m",
        "object": "chat.completion",
        "created": 1,
        "model": asked.body["model"],
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
        "usage": {
            "prompt_tokens": TOKENS_IN,
            "completion_tokens": TOKENS_OUT,
            "total_tokens": TOKENS_IN + TOKENS_OUT,
        },
    }
