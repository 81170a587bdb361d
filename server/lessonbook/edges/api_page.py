"""The page at /docs: the REST API for people, made from its OpenAPI document, without a script or another server."""

import json
from collections.abc import Iterator
from html import escape
from typing import Any, Final, cast

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: .9rem/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .5rem; border: 1px solid #8886; border-radius: .3rem; }
details { border-bottom: 1px solid #8886; padding: .4rem 0; }
summary { cursor: pointer; }
b.method { display: inline-block; min-width: 4rem; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }
"""
SECURITY_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
_Document = dict[str, Any]


def api_page(document: _Document, root_path: str = "") -> str:
    """Return an HTML page on an OpenAPI document; `root_path` is the prefix under which a proxy serves it."""
    info = document["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1><p>{escape(info.get('summary', ''))}</p>"
        f"<p>MCP is at <code>{escape(root_path)}/mcp</code>. Tools that read OpenAPI take "
        f'<a href="{escape(root_path)}/openapi.json">openapi.json</a>.</p>'
        f"{''.join(_operations(document, root_path))}</html>"
    )


def _operations(document: _Document, root_path: str) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            summary = operation.get("summary", "")
            yield (
                f'<details><summary><b class="method">{escape(method.upper())}</b> '
                f"<code>{escape(root_path + path)}</code> {escape(summary)}</summary>"
                f"<p>{escape(operation.get('description', ''))}</p>"
                f"{_parameters(operation)}{_body(document, operation)}{_answer(document, operation)}</details>"
            )


def _parameters(operation: _Document) -> str:
    rows = [
        f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['in'])}<td>{_kind(one.get('schema', {}))}"
        f"<td>{'required' if one.get('required') else ''}<td>{escape(one.get('description', ''))}"
        for one in operation.get("parameters", [])
    ]
    return f"<table><tr><th>parameter<th>in<th>type<th><th>{''.join(rows)}</table>" if rows else ""


def _kind(schema: _Document) -> str:
    kinds = [schema.get("type", ""), *(one.get("type", "") for one in schema.get("anyOf", []))]
    words = " or ".join(kind for kind in kinds if kind and kind != "null")
    default = schema.get("default")
    return escape(words + (f", default {json.dumps(default)}" if default not in (None, "") else ""))


def _body(document: _Document, operation: _Document) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return "".join(_schema(document, f"Body, {kind}", one.get("schema", {})) for kind, one in content.items())


def _answer(document: _Document, operation: _Document) -> str:
    content = operation.get("responses", {}).get("200", {}).get("content", {})
    return "".join(_schema(document, f"Answer, {kind}", one.get("schema", {})) for kind, one in content.items())


def _schema(document: _Document, heading: str, schema: _Document) -> str:
    if not schema:
        return ""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    schemas = cast("_Document", document.get("components", {}).get("schemas", {}))
    shown = json.dumps(schemas.get(name, schema), indent=2, ensure_ascii=False)
    return f"<p>{escape(heading)} <code>{escape(name)}</code></p><pre>{escape(shown)}</pre>"
