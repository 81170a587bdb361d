"""Where a person's settings lie on each platform."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Literal

from lessonbook.domain.errors import InvalidInput

Platform = Literal["linux", "darwin", "win32"]


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides where a client's file is: the platform, the home folder and some variables."""

    platform: Platform
    home: str
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def current(cls) -> Machine:
        """Return this machine; `home` is empty where the person has no home folder."""
        try:
            home = str(Path.home()) if Path.home().is_dir() else ""
        except RuntimeError:  # no HOME, and no such user
            home = ""
        platform: Platform = "win32" if sys.platform == "win32" else "darwin" if sys.platform == "darwin" else "linux"
        return cls(platform, home, dict(os.environ))

    def place(self, template: str) -> PurePath:
        """Return the path that a template names, such as `{settings}/Claude/claude_desktop_config.json`.

        `{home}` is the home folder, `{config}` the XDG folder (by default `~/.config`), `{settings}` the platform's
        folder for settings of applications, `{zed}`, `{codex}` and `{copilot}` those programs' own folders.

        Raises:
            InvalidInput: the person has no home folder.
        """
        if not self.home:
            raise InvalidInput("You have no home folder: set HOME to the folder that holds your settings")
        return self._path(template.format_map(self._folders()))

    def _folders(self) -> dict[str, str]:
        config = self._variable("XDG_CONFIG_HOME", ".config")
        roaming = self._variable("APPDATA", "AppData/Roaming")
        support = str(self._path(self.home) / "Library" / "Application Support")
        return {
            "home": self.home,
            "config": config,
            "settings": {"linux": config, "darwin": support, "win32": roaming}[self.platform],
            "zed": {
                "linux": f"{config}/zed",
                "darwin": str(self._path(self.home) / ".config" / "zed"),
                "win32": f"{roaming}/Zed",
            }[self.platform],
            "codex": self._variable("CODEX_HOME", ".codex"),
            "copilot": self._variable("COPILOT_HOME", ".copilot"),
        }

    def _variable(self, name: str, default: str) -> str:
        """Return the folder that a variable names; a relative one counts as not set, as the XDG rules say."""
        given = self.variables.get(name, "")
        return given if given and self._path(given).is_absolute() else str(self._path(self.home) / default)

    def _path(self, text: str) -> PurePath:
        return PureWindowsPath(text) if self.platform == "win32" else PurePosixPath(text)
