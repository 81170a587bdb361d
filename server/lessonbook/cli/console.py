"""What all commands share: common options, one way to run work and to fail. How they print is in `output`."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand

from lessonbook.cli.output import (
    accept_all_characters,
    brief,
    clipped,
    console,
    print_facts,
    print_json,
    print_table,
    progress,
    say,
    strong,
    warn,
    write,
)
from lessonbook.domain.errors import ConfigError, Conflict, Forbidden, InvalidInput, LessonbookError, NotFound, TooMany
from lessonbook.domain.principals import CI, SCRIPT, TERMINAL

if TYPE_CHECKING:
    from pydantic import BaseModel

    from lessonbook.config.settings import Settings
    from lessonbook.domain.lesson import Caller
    from lessonbook.edges.access.gateway import Gateway
    from lessonbook.services.workspace import Workspace

__all__ = [
    "BAD_INPUT",
    "FAILED",
    "INTERRUPTED",
    "add_group",
    "brief",
    "clipped",
    "command",
    "console",
    "load",
    "options",
    "print_facts",
    "print_json",
    "print_table",
    "progress",
    "request",
    "run",
    "run_all",
    "run_command_line",
    "say",
    "shown_as_json",
    "strong",
    "wants_json",
    "warn",
    "with_options",
    "write",
]

P = ParamSpec("P")
T = TypeVar("T")
Model = TypeVar("Model", bound="BaseModel")

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130
_BAD_INPUT_ERRORS = (InvalidInput, NotFound, Conflict, Forbidden, ConfigError, TooMany)
_PANEL = "Options of all commands"

_options: ContextVar[dict[str, Any]] = ContextVar("options", default={})  # noqa: B039  # never changed, only replaced

ProjectOption = Annotated[
    str, typer.Option(help="The project; by default that of the working folder.", rich_help_panel=_PANEL)
]
DatabaseOption = Annotated[str, typer.Option(help="The database's URL.", rich_help_panel=_PANEL)]
ConfigOption = Annotated[
    Path | None, typer.Option(help="The configuration file.", dir_okay=False, rich_help_panel=_PANEL)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_PANEL)]
_COMMON: dict[str, tuple[Any, Any]] = {
    "project": (ProjectOption, ""),
    "database": (DatabaseOption, ""),
    "config": (ConfigOption, None),
    "json": (JsonOption, False),
}


class _Command(TyperCommand):
    """A command whose help lists the options that all commands share in a section of their own, last."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each panel, those of the command itself first."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                own = "Arguments" if parameter.param_type_name == "argument" else "Options"
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or own, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def command(group: typer.Typer, name: str, help_text: str | None = None) -> Callable[[Callable[..., None]], None]:
    """Return the decorator that adds a command, with the options that all commands share."""

    def add(act: Callable[..., None]) -> None:
        group.command(name, help=help_text, cls=_Command)(with_options(act))

    return add


def add_group(app: typer.Typer, name: str, help_text: str) -> typer.Typer:
    """Add a group of commands, which takes the shared options before the command, too; return it."""
    group = typer.Typer(help=help_text, invoke_without_command=True)
    group.callback()(with_options(_help_unless_command))
    app.add_typer(group, name=name)
    return group


def _help_unless_command(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        write(ctx.get_help())
        raise typer.Exit(BAD_INPUT)


def with_options(act: Callable[..., None]) -> Callable[..., None]:
    """Return `act` with the options that all commands share, besides its own; those named before it count as well."""
    own = inspect.signature(act).parameters
    hints = get_type_hints(act, include_extras=True)
    shared = {key: value for key, value in _COMMON.items() if key not in own}

    @functools.wraps(act)
    def whole(**values: Any) -> None:
        given = {key: values.pop(key) for key in shared}
        _options.set({**_options.get(), **{key: value for key, value in given.items() if value}})
        act(**values)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [parameter.replace(annotation=hints[key], kind=keyword) for key, parameter in own.items()]
    parameters += [
        inspect.Parameter(key, keyword, default=default, annotation=hint) for key, (hint, default) in shared.items()
    ]
    whole.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]  # inspect reads it
    whole.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return whole


def options() -> dict[str, Any]:
    """Return the shared options of the running command."""
    return _options.get()


def load(**overrides: Any) -> Settings:
    """Return the settings in force, the command line's options on top."""
    from lessonbook.config.settings import load_settings

    shared = options()
    database = {"url": url} if (url := shared.get("database")) else {}
    values = {**overrides, "project": shared.get("project"), "database": database}
    chosen = {key: value for key, value in values.items() if value not in (None, "", [], {})}
    return load_settings(chosen, file=shared.get("config"))


def request(model: type[Model], **values: Any) -> Model:
    """Return the request that a command's arguments make; None counts as left out.

    Raises:
        InvalidInput: an argument is out of bounds.
    """
    from lessonbook.domain.validation import parse

    return parse(model, values)


def run(service: Callable[Concatenate[Workspace, Caller, P], Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of one service, called by the person at the terminal."""
    return run_all(lambda gateway: gateway.call(service, *args, **kwargs))


def run_reporting(
    service: Callable[Concatenate[Workspace, Caller, P], Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Return the result of one service that takes evidence, called by whom this process runs for."""
    return run_all(lambda gateway: gateway.call(service, *args, **kwargs), reporting=True)


def run_all(act: Callable[[Gateway], Awaitable[T]], *, reporting: bool = False) -> T:
    """Return the result of several calls on one open database, by the person at the terminal.

    Evidence is of a person only where there is a terminal: where `reporting`, see `_reporter`.
    """
    import anyio

    from lessonbook.app import gateway_for
    from lessonbook.logs import set_up

    settings = load()
    set_up(settings.log_level, settings.log_format)

    async def whole() -> T:
        principal = _reporter() if reporting else TERMINAL
        gateway = gateway_for(settings, principal, person=principal == TERMINAL, in_folder=True)
        try:
            return await act(gateway)
        finally:
            await gateway.close()

    return anyio.run(whole)


def _reporter() -> str:
    """Return who reports: CI where the environment says that it is one, a person at a terminal, else a script.

    A script may be the agent's own; what it says is declared. That guards against accidents: whoever runs commands as
    the user can set the variable as well.
    """
    if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
        return CI
    return TERMINAL if any(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)) else SCRIPT


def run_command_line(app: typer.Typer) -> int:
    """Run the command that the arguments name, and return the exit code; each failure is a sentence on stderr."""
    accept_all_characters()
    _options.set({})
    try:
        code = app(standalone_mode=False, prog_name="lessonbook")
        sys.stdout.flush()
    except LessonbookError as error:
        where = f" ({error.place})" if error.place else ""
        warn(f"lessonbook: {error}{where}", colour="red")
        return BAD_INPUT if isinstance(error, _BAD_INPUT_ERRORS) else FAILED
    except typer.TyperException as error:
        path = getattr(getattr(error, "ctx", None), "command_path", "lessonbook")
        error.message = _wording(error)
        message = " ".join(error.format_message().split())
        message = message.replace("Got unexpected extra argument(s)", "That is more than the command takes:")
        warn(f"lessonbook: {message}", colour="red")
        warn(f"See `{path} --help`.", colour="")
        return error.exit_code
    except typer.Abort:
        warn("lessonbook: The question got no answer, so nothing was done.", colour="red")
        return FAILED
    except BrokenPipeError:
        # Whoever read our output has enough. What is still buffered must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _wording(error: typer.TyperException) -> str:
    """Return why an option is wrong. Typer lets pydantic read options, and passes its words on."""
    from pydantic import ValidationError

    from lessonbook.domain.corrections import correction_of

    if not isinstance(cause := error.__cause__, ValidationError):
        return error.message
    faults = cause.errors(include_url=False, include_input=False)
    own = "value_error"  # Typer's own checks, as of a file that has to exist
    return "; ".join(
        fault["msg"].removeprefix("Value error, ") if fault["type"] == own else correction_of(fault) for fault in faults
    )


def wants_json() -> bool:
    """Return whether the command has the option `--json`."""
    return bool(options().get("json"))


def shown_as_json(value: Any) -> bool:
    """Print `value` as JSON where `--json` asks for it, and return whether it did."""
    if wants_json():
        print_json(value)
    return wants_json()
