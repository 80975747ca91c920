"""How a table comes to fit a terminal: text wraps between words, and columns are left out whole."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

# What a column beside another costs: its border and a blank on each side.
_FRAME = 3
# Columns up to this wide are never wrapped: numbers, names, short words.
_WHOLE = 20
_NAME = 32  # the first column, which says whose row it is
# Where a long word, such as a path, may break: behind what separates its parts.
_PIECES = re.compile(r"[^/\\_,;=\-]*[/\\_,;=\-]+|[^/\\_,;=\-]+")


@dataclass(frozen=True)
class FittedTable:
    """A table whose lines are no wider than asked for, and the columns that it leaves out."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: tuple[str, ...]

    @property
    def width(self) -> int:
        """Characters of a line, borders included."""
        every = zip(self.columns, *self.rows, strict=True)
        return _total([_width(cells) for cells in every])


def fit_table(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> FittedTable:
    """Fit a table into a width.

    Parameters
    ----------
    columns, rows
        Headings, and a cell for each; a cell may have several lines. The most important columns
        come first.
    width
        Characters of a line, borders included.

    Returns
    -------
    FittedTable
        With as many of the first columns as fit; a cell that is wider than its column is wrapped
        between words or behind a separator, and loses nothing.
    """
    every = [[row[i] for row in rows] for i in range(len(columns))]
    natural = [_width([name, *cells]) for name, cells in zip(columns, every, strict=True)]
    least = [
        _least(name, cells, _NAME if i == 0 else _WHOLE)
        for i, (name, cells) in enumerate(zip(columns, every, strict=True))
    ]
    count = len(columns)
    while count > 1 and _total(least[:count]) > width:
        count -= 1
    given = _shared_out(least[:count], natural[:count], width)
    return FittedTable(
        tuple(_wrapped(text, given[i]) for i, text in enumerate(columns[:count])),
        tuple(tuple(_wrapped(row[i], given[i]) for i in range(count)) for row in rows),
        tuple(columns[count:]),
    )


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _FRAME * len(widths) + 1


def _shared_out(least: Sequence[int], natural: Sequence[int], width: int) -> list[int]:
    """Give each column its least width, and what is left over to those that want more."""
    given = list(least)
    spare = width - _total(given)
    if spare < 0:  # one column that no line can hold
        given[0] = max(1, given[0] + spare)
    for i in sorted(range(len(given)), key=lambda i: natural[i] - given[i]):
        more = min(max(spare, 0), natural[i] - given[i])
        given[i] += more
        spare -= more
    return given


def _wrapped(text: str, width: int) -> str:
    """Break each line of a text that is too wide."""
    return "\n".join(part for line in text.split("\n") for part in _parts(line, width))


def _parts(line: str, width: int) -> Iterable[str]:
    if cell_len(line) <= width:
        return [line]
    lines = [""]
    for word in re.findall(r"\S+\s*", line):
        pieces = [word] if cell_len(word.rstrip()) <= width else _PIECES.findall(word)
        for piece in pieces:
            if cell_len(lines[-1] + piece.rstrip()) > width and lines[-1]:
                lines.append("")
            lines[-1] += piece
            while len(lines[-1].rstrip()) > width:
                lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return [part.rstrip() for part in lines]


def _least(heading: str, cells: Sequence[str], whole: int) -> int:
    """Give the least width that breaks no word and no short cell."""
    word = max(map(cell_len, heading.split()), default=0)
    wide = _width(cells)
    return max(word, wide if wide <= whole else max(whole, _longest_piece(cells)))


def _width(cells: Iterable[str]) -> int:
    return max((cell_len(line) for cell in cells for line in cell.split("\n")), default=0)


def _longest_piece(cells: Iterable[str]) -> int:
    words = (word for cell in cells for word in cell.split())
    return max((cell_len(piece) for word in words for piece in _PIECES.findall(word)), default=0)
