"""The clients that `install` knows. To add one, add its record here and its row to docs/clients.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from lessonbook.cli.clients.machine import Machine
from lessonbook.hooks.team_server import TOKEN_VARIABLE

Scope = Literal["project", "user"]
URL: Final = "<url>"
"""Where a record's remote entry holds the server's address."""


@dataclass(frozen=True, slots=True)
class McpClient:
    """Where one client keeps its MCP servers, and what an entry looks like there."""

    name: str
    title: str
    files: Mapping[Scope, tuple[str, ...]]
    """For each scope the files the client reads: relative to the project's top folder, or templates of `Machine`. The
    first scope is the default. The first file that exists is changed, else the first is made."""
    key: str = "mcpServers"
    """The table that holds the servers, by name."""
    first: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Keys of an entry before the command."""
    last: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Keys of an entry after the arguments."""
    joined: bool = False
    """Whether command and arguments are one list."""
    comments: bool = False
    """Whether the client accepts comments in its file."""
    remote: Mapping[str, Any] | None = None
    """The entry of a server over HTTP, where the client reads the token from the environment by itself."""
    starts_in_project: bool = True
    """Whether the client starts servers in the project's folder, so that they find the project."""
    afterwards: str = ""
    """What a person does in the client after the first `install`."""

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The scopes that the client has, its default first."""
        return tuple(self.files)

    def candidates(self, scope: Scope, machine: Machine) -> tuple[str, ...]:
        """Return the files of a scope: relative to the project's top folder, or absolute for a person's own."""
        if scope == "project":
            return self.files[scope]
        return tuple(str(machine.place(template)) for template in self.files[scope])

    def entry(self, command: str, arguments: list[str]) -> dict[str, Any]:
        """Return the entry that starts a server with a command."""
        start = {"command": [command, *arguments]} if self.joined else {"command": command, "args": arguments}
        return {**self.first, **start, **self.last}

    def remote_entry(self, url: str) -> dict[str, Any] | None:
        """Return the entry of a server over HTTP; None where the client cannot take the token from the environment."""
        if self.remote is None:
            return None
        return {key: url if value == URL else value for key, value in self.remote.items()}


def _bearer(reference: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {reference}"}


_RESTART: Final = "Restart it, and ask it for the lessonbook tools."

CLIENTS: Final = {
    client.name: client
    for client in (
        McpClient(
            "claude-code",
            "Claude Code",
            {"project": (".mcp.json",)},
            first={"type": "stdio"},
            last={"alwaysLoad": True},  # else the tools are hidden behind a search for tools
            remote={
                "type": "http",
                "url": URL,
                "headers": _bearer("${LESSONBOOK_TOKEN}"),
                "alwaysLoad": True,
            },
            afterwards="Start `claude` in the project once, and approve the server when it asks.",
        ),
        McpClient(
            "claude-desktop",
            "Claude Desktop",
            {"user": ("{settings}/Claude/claude_desktop_config.json",)},
            starts_in_project=False,
            afterwards="Quit it completely, not only its window, and start it again.",
        ),
        McpClient(
            "cursor",
            "Cursor",
            {"project": (".cursor/mcp.json",), "user": ("{home}/.cursor/mcp.json",)},
            remote={"url": URL, "headers": _bearer("${env:LESSONBOOK_TOKEN}")},
            afterwards="Switch the server on in Settings, MCP.",
        ),
        McpClient(
            "vscode",
            "VS Code",
            {"project": (".vscode/mcp.json",), "user": ("{settings}/Code/User/mcp.json",)},
            key="servers",
            first={"type": "stdio"},
            comments=True,
            remote={"type": "http", "url": URL, "headers": _bearer("${env:LESSONBOOK_TOKEN}")},
            afterwards="Start the server with the command `MCP: List Servers`, and trust it when asked.",
        ),
        McpClient(
            "codex",
            "Codex",
            {"user": ("{codex}/config.toml",), "project": (".codex/config.toml",)},
            key="mcp_servers",
            # Its own bound on a server's start is 10 s, which a cold start on a busy machine exceeds. A server that
            # does not start stops Codex with a message, instead of lessons that are silently missing.
            last={"startup_timeout_sec": 30, "required": True},
            comments=True,
            remote={"url": URL, "bearer_token_env_var": TOKEN_VARIABLE, "required": True},
            afterwards="Start a new session; a file in a project counts once you trust the project.",
        ),
        McpClient(
            "gemini",
            "Gemini CLI",
            {"project": (".gemini/settings.json",), "user": ("{home}/.gemini/settings.json",)},
            comments=True,
            remote={"httpUrl": URL, "headers": _bearer("${LESSONBOOK_TOKEN}")},
            afterwards="Start `gemini` in the project, and trust the folder: in others it starts no server.",
        ),
        McpClient(
            "opencode",
            "opencode",
            {
                "project": ("opencode.json", "opencode.jsonc", ".opencode/opencode.json", ".opencode/opencode.jsonc"),
                "user": ("{config}/opencode/opencode.json", "{config}/opencode/opencode.jsonc"),
            },
            key="mcp",
            first={"type": "local"},
            last={"enabled": True},
            joined=True,
            comments=True,
            remote={"type": "remote", "url": URL, "headers": _bearer("{env:LESSONBOOK_TOKEN}"), "enabled": True},
            afterwards=_RESTART,
        ),
        McpClient(
            "windsurf",
            "Windsurf",
            {"user": ("{home}/.codeium/windsurf/mcp_config.json",)},
            remote={"serverUrl": URL, "headers": _bearer("${env:LESSONBOOK_TOKEN}")},
            starts_in_project=False,
            afterwards="Refresh the servers in Cascade.",
        ),
        McpClient(
            "zed",
            "Zed",
            {"user": ("{zed}/settings.json",), "project": (".zed/settings.json",)},
            key="context_servers",
            last={"env": {}},
            comments=True,
            afterwards="Look for a green dot in the settings of the agent panel.",
        ),
        McpClient(
            "cline",
            "Cline",
            {"user": ("{settings}/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",)},
            last={"disabled": False},
            starts_in_project=False,
            afterwards="Open Cline's list of MCP servers, and restart the server there.",
        ),
        McpClient(
            "copilot-cli",
            "GitHub Copilot CLI",
            {"user": ("{copilot}/mcp-config.json",), "project": (".github/mcp.json",)},
            first={"type": "local"},
            last={"tools": ["*"]},
            remote={"type": "http", "url": URL, "headers": _bearer("${LESSONBOOK_TOKEN}"), "tools": ["*"]},
            afterwards="Start `copilot` in the project; `/mcp` shows the server.",
        ),
        McpClient(
            "kiro",
            "Kiro",
            {"project": (".kiro/settings/mcp.json",), "user": ("{home}/.kiro/settings/mcp.json",)},
            last={"disabled": False},
            remote={"url": URL, "headers": _bearer("${LESSONBOOK_TOKEN}"), "disabled": False},
            afterwards=_RESTART,
        ),
        McpClient(
            "junie",
            "Junie",
            {"project": (".junie/mcp/mcp.json",), "user": ("{home}/.junie/mcp/mcp.json",)},
            afterwards="Look for the server in Settings, Tools, Junie, MCP Settings.",
        ),
    )
}
"""Every known client, by the name that `install` takes."""
