"""Tables as BIDS has them, which neither a cell nor a spreadsheet can turn into something else."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from strokeseg.errors import DataError, InputNotFoundError, ReadWriteError

_FORMULA = "=+-@"
_NUMBER = re.compile(r"[+-](\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-](inf|nan)", re.IGNORECASE)

_DELIMITERS = (",", "\t", ";")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as BIDS's TSV: a header, tabs, line feeds, ``n/a`` for what is missing."""
    return "".join("\t".join(map(_cell, line)) + "\n" for line in (columns, *rows))


def _cell(text: str) -> str:
    """Make one cell; a text that a spreadsheet would run as a formula gets a quote before it.

    Names of cases never start so (see `strokeseg.files.safe_names`), and numbers stay as they are.
    """
    flat = re.sub(r"[\t\r\n]+", " ", text)
    if len(flat) > 1 and flat[0] in _FORMULA and not _NUMBER.fullmatch(flat):
        return f"'{flat}"
    return flat or "n/a"


def read_text(path: Path) -> str:
    """Read the table as UTF-8, with or without a mark at its start."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is no table in UTF-8; save it as 'CSV UTF-8' (byte {error.start} is wrong)"
        ) from error
    except PermissionError as error:
        raise InputNotFoundError(f"{path}: cannot be read ({error.strerror})") from error
    except OSError as error:
        raise ReadWriteError(f"{path}: reading failed ({error.strerror})") from error


def read_lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Split the text to cells, each line with its number; lines without anything are left out."""
    header = text.lstrip("\r\n").partition("\n")[0]
    first = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    order = sorted(_DELIMITERS, key=lambda one: (header.count(one), one == first), reverse=True)
    delimiter = first if first in header else order[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1
    try:
        for cells in reader:
            if cells:
                yield number, [cell.strip() for cell in cells]
            number = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}, line {number}: is no row of a table ({error}); check its quotes"
        ) from error
