"""What is known of a cohort's people: a table with a row each, and the row of a case."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from strokeseg.errors import DataError, InputNotFoundError, UsageError
from strokeseg.files.tables import read_lines, read_text

# What names a row, the first that is there; a session narrows the last.
KEYS = ("case", "participant_id")
SESSION = "session_id"
# A column of numbers with more different values than this is numeric, else it names groups.
MOST_NUMBERED_GROUPS = 5
_PERSON = "sub-"
_MISSING = ("", "n/a", "na", "nan")


@dataclass(frozen=True)
class Participants:
    """A table of participants.

    Attributes
    ----------
    path : Path
        Where it lies.
    columns : tuple of str
    key : str
        The column that names a row: one of `KEYS`.
    rows : mapping
        The cells of each row by column, by what names it and its session ("" where it has none).
    """

    path: Path
    columns: tuple[str, ...]
    key: str
    rows: Mapping[tuple[str, str], Mapping[str, str]]

    def check(self, column: str) -> None:
        """Refuse a column that is not there, or there twice.

        Raises
        ------
        DataError
        """
        _check_once(self.path, self.columns, column)
        if column not in self.columns:
            raise DataError(
                f"{self.path}: has no column {column}, but {', '.join(self.columns)}; name one of "
                "them"
            )

    def row_of(self, case: str) -> Mapping[str, str] | None:
        """Find the row of a case, by its whole name, else by its participant and session."""
        if self.key == KEYS[0]:
            return self.rows.get((case, ""))
        entities = case.removeprefix(_PERSON).split("_")
        session = next((part for part in entities if part.startswith("ses-")), "")
        keys = [
            (name, when) for name in ("_".join(entities), entities[0]) for when in (session, "")
        ]
        return next((self.rows[key] for key in keys if key in self.rows), None)


def split_by(text: str) -> tuple[Path, str]:
    """Take PARTICIPANTS.tsv:COLUMN apart.

    Raises
    ------
    UsageError
        It names no column, or no table.
    """
    path, colon, column = text.rpartition(":")
    if not (colon and path and column.strip()):
        raise UsageError(f"--by {text}: name table and column, such as participants.tsv:group")
    return Path(path), column.strip()


def read_participants(path: Path) -> Participants:
    """Read a table of participants: text with tabs, commas or semicolons, and a header.

    Raises
    ------
    InputNotFoundError
        It is not there.
    DataError
        It is empty, names no participants, or one twice, or has two columns that name them.
    """
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such table; give --by PARTICIPANTS.tsv:COLUMN")
    lines = list(read_lines(path, read_text(path)))
    columns = tuple(lines[0][1]) if lines else ()
    key = next((name for name in KEYS if name in columns), None)
    if key is None:
        raise DataError(f"{path}: has no column {' or '.join(KEYS)} that names its rows")
    for column in (key, SESSION):
        _check_once(path, columns, column)
    rows: dict[tuple[str, str], Mapping[str, str]] = {}
    for number, cells in lines[1:]:
        if len(cells) != len(columns):
            raise DataError(
                f"{path}, line {number}: the row has {len(cells)} cells and the header "
                f"{len(columns)}; write n/a for what is missing"
            )
        row = dict(zip(columns, cells, strict=True))
        name = _named(row, key)
        if name in rows:
            raise DataError(f"{path}, line {number}: {row[key]} is there already; keep one row")
        rows[name] = row
    return Participants(path, columns, key, rows)


def number_of(cell: str) -> float:
    """Read a number; NaN where the cell holds none."""
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def is_missing(cell: str) -> bool:
    """Tell whether a cell says nothing."""
    return cell.strip().lower() in _MISSING


def is_numeric(cells: Sequence[str]) -> bool:
    """Tell whether a column holds numbers to correlate with; few different ones name groups."""
    numbers = [number_of(cell) for cell in cells if not is_missing(cell)]
    return not any(map(math.isnan, numbers)) and len(set(numbers)) > MOST_NUMBERED_GROUPS


def _check_once(path: Path, columns: Sequence[str], name: str) -> None:
    """Refuse a table of two columns of a name, as nobody knows which is meant."""
    if columns.count(name) > 1:
        raise DataError(f"{path}: has more than one column {name}; keep one")


def _named(row: Mapping[str, str], key: str) -> tuple[str, str]:
    """Name a row: by its case, or as BIDS names participant and session."""
    if key == KEYS[0]:
        return row[key], ""
    name, session = row[key], row.get(SESSION, "")
    if is_missing(session):
        session = ""
    return name.removeprefix(_PERSON), session if session.startswith(
        "ses-"
    ) or not session else f"ses-{session}"
