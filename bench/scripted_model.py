"""A model on loopback that calls one tool and then stops, in four vendors' protocols, and keeps what it was given."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

TOOL: Final = "get_lessons"
TASK: Final = "Add a search endpoint that builds its SQL from the query string"
_ARGUMENTS: Final = {"task": TASK, "files": ["app/search.py"]}
Event = tuple[str, dict[str, Any]]


class ScriptedModel:
    """A model endpoint on a free port: `offered` has the tools it was offered, `read` the results it was given."""

    def __init__(self) -> None:
        self.offered: list[str] = []
        self.read: list[Any] = []
        self.paths: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "ScriptedModel":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def events(self, path: str, body: dict[str, Any]) -> list[Event]:
        """Return the answer to one request as server-sent events."""
        self.paths.append(path)
        if path.endswith("/messages"):
            return list(_anthropic(self, body))
        if path.endswith("/responses"):
            return list(_responses(self, body))
        if path.endswith("/chat/completions"):
            return list(_completions(self, body))
        return list(_gemini(self, body)) if "GenerateContent" in path else []

    def choose(self, names: list[str], results: list[Any]) -> str | None:
        """Return the tool to call; None where there is none, or where its result was given."""
        self.offered = [name for name in names if "lessonbook" in name] or self.offered
        if results:
            self.read = results
            return None
        return next((name for name in names if name.endswith(TOOL)), None)


def _anthropic(model: ScriptedModel, body: dict[str, Any]) -> Iterator[Event]:
    blocks = [
        block
        for message in body.get("messages", [])
        if isinstance(message.get("content"), list)
        for block in message["content"]
    ]
    results = [block.get("content") for block in blocks if block.get("type") == "tool_result"]
    tool = model.choose([each["name"] for each in body.get("tools", [])], results)
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": body.get("model"), "content": []}
    usage = {"input_tokens": 1, "output_tokens": 1}
    yield "message_start", {"type": "message_start", "message": {**start, "stop_reason": None, "usage": usage}}
    if tool:
        block: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": tool, "input": {}}
        delta: dict[str, Any] = {"type": "input_json_delta", "partial_json": json.dumps(_ARGUMENTS)}
    else:
        block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": "Done."}
    yield "content_block_start", {"type": "content_block_start", "index": 0, "content_block": block}
    yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
    yield "content_block_stop", {"type": "content_block_stop", "index": 0}
    stop = {"stop_reason": "tool_use" if tool else "end_turn", "stop_sequence": None}
    yield "message_delta", {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 1}}
    yield "message_stop", {"type": "message_stop"}


def _responses(model: ScriptedModel, body: dict[str, Any]) -> Iterator[Event]:
    spaces: dict[str, str] = {}
    for tool in body.get("tools", []):
        if tool.get("type") == "namespace":
            spaces |= {f"{tool['name']}.{inner['name']}": tool["name"] for inner in tool.get("tools", [])}
        elif tool.get("type") == "function":
            spaces[tool["name"]] = ""
    given = body.get("input", [])
    results = [item.get("output") for item in given if item.get("type") == "function_call_output"]
    chosen = model.choose(list(spaces), results)
    if chosen:
        space = spaces[chosen]
        name = chosen.removeprefix(f"{space}.")
        item: dict[str, Any] = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name}
        item |= {"arguments": json.dumps(_ARGUMENTS), "status": "completed"} | ({"namespace": space} if space else {})
    else:
        text = [{"type": "output_text", "text": "Done.", "annotations": []}]
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": text}
    answer = {"id": "resp_1", "object": "response", "status": "completed", "output": [item]}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    yield (
        "response.created",
        {"type": "response.created", "response": {**answer, "status": "in_progress", "output": []}},
    )
    yield "response.output_item.added", {"type": "response.output_item.added", "output_index": 0, "item": item}
    yield "response.output_item.done", {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield "response.completed", {"type": "response.completed", "response": {**answer, "usage": usage}}


def _completions(model: ScriptedModel, body: dict[str, Any]) -> Iterator[Event]:
    names = [tool["function"]["name"] for tool in body.get("tools") or [] if "function" in tool]
    results = [each.get("content") for each in body.get("messages", []) if each.get("role") == "tool"]
    tool = model.choose(names, results)
    delta: dict[str, Any] = {"role": "assistant", "content": "Done."}
    if tool:
        function = {"name": tool, "arguments": json.dumps(_ARGUMENTS)}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        delta = {"role": "assistant", "tool_calls": [call]}
    chunk = {"id": "chat_1", "object": "chat.completion.chunk", "created": 1, "model": body.get("model")}
    yield "", {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    reason = "tool_calls" if tool else "stop"
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    yield "", {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage}


def _gemini(model: ScriptedModel, body: dict[str, Any]) -> Iterator[Event]:
    names = [each["name"] for tool in body.get("tools", []) for each in tool.get("functionDeclarations", [])]
    parts = [part for content in body.get("contents", []) for part in content.get("parts", [])]
    results = [part["functionResponse"].get("response") for part in parts if "functionResponse" in part]
    tool = model.choose(names, results)
    part = {"functionCall": {"name": tool, "args": _ARGUMENTS}} if tool else {"text": "Done."}
    content = {"role": "model", "parts": [part]}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    yield "", {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}], "usageMetadata": usage}


def _handler(model: ScriptedModel) -> type[BaseHTTPRequestHandler]:
    class ModelHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(b'{"data": [], "models": []}', "application/json")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            path = self.path.split("?")[0]
            events = model.events(path, body)
            if path.endswith(":generateContent") and events:
                self._send(json.dumps(events[0][1]).encode(), "application/json")
                return
            lines = "".join(
                f"event: {name}\ndata: {json.dumps(data)}\n\n" if name else f"data: {json.dumps(data)}\n\n"
                for name, data in events
            )
            tail = "data: [DONE]\n\n" if path.endswith("/chat/completions") else ""
            self._send((lines + tail).encode(), "text/event-stream") if events else self._send(
                b'{"input_tokens": 1}', "application/json"
            )

        def _send(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's names
            """Print nothing."""

    return ModelHandler
