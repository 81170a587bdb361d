"""The skills extension of MCP (`io.modelcontextprotocol/skills`, SEP-2640): how to work with Lessonbook, as files.

Each skill is a folder of the package with a `SKILL.md`, which is also a resource. `skills/list` and `skills/get` give
its frontmatter and a digest of each file, so that a client shows, approves and verifies it before it reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from mcp.server.context import ServerRequestContext
from mcp.server.extension import Extension, MethodBinding, ResourceBinding
from mcp.server.mcpserver.resources import TextResource
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, PaginatedRequestParams, RequestParams
from mcp_types.version import is_version_at_least

_FOLDER: Final = files("lessonbook") / "data" / "skills"
_FOR_AGENTS: Final = ("work-with-lessons", "write-post-mortem")
_FOR_OPERATORS: Final = ("refine-backlog",)
_FENCE: Final = "---\n"
_CACHED: Final = "2026-07-28"
"""The first protocol whose results say how long they may be cached."""
_TTL_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill: the address and the text of its only file."""

    uri: str
    text: str

    @property
    def frontmatter(self) -> dict[str, str]:
        """The fields at the top of the file, as they stand there: one a line, each a plain text."""
        head = self.text.removeprefix(_FENCE).partition(_FENCE)[0]
        return {name: value for name, _, value in (line.partition(": ") for line in head.splitlines())}

    def to_entry(self) -> dict[str, Any]:
        """Return the skill as the extension's methods describe it."""
        content = self.text.encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        resources = [{"uri": self.uri, "digest": digest, "size": len(content)}]
        return {"uri": self.uri, "frontmatter": self.frontmatter, "resources": resources}


def load_skills(*, operators: bool) -> list[Skill]:
    """Return the packaged skills whose tools are served."""
    names = sorted((*_FOR_AGENTS, *(_FOR_OPERATORS if operators else ())))
    return [
        Skill(f"skill://lessonbook/{name}/SKILL.md", (_FOLDER / name / "SKILL.md").read_bytes().decode())
        for name in names
    ]


class _SkillChoice(RequestParams):
    uri: str


class Skills(Extension):
    """Serves the packaged skills, those for `operators` only where their tools are served."""

    identifier = "io.modelcontextprotocol/skills"

    def __init__(self, *, operators: bool) -> None:
        self._skills = {skill.uri: skill for skill in load_skills(operators=operators)}

    def resources(self) -> Sequence[ResourceBinding]:
        """Return each skill's file."""
        return [ResourceBinding(_resource_of(skill)) for skill in self._skills.values()]

    def methods(self) -> Sequence[MethodBinding]:
        """Return `skills/list` and `skills/get`."""
        return [
            MethodBinding("skills/list", PaginatedRequestParams, self._list),
            MethodBinding("skills/get", _SkillChoice, self._get),
        ]

    async def _list(self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams) -> dict[str, Any]:
        if params.cursor:
            raise MCPError(INVALID_PARAMS, "skills/list has one page: leave cursor out")
        return _cacheable(ctx, {"skills": [skill.to_entry() for skill in self._skills.values()]})

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: _SkillChoice) -> dict[str, Any]:
        skill = self._skills.get(params.uri)
        if skill is None:
            raise MCPError(INVALID_PARAMS, "There is no such skill: skills/list names those that are served")
        return _cacheable(ctx, {"skill": skill.to_entry()})


def _resource_of(skill: Skill) -> TextResource:
    fields = skill.frontmatter
    return TextResource(
        uri=skill.uri,
        name=fields["name"],
        description=fields["description"],
        mime_type="text/markdown",
        text=skill.text,
    )


def _cacheable(ctx: ServerRequestContext[Any, Any], result: dict[str, Any]) -> dict[str, Any]:
    """Return a result, with how long it may be cached where the protocol has that."""
    if not is_version_at_least(ctx.protocol_version, _CACHED):
        return result
    return {"resultType": "complete", **result, "ttlMs": _TTL_MS, "cacheScope": "public"}
