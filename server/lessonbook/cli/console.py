"""What all commands share: common options, one way to run work, one way to print and to fail."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import sys
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, TypeVar, get_type_hints

import typer

from lessonbook.domain.errors import ConfigError, Conflict, Forbidden, InvalidInput, LessonbookError, NotFound, TooMany

if TYPE_CHECKING:
    from rich.console import Console

    from lessonbook.config.settings import Settings
    from lessonbook.domain.lesson import Caller
    from lessonbook.edges.access.gateway import Gateway
    from lessonbook.services.workspace import Workspace

P = ParamSpec("P")
T = TypeVar("T")

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130
_MINDABLE = (InvalidInput, NotFound, Conflict, Forbidden, ConfigError, TooMany)
_PANEL = "Options of all commands"


_given: ContextVar[dict[str, Any]] = ContextVar("given", default={})  # noqa: B039  # never changed, only replaced

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


def command(group: typer.Typer, name: str, help_text: str | None = None) -> Callable[[Callable[..., None]], None]:
    """Return the decorator that adds a command, with the options that all commands share."""

    def add(act: Callable[..., None]) -> None:
        group.command(name, help=help_text)(with_options(act))

    return add


def with_options(act: Callable[..., None]) -> Callable[..., None]:
    """Return `act` with the options that all commands share, besides its own."""
    own = inspect.signature(act).parameters
    hints = get_type_hints(act, include_extras=True)
    shared = {key: value for key, value in _COMMON.items() if key not in own}

    @functools.wraps(act)
    def whole(**values: Any) -> None:
        _given.set({key: values.pop(key) for key in shared})
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
    return _given.get()


def load(**overrides: Any) -> Settings:
    """Return the settings in force, the command line's options on top."""
    from lessonbook.config.settings import load_settings

    given = options()
    values: dict[str, Any] = {key: value for key, value in overrides.items() if value not in (None, "", [], {})}
    if given.get("project"):
        values["project"] = given["project"]
    if given.get("database"):
        values["database"] = {"url": given["database"]}
    return load_settings(values, file=given.get("config"))


def run(service: Callable[Concatenate[Workspace, Caller, P], Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what one service answers the person at the terminal."""
    return run_all(lambda gateway: gateway.call(service, *args, **kwargs))


def run_all(act: Callable[[Gateway], Awaitable[T]]) -> T:
    """Return what comes of several calls by the person at the terminal, on one open database."""
    import anyio

    from lessonbook.app import gateway_for
    from lessonbook.logs import set_up

    settings = load()
    set_up(settings.log_level)

    async def whole() -> T:
        gateway = gateway_for(settings, "cli", person=True)
        try:
            return await act(gateway)
        finally:
            await gateway.close()

    return anyio.run(whole)


@contextlib.contextmanager
def report_errors() -> Generator[None]:
    """Turn foreseeable failures into one sentence on stderr and an exit code."""
    try:
        yield
    except LessonbookError as error:
        where = f" ({error.place})" if error.place else ""
        typer.secho(f"lessonbook: {error}{where}", err=True, fg="red")
        sys.exit(BAD_INPUT if isinstance(error, _MINDABLE) else FAILED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def console() -> Console:
    """Return the terminal to print to."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def wants_json() -> bool:
    """Return whether the caller is a program."""
    return bool(options().get("json"))


def print_json(value: Any) -> None:
    """Print a value, or a model, as JSON."""
    document = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


SHORT = 34
"""Names of at most so many characters are never broken over two lines."""


def brief(text: str, most: int = 200) -> str:
    """Return `text` on one line, cut where it is longer than `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; numbers stand right, and short cells stay whole."""
    from rich.markup import escape
    from rich.table import Table

    cells = [list(row) for row in rows]
    if not cells:
        console().print(f"{title}: none." if title else "None.")
        return
    table = Table(title=title, title_justify="left", header_style="bold", show_edge=False, pad_edge=False)
    for index, name in enumerate(columns):
        numeric = all(isinstance(row[index], (int, float)) for row in cells)
        short = all(len(str(row[index])) <= SHORT for row in cells)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=short)
    for row in cells:
        table.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    console().print(table)


def say(text: str) -> None:
    """Print a line for a person, with Rich markup."""
    console().print(text)


@contextlib.contextmanager
def progress(label: str) -> Generator[Callable[[int, int], None]]:
    """Show a progress bar on stderr while the block runs; yields what to call with (done, all)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True)
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
