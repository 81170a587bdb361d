"""Messages that are not right: drawn from a seed, so that each run sends the same ones."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any, Final

from tests.contract.links import HANDSHAKE, STATELESS

_META: Final = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
_REQUESTS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("initialize", {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}),
    ("ping", {}),
    ("tools/list", {}),
    ("tools/call", {"name": "get_lessons", "arguments": {"task": "build a zeppelin", "max_lessons": 3}}),
    ("tools/call", {"name": "report_issues", "arguments": {"issues": [{"description": "It broke"}], "source": "qa"}}),
    ("tools/call", {"name": "get_stats", "arguments": {"days": 3}}),
    ("resources/list", {}),
    ("resources/read", {"uri": "lesson://Labcdefgh23"}),
    ("prompts/list", {}),
    ("prompts/get", {"name": "learned-lessons", "arguments": {"task": "x"}}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "x"}, "argument": {"name": "id", "value": "L"}}),
    ("notifications/initialized", {}),
    ("notifications/cancelled", {"requestId": 3, "reason": "x"}),
    ("server/discover", {}),
)
_JUNK: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 10**40, 1.5, float("nan"), float("inf"), "", " ", "x" * 20_000, "a\0b", "\ud800", "é" * 300),
    *([], [None], [[[]]] * 50, {}, {"a": {"b": [{}]}}, {"": ""}, "2.0", "tools/call", STATELESS, {"id": 1}),
)


def malformed_messages(count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` messages without a line break, most of them wrong in one or two places, some no JSON at all."""
    source = random.Random(seed)
    for number in range(count):
        yield _message(source, number).replace(b"\n", b" ").replace(b"\r", b" ") or b" "


def _message(source: random.Random, number: int) -> bytes:
    method, params = source.choice(_REQUESTS)
    whole: Any = {"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": _META}}
    whole = json.loads(json.dumps(whole))
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        _spoil(source, whole)
    match source.randrange(12):
        case 0:
            whole = [whole] * source.choice((0, 1, 3))
        case 1:
            whole = _junk(source)
        case 2:
            whole = {"jsonrpc": "2.0", "id": _junk(source), source.choice(("result", "error")): whole}
        case _:
            pass
    text = json.dumps(whole, ensure_ascii=source.random() < 0.9)
    return _spoiled_bytes(source, text.encode("utf-8", "surrogatepass"))


def _spoiled_bytes(source: random.Random, line: bytes) -> bytes:
    """Return a message of which half keep their bytes, and the others are cut, changed, repeated or nested."""
    at = source.randrange(len(line) + 1)
    return source.choice(
        (
            *([line] * 6),
            line[:at],
            bytes(source.randrange(256) for _ in range(source.randrange(1, 400))),
            line[:at] + bytes([source.randrange(256)]) + line[at + 1 :],
            line * source.choice((2, 3)),
            b"[" * source.choice((10, 900, 30_000)) + line,
            line.replace(b'"id"', b'"id": 1, "id"', 1),
        )
    )


def _junk(source: random.Random) -> Any:
    """Return a value of any kind, a new one, since it may be spoilt in its turn."""
    return copy.deepcopy(source.choice(_JUNK))


def _spoil(source: random.Random, whole: dict[str, Any]) -> None:
    """Remove, replace, rename or add a member of an object somewhere in a message."""
    here: dict[str, Any] = whole
    while True:
        inner = [value for value in here.values() if isinstance(value, dict) and value]
        if not inner or source.random() < 0.4:
            break
        here = source.choice(inner)
    name = source.choice(list(here))
    match source.randrange(4):
        case 0:
            del here[name]
            here.setdefault("x", 1)
        case 1:
            here[name] = _junk(source)
        case 2:
            here[name + "x"] = here.pop(name)
        case _:
            here[str(source.choice(_JUNK))[:40]] = _junk(source)
