"""Settings: command line, then environment, then a TOML file, then defaults. config.example.toml describes them."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit

from platformdirs import user_config_path, user_data_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from lessonbook.errors import ConfigError

FILE_NAME: Final = "lessonbook.toml"
_SECRET: Final = re.compile(r"key|token|secret|password|base_url", re.I)
"""Settings whose value may be, by mistake, a secret: it is never repeated in an error."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _address(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc):
        raise PydanticCustomError("address", "write it as https://host/v1, without a name or key in it")
    return url


def _variable(name: str) -> str:
    if name and not re.fullmatch(r"[A-Za-z_]\w{0,99}", name):
        raise PydanticCustomError("variable", "name an environment variable, not the key itself")
    return name


class DatabaseSettings(_Section):
    """Where the lessons are kept."""

    url: str = ""
    """`sqlite:////path/file.db` or `postgresql://…`; empty: SQLite in the user's data folder."""


class ServerSettings(_Section):
    """How the server is reached over HTTP."""

    host: str = "127.0.0.1"
    port: int = Field(default=8642, ge=0, le=65_535)
    allowed_hosts: list[str] = []
    """Further values of the Host header to accept, `name` or `name:port`."""
    allowed_origins: list[str] = []
    """Further web origins to accept, `https://name`."""
    toolsets: list[Literal["agent", "operator"]] = []
    """Empty: both on stdio, `agent` alone on HTTP."""


class LearningSettings(_Section):
    """How lessons are measured and retired."""

    mode: Literal["auto", "curated", "measured"] = "auto"
    """When a coin decides: `auto`, for agents with enough evidence to learn from it; `curated`, never; `measured`."""
    always_show: list[Literal["critical", "high", "medium", "low"]] = ["critical"]
    ttl_days: int = Field(default=90, ge=1, le=3_650)


class TrustSettings(_Section):
    """Which lessons wait for a person."""

    review: Literal["none", "risky", "all"] = "risky"


class LimitsSettings(_Section):
    """What one principal may write in an hour; people at the terminal are not limited. 0: no limit."""

    issues_per_hour: int = Field(default=100_000, ge=0)
    lessons_per_hour: int = Field(default=1_000, ge=0)
    """Once its reports have made so many, further ones may not offer lessons of their own."""


class RefinerSettings(_Section):
    """How issues become lessons, and the language model that may word them."""

    default_agent: str = "*"
    """Who gets an issue that names no agent and fits none."""
    model: str = Field(default="", max_length=200)
    """`anthropic:NAME`, `openai:NAME`, …; with `base_url` the name that server knows. Empty: no model."""
    base_url: str = ""
    """An OpenAI-compatible server, `https://host/v1`; empty: the provider's own."""
    api_key_env: str = ""
    """The environment variable that holds the key; empty: the provider's usual one, and none for `base_url`."""
    timeout_s: float = Field(default=60.0, gt=0, le=600)
    """How long one attempt may take."""
    retries: int = Field(default=2, ge=0, le=5)
    """How often a failed attempt is repeated, with growing pauses or those the provider asks for."""
    batch_size: int = Field(default=10, ge=1, le=50)
    """Issues in one request."""
    max_output_tokens: int = Field(default=4_000, ge=200, le=64_000)
    """What one answer may hold at most."""
    daily_tokens: int = Field(default=500_000, ge=0)
    """What a project may spend in a UTC day, in and out; 0: no ceiling."""
    daily_cost_usd: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """The same in US dollars, where the price is known; 0: no ceiling."""
    input_usd_per_million: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """The price of a million tokens in; 0 for both prices: the published one, if there is one."""
    output_usd_per_million: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """The price of a million tokens out."""
    background: bool = True
    """Whether a server with a model works on pending issues by itself."""
    every_s: float = Field(default=300.0, ge=1, le=86_400)
    """How long a server waits before it looks for pending issues again."""

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        return _address(url)

    @field_validator("api_key_env")
    @classmethod
    def _is_variable(cls, name: str) -> str:
        return _variable(name)


class SemanticSettings(_Section):
    """Embeddings, by which lessons are found that say the same in other words."""

    model: str = Field(default="", max_length=400)
    """The folder of a sentence-transformers or model2vec model; with `base_url` the name that server knows."""
    base_url: str = ""
    """An OpenAI-compatible server, `https://host/v1`; empty: `model` is a folder here."""
    api_key_env: str = ""
    """The environment variable that holds the server's key; empty: no key."""
    timeout_s: float = Field(default=3.0, gt=0, le=60)
    """How long a query may wait for its embedding before it is answered without."""
    batch_size: int = Field(default=64, ge=1, le=1_000)
    """Lessons in one request."""
    every_s: float = Field(default=30.0, ge=1, le=86_400)
    """How long a server waits before it looks for new lessons to embed again."""

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        return _address(url)

    @field_validator("api_key_env")
    @classmethod
    def _is_variable(cls, name: str) -> str:
        return _variable(name)


class DataSettings(_Section):
    """Files that replace those shipped in the package."""

    roster: Path | None = None
    catalogue: Path | None = None


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="LESSONBOOK_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="forbid",
        frozen=True,
    )

    project: str = Field(default="", max_length=200)
    agent: str = Field(default="", max_length=100)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    database: DatabaseSettings = DatabaseSettings()
    server: ServerSettings = ServerSettings()
    learning: LearningSettings = LearningSettings()
    trust: TrustSettings = TrustSettings()
    limits: LimitsSettings = LimitsSettings()
    refiner: RefinerSettings = RefinerSettings()
    semantic: SemanticSettings = SemanticSettings()
    data: DataSettings = DataSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # the interface passes all of them
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # read by `load_settings`, between file and line
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # a stray .env must not steer the server
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # unused
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the values given and nothing else: `load_settings` has put them in order."""
        return (init_settings,)

    @property
    def database_url(self) -> str:
        """The database to use, the default filled in."""
        return self.database.url or f"sqlite:///{user_data_path('lessonbook', appauthor=False) / 'lessonbook.db'}"


def load_settings(overrides: Mapping[str, Any] | None = None, *, file: Path | None = None) -> Settings:
    """Return the settings in force. `overrides` are the command line's, keyed as in the file (`{"project": "x"}`).

    Raises:
        ConfigError: a key or value is wrong; the message names it and where it stands.
    """
    path = file or _found_file()
    below = _read(path) if path else {}
    if url := os.environ.get("DATABASE_URL"):
        below = _merged(below, {"database": {"url": url}})
    try:
        environment = EnvSettingsSource(Settings)()
        settings = Settings(**_merged(_merged(below, environment), overrides or {}))
    except ValidationError as error:
        raise ConfigError(_sentence(error, path, below, overrides or {})) from error
    return settings


def _found_file() -> Path | None:
    if named := os.environ.get("LESSONBOOK_CONFIG"):
        return Path(named)
    for place in (Path(FILE_NAME), user_config_path("lessonbook", appauthor=False) / FILE_NAME):
        if place.is_file():
            return place
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as handle:
            return tomllib.load(handle)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = _is_table(merged.get(key)) and _is_table(value)
        merged[key] = _merged(_table(merged[key]), _table(value)) if both else value
    return merged


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _table(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _sentence(error: ValidationError, path: Path | None, in_file: Mapping[str, Any], on_line: Mapping[str, Any]) -> str:
    first = error.errors(include_url=False)[0]
    keys = tuple(str(part) for part in first["loc"])
    name = ".".join(keys)
    variable = "LESSONBOOK_" + "_".join(keys).upper()
    if _holds(on_line, keys):
        place = "the command line"
    elif variable in os.environ or not _holds(in_file, keys):
        place = variable
    else:
        place = "DATABASE_URL" if name == "database.url" and "DATABASE_URL" in os.environ else str(path)
    value = "…" if _SECRET.search(name) else repr(first["input"])
    if first["type"] == "extra_forbidden":
        return f"{place}: there is no setting {name!r} (value {value}). See config.example.toml."
    if first["type"] in {"model_type", "dict_type"}:
        return (
            f"{place}: {name} = {value} is wrong: it is a table of settings. "
            f"Write [{name}] and its keys below it, as in config.example.toml."
        )
    return f"{place}: {name} = {value} is wrong: {first['msg'][:1].lower()}{first['msg'][1:]}."


def _holds(values: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    """Return whether `values` has the setting that `keys` lead to, or the table it belongs to has another type."""
    here: object = values
    for key in keys:
        if not _is_table(here):
            return True
        table = _table(here)
        if key not in table:
            return False
        here = table[key]
    return True


def project_of(folder: Path) -> str:
    """Return the project of a working folder: its git remote without credentials, else its top folder's name.

    A folder that is in no git checkout belongs to the project `default`.
    """
    top = _git(folder, "rev-parse", "--show-toplevel")
    if not top:
        return "default"
    remote = _git(folder, "config", "--get", "remote.origin.url")
    return (_remote_name(remote) if remote else "") or Path(top).name or "default"


def _remote_name(remote: str) -> str:
    """Return `host/owner/name` of a remote in any of git's spellings."""
    scp = re.fullmatch(r"(?:[^@/]+@)?([\w.-]+):(?!//)(.+)", remote)
    if scp:
        host, path = scp.groups()
    else:
        parts = urlsplit(remote)
        host, path = parts.hostname or "", parts.path
    name = "/".join(part for part in (host, path.strip("/").removesuffix(".git")) if part)
    return name[:200]


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # fixed words, no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # the person's own git
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
