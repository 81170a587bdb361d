"""What commands print: tables and facts for people at any width, one record a line for pipes, sentences, JSON."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_Row = Sequence[object]
Said = str | tuple[str, str]
"""A part of a sentence: a text, or a text and its style."""

_SHORT_MAX: Final = 34
"""Characters up to which the cells of a column are never broken over two lines."""
_PROSE_MIN: Final = 36
"""Characters that a column of longer cells needs: below that, records stand as blocks below each other."""
_CLIPPED_AT: Final = 200
_UNSEEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Characters by which a text could control the terminal, or hide."""
_IN_ASCII: Final = {
    "…": "...",
    "·": "-",
    "–": "-",
    "—": "--",
    "−": "-",
    "×": "x",
    "÷": "/",
    "≥": ">=",
    "≤": "<=",
    "→": "->",
    "✓": "+",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "\u00a0": " ",
}
"""Stand-ins for what the encoding of the output has no sign for."""


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    plain = (_IN_ASCII.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in signs)
    return "".join(plain), error.end


def accept_all_characters() -> None:
    """Let standard output and error print any text, whatever their encoding: what it lacks is written in ASCII."""
    codecs.register_error("lessonbook", _stand_in)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with contextlib.suppress(OSError):  # a stream that was replaced below Python, which stays as it is
                reconfigure(errors="lessonbook")


def is_terminal(stream: TextIO | None = None) -> bool:
    """Return whether a stream, by default standard output, is a terminal that a person looks at."""
    return (stream or sys.stdout).isatty()


def has_style(stream: TextIO | None = None) -> bool:
    """Return whether a stream takes colours: a terminal that is not dumb, where NO_COLOR is not set."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in {"dumb", ""}


def console(*, stderr: bool = False) -> Console:
    """Return the terminal to print to."""
    from rich.console import Console

    styled = has_style(sys.stderr if stderr else sys.stdout)
    # Rich takes a dumb terminal for 80 columns wide.
    width, height = get_terminal_size()
    colours = "auto" if styled else None
    return Console(stderr=stderr, width=width, height=height, highlight=False, color_system=colours, emoji=False)


def write(text: str, *, end: str = "\n") -> None:
    """Print a text as it is."""
    sys.stdout.write(text + end)


def say(*parts: Said) -> None:
    """Print a sentence made of parts, as they are: no part is read as markup.

    It is not wrapped, so that a command in it can be copied.
    """
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    if has_style():
        from rich.text import Text

        console().print(Text.assemble(*((visible(text), style) for text, style in pairs)), soft_wrap=True)
    else:
        write(visible("".join(text for text, _ in pairs)))


def strong(text: str) -> Said:
    """Return a part of a sentence that stands out."""
    return text, "bold"


def warn(text: str, *, colour: str = "yellow") -> None:
    """Print a sentence to standard error."""
    sys.stdout.flush()
    if has_style(sys.stderr):
        console(stderr=True).print(visible(text), style=colour, markup=False, soft_wrap=True)
    else:
        sys.stderr.write(visible(text) + "\n")


def visible(text: str) -> str:
    """Return `text` with the characters shown that would control a terminal or hide in it."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def brief(text: str, most: int = _CLIPPED_AT) -> str:
    """Return `text` on one line, cut to `most` characters."""
    line = _one_line(text)
    return line if len(line) <= most else line[: most - 1] + "…"


def clipped(text: str) -> str:
    """Return `text` on one line: cut for a person at a terminal, whole for a pipe."""
    return brief(text) if is_terminal() else _one_line(text)


def print_json(value: Any) -> None:
    """Print a model, or a JSON value that may hold models, as JSON."""
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    document = json.dumps(
        value, indent=2, ensure_ascii=not is_unicode, default=lambda model: model.model_dump(mode="json")
    )
    write(document.encode("utf-8", "backslashreplace").decode())


def print_facts(title: str, facts: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line; facts without a value are left out."""
    known = [(name, _cell(value)) for name, value in facts if value not in (None, "")]
    if not known:
        return
    if not is_terminal():
        write(f"{title}\n" + "".join(f"{name}\t{value}\n" for name, value in known))  # ends with an empty line
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for name, value in known:
        grid.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    _print_title(title)
    console().print(grid)
    write("")


def print_table(title: str, columns: Sequence[str], rows: Iterable[_Row], *, alone: bool = False) -> None:
    """Print records; `alone` if they are all that the command prints, so that a pipe needs no title.

    In a pipe each is one line, its fields apart by tabs, below a line of their names. On a terminal they are a table,
    or where that would squeeze a column of longer texts, blocks below each other.
    """
    records = [[_cell(cell) for cell in row] for row in rows]
    if not records:
        write(f"{title}: none." if title else "None.")
    elif not is_terminal():
        lines = "".join("\t".join(line) + "\n" for line in (columns, *records))
        write(lines if alone or not title else f"{title}\n{lines}\n", end="")
    else:
        _print_title(title)
        numeric = [all(_is_number(record[index]) for record in records) for index in range(len(columns))]
        widths = [
            max(map(len, (name, *column))) for name, column in zip(columns, zip(*records, strict=True), strict=True)
        ]
        short = [width <= _SHORT_MAX for width in widths]
        least = sum(width if fixed else _PROSE_MIN for width, fixed in zip(widths, short, strict=True))
        if sum(widths) + 2 * len(columns) > (width := console().width) and least + 2 * len(columns) > width:
            _print_blocks(columns, records, short, numeric)
        else:
            _print_columns(columns, records, short, numeric)
        write("")


def _print_columns(
    columns: Sequence[str], records: list[list[str]], short: Sequence[bool], numeric: Sequence[bool]
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name, fixed, number in zip(columns, short, numeric, strict=True):
        table.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=fixed)
    for record in records:
        table.add_row(*map(Text, record))
    console().print(table)


def _print_blocks(
    columns: Sequence[str], records: list[list[str]], short: Sequence[bool], numeric: Sequence[bool]
) -> None:
    """Print each record as a line of its short fields and, indented, its longer texts."""
    from rich.text import Text

    terminal = console()

    def show(text: Text, indent: str, hanging: str) -> None:
        for at, line in enumerate(text.wrap(terminal, terminal.width - len(hanging))):
            line.rstrip()
            terminal.print(Text.assemble(hanging if at else indent, line))

    first_text = next((name for name, fixed in zip(columns, short, strict=True) if not fixed), "")
    for record in records:
        fields = [
            Text(f"{name} {cell}" if number or cell[:1].isdigit() else cell, style="" if at else "bold")
            for at, (name, cell, fixed, number) in enumerate(zip(columns, record, short, numeric, strict=True))
            if fixed and cell
        ]
        show(Text(" · ").join(fields), "", "    ")
        for name, cell, fixed in zip(columns, record, short, strict=True):
            if not fixed and cell:
                text = Text(cell) if name == first_text else Text.assemble((f"{name}: ", "dim"), cell)
                show(text, "  ", "  ")


def _print_title(title: str) -> None:
    from rich.text import Text

    if title:
        console().print(Text(title, style="bold italic"))


def _cell(value: object) -> str:
    return "" if value is None else visible(_one_line(str(value)))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _is_number(cell: str) -> bool:
    return bool(cell) and cell.replace(".", "", 1).removeprefix("-").isdigit()


@contextlib.contextmanager
def progress(label: str) -> Generator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal while the block runs; yields the function to call with (done, all)."""
    if not has_style(sys.stderr):
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
