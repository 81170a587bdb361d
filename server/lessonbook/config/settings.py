"""Settings: command line, then environment, then TOML files, then defaults. config.example.toml describes them."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from platformdirs import user_config_path, user_data_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from lessonbook.config import environment
from lessonbook.config.working_folder import (
    FILE_NAME,
    FolderFile,
    brief,
    find_files,
    permitted,
    read_toml,
    shown,
    warning,
)
from lessonbook.domain.corrections import correction_of
from lessonbook.domain.documents import is_object, list_of, object_of
from lessonbook.domain.errors import ConfigError
from lessonbook.machine.patterns import lazy_pattern

log = logging.getLogger(__name__)
_PROVIDERS: Final = {
    "api.openai.com": {"OPENAI_API_KEY"},
    "api.anthropic.com": {"ANTHROPIC_API_KEY"},
    "generativelanguage.googleapis.com": {"GOOGLE_API_KEY", "GEMINI_API_KEY"},
}
"""The variables that hold a provider's key, by its host."""
DELIVERIES_KEPT_MIN_DAYS: Final = 90
_SECRET: Final = lazy_pattern(r"key|token|secret|password|base_url", re.I)
"""Settings whose value may be a secret, perhaps by mistake: errors never repeat it."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)  # `Settings` checks its sections itself


class _ModelServer(_Section):
    """The server of a model, and the variable that holds its key."""

    base_url: str = ""
    """An OpenAI-compatible server, `https://host/v1`."""
    api_key_env: str = ""
    """The environment variable that holds the key. Where it is empty, a server at `base_url` gets no key."""

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc):
            raise PydanticCustomError("address", "write it as https://host/v1, without a name or key in it")
        return url

    @field_validator("api_key_env")
    @classmethod
    def _is_variable(cls, name: str, info: ValidationInfo) -> str:
        base_url: str = info.data.get("base_url", "")
        if name and not re.fullmatch(r"[A-Za-z_]\w{0,99}", name):
            raise PydanticCustomError("variable", "name an environment variable, not the key itself")
        if name and base_url and not name.startswith(environment.PREFIX):
            parts = urlsplit(base_url)
            if parts.scheme != "https" or name not in _PROVIDERS.get(parts.hostname or "", set()):
                raise PydanticCustomError(
                    "foreign", "a server at base_url gets a key of its own: put it in a variable named LESSONBOOK_…_KEY"
                )
        return name

    def read_key(self, section: str, environment: Mapping[str, str]) -> str:
        """Return the key in the variable that `api_key_env` names; empty where it names none.

        Raises:
            ConfigError: the variable is not set. `section` is the name of the settings' table.
        """
        key = environment.get(self.api_key_env, "") if self.api_key_env else ""
        if self.api_key_env and not key:
            raise ConfigError(f"{section}.api_key_env names {self.api_key_env}, which is not set in the environment")
        return key


class DatabaseSettings(_Section):
    """Where the lessons are kept."""

    url: str = ""
    """`sqlite:////path/file.db` or `postgresql://…`; empty: SQLite in the user's data folder."""
    replica_url: str = ""
    """A `postgresql://…` replica of the same database, for listings and figures; empty: none."""
    keep_deliveries_days: int = Field(default=0, ge=0, le=36_500)
    """How long deliveries are kept as rows; their counts by day stay. 0: for ever; else 90 at least."""

    @field_validator("replica_url")
    @classmethod
    def _is_replica(cls, url: str) -> str:
        if url and urlsplit(url).scheme.partition("+")[0] not in {"postgresql", "postgres"}:
            raise PydanticCustomError("replica", "write it as postgresql://user@host/database")
        return url

    @field_validator("keep_deliveries_days")
    @classmethod
    def _is_long_enough(cls, days: int) -> int:
        if 0 < days < DELIVERIES_KEPT_MIN_DAYS:
            raise PydanticCustomError("short", "write 0 (for ever), or 90 at least: late checks and verdicts need them")
        return days


class ServerSettings(_Section):
    """How the server is reached over HTTP."""

    host: str = "127.0.0.1"
    port: int = Field(default=8642, ge=0, le=65_535)
    public_url: str = ""
    """Where clients reach the server, `https://name`: its Host and Origin are accepted as well."""
    allowed_hosts: list[str] = []
    """Further values of the Host header to accept, `name` or `name:port`."""
    allowed_origins: list[str] = []
    """Further web origins to accept, `https://name`."""
    root_path: str = Field(default="", max_length=200, pattern=r"^(?:/[\w.~-]+)*$")
    """The prefix under which a proxy serves this server, `/lessonbook`; the proxy may pass it on or take it away."""
    max_connections: int = Field(default=1_000, ge=0, le=100_000)
    """Connections and requests at once; more are refused with 503. 0: no bound."""
    metrics: bool = False
    """Whether /metrics is served, for Prometheus."""
    toolsets: list[Literal["agent", "operator"]] = []
    """Empty: both on stdio, `agent` alone on HTTP."""

    @field_validator("public_url")
    @classmethod
    def _is_origin(cls, url: str) -> str:
        parts = urlsplit(url)
        is_origin = parts.scheme in {"http", "https"} and parts.hostname and parts.path in {"", "/"} and not parts.query
        if url and (not is_origin or "@" in parts.netloc):
            raise PydanticCustomError("origin", "write it as https://name, without a path")
        return url.rstrip("/")


class LearningSettings(_Section):
    """How lessons are measured and retired."""

    mode: Literal["auto", "curated", "measured"] = "auto"
    """When a coin decides: `auto`, for agents with enough evidence to learn from it; `curated`, never; `measured`."""
    always_show: list[Literal["critical", "high", "medium", "low"]] = ["critical"]
    ttl_days: int = Field(default=90, ge=1, le=3_650)
    reporters: list[str] = []
    """Principals that are the project's own CI: the evidence of one of these alone may promote, retire and stop."""


class TrustSettings(_Section):
    """Which lessons wait for a person."""

    review: Literal["auto", "none", "risky", "others", "all"] = "auto"
    """`auto`: `others` over HTTP with authorisation, else `risky`."""


Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class AuthSettings(_Section):
    """Whose tokens are accepted over HTTP."""

    accept: list[Literal["tokens", "oauth"]] = []
    """`tokens`: those of `lessonbook token create`; `oauth`: those of an issuer. Empty: nobody needs one."""
    issuer: str = ""
    """The `iss` of its tokens, letter for letter."""
    audience: str = ""
    """The `aud` that its tokens have for this server; where it is this server's address, clients find the issuer."""
    jwks: str = ""
    """Its public keys: the absolute path of a file, or an address."""
    algorithms: list[Algorithm] = ["RS256", "ES256"]
    """With which its tokens may be signed: by a private key alone, so that nobody can sign with a public one."""
    projects_claim: str = "lessonbook_projects"
    agent_claim: str = "lessonbook_agent"

    @field_validator("jwks")
    @classmethod
    def _is_place(cls, place: str) -> str:
        parts = urlsplit(place)
        is_own = parts.hostname in {"127.0.0.1", "localhost", "::1"}
        is_address = parts.scheme == "https" or (parts.scheme == "http" and is_own)
        if place and not is_address and not Path(place).is_absolute():
            raise PydanticCustomError("place", "write an https:// address, or the absolute path of a file")
        return place

    @field_validator("algorithms")
    @classmethod
    def _are_some(cls, names: list[str]) -> list[str]:
        if not names:
            raise PydanticCustomError("none", "name the algorithms that the issuer signs with, as RS256")
        return names


class LimitsSettings(_Section):
    """What one principal may do; people at the terminal are not limited. 0: no limit."""

    issues_per_hour: int = Field(default=1_000_000, ge=0)
    lessons_per_hour: int = Field(default=5_000, ge=0)
    """Lessons its reports may make; beyond that reports may not offer lessons."""
    runs_per_hour: int = Field(default=1_000_000, ge=0)
    """Calls for lessons: each may log a run with its deliveries."""
    applications_per_hour: int = Field(default=1_000_000, ge=0)
    """Applications and verdicts, one for each lesson."""
    flags_per_hour: int = Field(default=2_000, ge=0)
    checks_per_hour: int = Field(default=1_000_000, ge=0)
    """Runs that are reported on."""
    files_per_hour: int = Field(default=10_000, ge=0)
    """Report files."""
    decisions_per_hour: int = Field(default=10_000, ge=0)
    """Answers to pending issues, reviews, and clean-ups that are carried out."""
    calls_per_minute: int = Field(default=30_000, ge=0)
    """Calls of any kind with its token."""
    tokens_per_project: int = Field(default=1_000, ge=0)
    """Valid tokens for one project, whoever makes them."""


class RefinerSettings(_ModelServer):
    """How issues become lessons, and the language model that may word them.

    Where `base_url` is empty the model is at its provider, and an empty `api_key_env` means the provider's usual one.
    """

    default_agent: str = "*"
    """The agent of an issue that names none and fits none."""
    model: str = Field(default="", max_length=200)
    """`anthropic:NAME`, `openai:NAME`, …; with `base_url` the name that server gives the model. Empty: no model."""
    timeout_s: float = Field(default=60.0, gt=0, le=600)
    """Time-out of one attempt."""
    retries: int = Field(default=2, ge=0, le=5)
    """Retries of a failed attempt, after growing pauses or those the provider asks for."""
    batch_size: int = Field(default=10, ge=1, le=50)
    """Issues in one request."""
    max_output_tokens: int = Field(default=4_000, ge=200, le=64_000)
    """Maximum tokens of one answer."""
    daily_tokens: int = Field(default=500_000, ge=0)
    """Maximum tokens of a project in a UTC day, input and output; 0: no limit."""
    daily_cost_usd: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Maximum cost of a project in a UTC day, in US dollars, where the price is known; 0: no limit."""
    input_usd_per_million: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """The price of a million input tokens; 0 for both prices: the published one, if there is one."""
    output_usd_per_million: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """The price of a million output tokens."""
    background: bool = True
    """Whether a server with a model works on pending issues by itself."""
    every_s: float = Field(default=300.0, ge=1, le=86_400)
    """Seconds between two looks for pending issues."""


class SemanticSettings(_ModelServer):
    """Embeddings, by which lessons are found that say the same in other words."""

    model: str = Field(default="", max_length=400)
    """The folder of a sentence-transformers or model2vec model; with `base_url` the name on that server."""
    timeout_s: float = Field(default=3.0, gt=0, le=60)
    """Maximum wait of a query for its embedding; after it the query is answered by words alone."""
    batch_size: int = Field(default=64, ge=1, le=1_000)
    """Lessons in one request."""
    every_s: float = Field(default=30.0, ge=1, le=86_400)
    """Seconds between two looks for lessons to embed."""


class DataSettings(_Section):
    """Files that replace those shipped in the package."""

    roster: Path | None = None
    catalogue: Path | None = None


class Settings(_Section):
    """Everything that can be set."""

    project: str = Field(default="", max_length=200)
    agent: str = Field(default="", max_length=100)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    log_format: Literal["text", "json"] = "text"
    database: DatabaseSettings = DatabaseSettings.model_construct()
    server: ServerSettings = ServerSettings.model_construct()
    auth: AuthSettings = AuthSettings.model_construct()
    learning: LearningSettings = LearningSettings.model_construct()
    trust: TrustSettings = TrustSettings.model_construct()
    limits: LimitsSettings = LimitsSettings.model_construct()
    refiner: RefinerSettings = RefinerSettings.model_construct()
    semantic: SemanticSettings = SemanticSettings.model_construct()
    data: DataSettings = DataSettings.model_construct()

    @property
    def database_url(self) -> str:
        """The database to use, the default filled in."""
        return self.database.url or f"sqlite:///{user_data_path('lessonbook', appauthor=False) / 'lessonbook.db'}"


@dataclass(frozen=True, slots=True)
class _Layer:
    """Settings from one place."""

    place: str
    values: dict[str, Any]


def load_settings(overrides: Mapping[str, Any] | None = None, *, file: Path | None = None) -> Settings:
    """Return the settings in force. `overrides` are the command line's, keyed as in the file (`{"project": "x"}`).

    A `file`, or one that LESSONBOOK_CONFIG names, is the only one that is read.

    Raises:
        ConfigError: a key or value is wrong; the message names it and where it stands.
    """
    named = file or _named_file()
    files = [_layer_of(named)] if named else _found_layers()
    return _composed([*files, *_environment(), _Layer("the command line", dict(overrides or {}))])


def settings_with(file: FolderFile) -> tuple[Settings, Settings]:
    """Return the settings without a working folder's file, and those with it where it is trusted.

    Raises:
        ConfigError: a key or value is wrong.
    """
    user, above = _user_layers(), _environment()
    return _composed([*user, *above]), _composed([*user, _Layer(str(file.path), file.values), *above])


def _composed(layers: Sequence[_Layer]) -> Settings:
    """Return the settings of layers, the lowest first."""
    try:
        settings = Settings(**_merged_layers(layers))
    except ValidationError as error:
        raise ConfigError(_sentence(error, layers)) from error
    _refuse_relative(settings)
    environment.refuse_unknown(Settings, {settings.refiner.api_key_env, settings.semantic.api_key_env})
    return settings


def _refuse_relative(settings: Settings) -> None:
    """Refuse paths that mean another file in each working folder; those in a file were made absolute."""
    model = None if settings.semantic.base_url else settings.semantic.model
    data = settings.data
    for name, path in (("data.roster", data.roster), ("data.catalogue", data.catalogue), ("semantic.model", model)):
        if path and not Path(os.path.expanduser(path)).is_absolute():  # noqa: PTH111  # never raises
            raise ConfigError(f"{name} = {str(path)!r} is wrong: write its absolute path")


def _environment() -> list[_Layer]:
    url = os.environ.get("DATABASE_URL")
    theirs = [_Layer("DATABASE_URL", {"database": {"url": url}})] if url else []
    return [*theirs, *(_Layer(name, values) for name, values in environment.read(Settings))]


def _named_file() -> Path | None:
    """Return the file that LESSONBOOK_CONFIG names.

    Raises:
        ConfigError: its path is relative, so that it would name another file in each working folder.
    """
    named = os.environ.get("LESSONBOOK_CONFIG", "")
    path = Path(os.path.expanduser(named))  # noqa: PTH111  # never raises
    if named and not path.is_absolute():
        raise ConfigError(f"LESSONBOOK_CONFIG = {named!r} is wrong: write the file's absolute path")
    return path if named else None


def _layer_of(path: Path) -> _Layer:
    return _Layer(str(path), read_toml(path)[0])


def user_file() -> Path:
    """Return where the person's own configuration file is, or would be."""
    return user_config_path("lessonbook", appauthor=False) / FILE_NAME


def _user_layers() -> list[_Layer]:
    return [_layer_of(user_file())] if user_file().is_file() else []


def _found_layers() -> list[_Layer]:
    """Return the person's own file, the working folder's nearest trusted one, and what a nearer one may set.

    A file that is not trusted does not replace one that is.
    """
    layers = _user_layers()
    own = os.path.realpath(user_file())
    files = [file for file in find_files(Path()) if os.path.realpath(file.path) != own]
    trusted = next((file for file in files if file.is_trusted), None)
    if trusted:
        layers.append(_Layer(str(trusted.path), trusted.values))
    if files and files[0] is not trusted:
        toolsets = list_of(object_of(_merged_layers(layers).get("server")).get("toolsets"))
        kept, ignored = permitted(files[0], toolsets)
        layers.append(_Layer(str(files[0].path), kept))
        if ignored:
            log.warning("%s", warning(files[0], ignored))
    return layers


def _merged_layers(layers: Sequence[_Layer]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for layer in layers:
        whole = _merged(whole, layer.values)
    return whole


def _merged(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        beneath = merged.get(key)
        merged[key] = _merged(beneath, value) if is_object(beneath) and is_object(value) else value
    return merged


def _sentence(error: ValidationError, layers: Sequence[_Layer]) -> str:
    first = error.errors(include_url=False)[0]
    keys = tuple(str(part) for part in first["loc"])
    name = ".".join(shown(key) for key in keys)
    place = next((layer.place for layer in reversed(layers) if _holds(layer.values, keys)), "the settings")
    value = repr(first["input"])
    value = "…" if _SECRET.search(name) or "://" in value else brief(value)
    if first["type"] == "extra_forbidden":
        return f"{place}: there is no setting {name!r} (value {value}). See config.example.toml."
    if first["type"] in {"model_type", "dict_type"}:
        return (
            f"{place}: {name} = {value} is wrong: {name} is a table. "
            f"Write [{name}] and its keys below it, as in config.example.toml."
        )
    return f"{place}: {name} = {value} is wrong: {correction_of(first)}."


def _holds(values: dict[str, Any], keys: tuple[str, ...]) -> bool:
    """Return whether `values` has the setting that `keys` lead to, or the table it belongs to has another type."""
    here: object = values
    for key in keys:
        if not is_object(here):
            return True
        if key not in here:
            return False
        here = here[key]
    return True
