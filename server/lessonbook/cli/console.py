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
    from pydantic import BaseModel
    from rich.console import Console

    from lessonbook.config.settings import Settings
    from lessonbook.domain.lesson import Caller
    from lessonbook.edges.access.gateway import Gateway
    from lessonbook.services.workspace import Workspace

P = ParamSpec("P")
T = TypeVar("T")
Model = TypeVar("Model", bound="BaseModel")

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130
_BAD_INPUT_ERRORS = (InvalidInput, NotFound, Conflict, Forbidden, ConfigError, TooMany)
_PANEL = "Options of all commands"
_NO_WRAP_MAX = 34
"""Characters up to which the cells of a column are never broken over two lines."""

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
        _options.set({key: values.pop(key) for key in shared})
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


def run_all(act: Callable[[Gateway], Awaitable[T]]) -> T:
    """Return the result of several calls by the person at the terminal, on one open database."""
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
    """Turn expected failures into one sentence on stderr and an exit code."""
    try:
        yield
    except LessonbookError as error:
        where = f" ({error.place})" if error.place else ""
        typer.secho(f"lessonbook: {error}{where}", err=True, fg="red")
        sys.exit(BAD_INPUT if isinstance(error, _BAD_INPUT_ERRORS) else FAILED)
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
    """Return whether the command has the option `--json`."""
    return bool(options().get("json"))


def print_json(value: Any) -> None:
    """Print a model, or a JSON value that may hold models, as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=lambda model: model.model_dump(mode="json")))


def shown_as_json(value: Any) -> bool:
    """Print `value` as JSON where `--json` asks for it, and return whether it did."""
    if wants_json():
        print_json(value)
    return wants_json()


def brief(text: str, most: int = 200) -> str:
    """Return `text` on one line, cut to `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: columns of numbers are aligned right, short cells are not wrapped."""
    from rich.table import Table

    cells = [list(row) for row in rows]
    if not cells:
        console().print(f"{title}: none." if title else "None.")
        return
    table = Table(title=title, title_justify="left", header_style="bold", show_edge=False, pad_edge=False)
    for index, name in enumerate(columns):
        numeric = all(isinstance(row[index], (int, float)) for row in cells)
        short = all(len(str(row[index])) <= _NO_WRAP_MAX for row in cells)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=short)
    for row in cells:
        table.add_row(*(escaped("" if cell is None else str(cell)) for cell in row))
    console().print(table)


def say(text: str) -> None:
    """Print a line for a person, with Rich markup."""
    console().print(text)


def escaped(text: str) -> str:
    """Return `text` so that Rich prints it as it is, without markup."""
    from rich.markup import escape

    return escape(text)


@contextlib.contextmanager
def progress(label: str) -> Generator[Callable[[int, int], None]]:
    """Show a progress bar on stderr while the block runs; yields the function to call with (done, all)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True)
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
