"""What a person sees: progress and warnings on stderr, results on stdout, errors in one line."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from textwrap import TextWrapper
from types import TracebackType
from typing import Self

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from strokeseg.cli.show.fitting import fit_table
from strokeseg.cli.stopping import stop_if_asked
from strokeseg.errors import printable
from strokeseg.phrases import counted

NAME = "strokeseg"

_MOST_SHOWN = 20
_NO_LIMIT = 10_000


def say_error(message: str) -> None:
    """Write an error to stderr, on one line."""
    line = _one_line(message)
    Console(stderr=True, soft_wrap=True).print(
        f"[bold red]{NAME}: error:[/] {escape(line)}", highlight=False
    )


def say_warning(message: str) -> None:
    """Write a warning to stderr, on one line."""
    line = _one_line(message)
    Console(stderr=True, soft_wrap=True).print(
        f"[yellow]{NAME}: warning:[/] {escape(line)}", highlight=False
    )


def say(message: str) -> None:
    """Write a line about what is going on to stderr."""
    Console(stderr=True, soft_wrap=True).print(escape(_lines(message)), highlight=False)


def show_text(text: str) -> None:
    """Write a result to stdout, as it is; one that was closed before the start gets nothing."""
    if sys.stdout is None:
        return
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def show_facts(facts: Mapping[str, str]) -> None:
    """Write names and values to stdout, one pair a line; on a terminal, long values below it."""
    width = max(len(name) for name in facts)
    lines = [f"{name:<{width}}  {printable(value)}" for name, value in facts.items()]
    show_lines(lines, width + 2)


def show_lines(lines: Iterable[str], indent: int) -> None:
    """Write lines to stdout; on a terminal, one that is too long goes on below, that far in."""
    console = Console()
    room = max(console.width, 2 * indent) if console.is_terminal else _NO_LIMIT
    wrapper = TextWrapper(
        room, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
    for line in lines:
        show_text(line if len(line) <= room else wrapper.fill(line))


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", *, wide: bool = False
) -> tuple[str, ...]:
    """Write a table to stdout, and give the columns that it leaves out.

    On a terminal it is as wide as that, and leaves columns out whole rather than cut cells; with
    `wide`, and where stdout is no terminal, it is as wide as it needs to be.
    """
    console = Console()
    whole = wide or not console.is_terminal
    shown = [[_lines(cell) for cell in row] for row in rows]
    fitted = fit_table(columns, shown, _NO_LIMIT if whole else console.width)
    table = Table(title=title or None, title_justify="left")
    for column in fitted.columns:
        table.add_column(escape(column), overflow="fold")
    for row in fitted.rows:
        table.add_row(*map(escape, row))
    if whole:
        console = Console(width=max(console.width, fitted.width))
    console.print(table)
    return fitted.left_out


def _one_line(message: str) -> str:
    """Give a message as one line that steers no terminal; it may hold names that others chose."""
    return printable(" ".join(message.split()))


def _lines(text: str) -> str:
    """Give a text, line by line, so that it steers no terminal."""
    return "\n".join(map(printable, text.split("\n")))


class _OfKnown(ProgressColumn):
    """A column that is empty where nobody knows how much there is to do."""

    def __init__(self, shown: ProgressColumn) -> None:
        super().__init__()
        self._shown = shown

    def render(self, task: Task) -> RenderableType:
        """Show it, or nothing."""
        return "" if task.total is None else self._shown(task)


class Reporter:
    """Shows stages and windows as they pass: a bar on a terminal, else plain lines.

    It is the `Progress` of a prediction, and where one ends that was asked to. Quiet, it shows
    nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True)
        self._plain = not self._console.is_terminal
        self._quiet = quiet
        self._task: TaskID | None = None
        self._draws = not (quiet or self._plain)
        self._bar = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            _OfKnown(MofNCompleteColumn()),
            TimeElapsedColumn(),
            _OfKnown(TextColumn("left")),
            _OfKnown(TimeRemainingColumn()),
            console=self._console,
            transient=True,
            disable=not self._draws,
        )

    def __enter__(self) -> Self:
        """Start drawing."""
        if self._draws:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Clear the bar away."""
        if self._draws:  # a bar that never began ends with an empty line before rich 14
            self._bar.stop()

    def on_stage(self, name: str, windows: int = 0) -> None:
        """Begin a stage; `windows` is how many passes of the network it will take."""
        stop_if_asked()
        if self._quiet:
            return
        if self._plain:
            passes = f" ({counted(windows, 'pass', 'passes')} of the network)" if windows else ""
            say(f"{name}{passes}")
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=windows or None)

    def on_note(self, text: str) -> None:
        """Write a line about a choice that was made."""
        if not self._quiet:
            self._console.print(escape(text), highlight=False, soft_wrap=True)

    def on_window(self) -> None:
        """One pass of the network is done."""
        stop_if_asked()
        if self._task is not None:
            self._bar.advance(self._task)


def tell_damaged(damaged: Iterable[tuple[str, str]]) -> None:
    """Name cases that are damaged and say why.

    Raises
    ------
    typer.Exit
        With 1, if there are any.
    """
    found = list(damaged)
    for case, why in found[:_MOST_SHOWN]:
        say_error(f"{case}: {why}")
    if len(found) > _MOST_SHOWN:
        say_error(f"and {len(found) - _MOST_SHOWN} more cases")
    if found:
        raise typer.Exit(1)
