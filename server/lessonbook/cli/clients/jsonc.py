"""Changes of one member in JSON with comments: everything else stays as it is, byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from lessonbook.domain.errors import InvalidInput

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_DEPTH_MAX: Final = 100
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_INDENT: Final = "  "
_COMMENT: Final = "comment"


def read(text: str) -> dict[str, Any]:
    """Return the object that a text holds; an empty one where it holds nothing but comments.

    Raises:
        InvalidInput: the text is not one JSON object, comments and trailing commas apart, or names a member twice.
    """
    root = _Source.of(text).root()
    return {} if root is None else _object(root, 0)


def with_member(text: str, key: str, name: str, value: dict[str, Any]) -> str:
    """Return the text after setting the member `name` of the object `key`.

    Raises:
        InvalidInput: as for `read`, or `key` is not an object.
    """
    source = _Source.of(text)
    root = source.root()
    if root is None:
        gap = "" if not text or text.endswith("\n") else source.line_end
        return text + gap + source.written({key: {name: value}}, "") + source.line_end
    group = _find(root, key)
    if group is None:
        return source.added(root, key, {name: value})
    servers = _object_of(group, key)
    member = _find(servers, name)
    if member is None:
        return source.added(servers, name, value)
    old = _part(member, "value")
    return source.replaced(old.start_byte, old.end_byte, source.written(value, source.indent_of(member)))


def without_member(text: str, key: str, name: str) -> str:
    """Return the text after removing the member `name` of the object `key`.

    Raises:
        InvalidInput: as for `with_member`.
    """
    source = _Source.of(text)
    root = source.root()
    group = None if root is None else _find(root, key)
    member = None if group is None else _find(_object_of(group, key), name)
    return text if member is None else source.removed(member)


@dataclass(frozen=True, slots=True)
class _Source:
    """A text as the parser reads it: as bytes, in parentheses, so that its braces are those of an object."""

    data: bytes

    @classmethod
    def of(cls, text: str) -> _Source:
        return cls(b"(" + text.encode() + b"\n)")

    @property
    def line_end(self) -> str:
        return "\r\n" if b"\r\n" in self.data else "\n"

    def root(self) -> Node | None:
        """Return the outermost object, or None where there are only comments.

        JavaScript's grammar is read, since it has comments and trailing commas; what it has beyond JSON is refused
        where the tree is walked.
        """
        bare = _parser().parse(self.data[1:-1]).root_node
        if all(child.type == _COMMENT for child in bare.children):
            return None
        top = _parser().parse(self.data).root_node
        if top.has_error:
            raise InvalidInput(f"it is not valid JSON{_where(top)}")
        node = top
        for kind in ("expression_statement", "parenthesized_expression", "object"):
            inside = [child for child in node.named_children if child.type != _COMMENT]
            if len(inside) != 1 or inside[0].type != kind:
                raise InvalidInput("it does not hold one JSON object")
            node = inside[0]
        return node

    def replaced(self, start: int, end: int, text: str) -> str:
        """Return the text with other words between two places."""
        return (self.data[1:start] + text.encode() + self.data[end:-2]).decode()

    def added(self, parent: Node, name: str, value: Any) -> str:
        """Return the text with a member behind all others of an object, in the style of these."""
        pairs = _pairs(parent)
        if pairs and b"\n" not in self.data[parent.start_byte : parent.end_byte]:
            end = pairs[-1].end_byte
            return self.replaced(end, end, f", {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}")
        outer = self.indent_of(parent)
        inner = self.indent_of(pairs[-1]) if pairs else outer + self._unit()
        end = pairs[-1].end_byte if pairs else parent.start_byte + 1
        # Behind the last comment: one that stands behind the last member, on its line, belongs to that.
        kept = self.data[end : max(end, parent.children[-2].end_byte)].decode()
        comma = _comma_after(pairs[-1]) if pairs else None
        member = f"{json.dumps(name)}: {self.written(value, inner)}{',' if comma else ''}"
        before = f"{',' if pairs and not comma else ''}{kept}{self.line_end}{inner}"
        return self.replaced(end, parent.end_byte - 1, f"{before}{member}{self.line_end}{outer}")

    def removed(self, member: Node) -> str:
        """Return the text without a member, its comma, and the line that is then empty."""
        parent = member.parent
        if parent is not None and parent.named_child_count == 1:
            return self.replaced(parent.start_byte, parent.end_byte, "{}")
        start, end = member.start_byte, member.end_byte
        comma = _comma_after(member)
        if comma is not None:
            end = comma.end_byte
        line = self.data.rfind(b"\n", 0, start) + 1
        rest = re.match(rb"[ \t]*\r?\n", self.data[end:])
        if line and rest and not self.data[line:start].strip():
            start, end = line, end + rest.end()
        elif comma is not None:
            end += len(self.data[end:]) - len(self.data[end:].lstrip(b" \t"))
        before = _comma_before(member) if comma is None else None
        if before is None:
            return self.replaced(start, end, "")
        between = self.data[before.end_byte : start]
        return self.replaced(before.start_byte, end, between.decode() if between.strip() or b"\n" in between else "")

    def written(self, value: Any, indent: str) -> str:
        """Return a value as JSON whose further lines begin with an indentation."""
        lines = json.dumps(value, indent=self._unit(), ensure_ascii=False).splitlines()
        return f"{self.line_end}{indent}".join(lines)

    def indent_of(self, node: Node) -> str:
        """Return the indentation of the line on which a node begins."""
        line = self.data.rfind(b"\n", 0, node.start_byte) + 1
        found = re.match(rb"[ \t]*", self.data[line:])
        return found[0].decode() if found else ""

    def _unit(self) -> str:
        found = re.search(rb"\{[ \t\r]*\n([ \t]+)[^ \t\r\n]", self.data)
        return found[1].decode() if found else _INDENT


@cache
def _parser() -> Parser:
    import tree_sitter_javascript
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_javascript.language()))


def _where(top: Node) -> str:
    """Return the line of the first fault, for a message."""
    waiting = [top]
    while waiting:
        node = waiting.pop(0)
        if node.is_error or node.is_missing:
            return f" (line {node.start_point.row + 1})"
        waiting += [child for child in node.children if child.has_error]
    return ""


def _pairs(node: Node) -> list[Node]:
    """Return the members of an object."""
    return [child for child in node.named_children if child.type != _COMMENT]


def _members(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield the members of an object with their names."""
    seen: set[str] = set()
    for pair in _pairs(node):
        if pair.type != "pair":
            raise _not_json(pair)
        name = _scalar(_part(pair, "key"))
        if not isinstance(name, str):
            raise _not_json(pair)
        if name in seen:
            raise InvalidInput(f"it names {name!r} twice (line {pair.start_point.row + 1})")
        seen.add(name)
        yield name, pair


def _find(node: Node, name: str) -> Node | None:
    return dict(_members(node)).get(name)


def _part(pair: Node, field: str) -> Node:
    found = pair.child_by_field_name(field)
    if found is None:
        raise _not_json(pair)
    return found


def _object_of(pair: Node, key: str) -> Node:
    value = _part(pair, "value")
    if value.type != "object":
        raise InvalidInput(f"its {key!r} is not an object")
    return value


def _object(node: Node, depth: int) -> dict[str, Any]:
    return {name: _value(_part(pair, "value"), depth + 1) for name, pair in _members(node)}


def _value(node: Node, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        raise InvalidInput(f"it is nested more than {_DEPTH_MAX} levels deep")
    if node.type == "object":
        return _object(node, depth)
    if node.type == "array":
        return [_value(child, depth + 1) for child in node.named_children if child.type != _COMMENT]
    return _scalar(node)


def _scalar(node: Node) -> Any:
    """Return a string, number or constant; Python's reader decides what JSON's are."""
    if node.type in _CONSTANTS:
        return _CONSTANTS[node.type]
    try:
        return json.loads(node.text or b"")
    except ValueError as error:
        raise _not_json(node) from error


def _not_json(node: Node) -> InvalidInput:
    return InvalidInput(f"it is not valid JSON (line {node.start_point.row + 1})")


def _comma_after(pair: Node) -> Node | None:
    following = pair.next_sibling
    while following is not None and following.type == _COMMENT:
        following = following.next_sibling
    return following if following is not None and following.type == "," else None


def _comma_before(pair: Node) -> Node | None:
    earlier = pair.prev_sibling
    while earlier is not None and earlier.type == _COMMENT:
        earlier = earlier.prev_sibling
    return earlier if earlier is not None and earlier.type == "," else None
