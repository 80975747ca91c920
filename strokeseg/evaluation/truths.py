"""Truths named in a CSV or TSV: the columns case and truth, whatever others there are.

The table that a batch was run from is such a table.
"""

import os
from pathlib import Path

from strokeseg.errors import DataError
from strokeseg.files.tables import read_lines, read_text

TABLES = (".csv", ".tsv", ".tab", ".txt")
_COLUMNS = ("case", "truth")
# What the column may say in place of a mask: the case is known to have no lesion.
LESION_FREE = Path("lesion-free")
_MISSING = frozenset({"", "n/a", "na", "nan"})


def read_truths(source: Path) -> dict[str, Path | None]:
    """Read which mask is the truth of each case.

    Parameters
    ----------
    source : Path
        UTF-8 text with tabs, commas or semicolons between the cells, and a header.

    Returns
    -------
    dict
        Paths by case, in the table's order; None where there is none, `LESION_FREE` where the table
        says so in place of a path. Relative ones lie from the table's folder.

    Raises
    ------
    DataError
        It is no such table, lacks a column, or names a case twice or not at all.
    InputNotFoundError, ReadWriteError
        It cannot be read.
    """
    lines = [(n, cells) for n, cells in read_lines(source, read_text(source)) if any(cells)]
    header = [name.lower() for name in lines[0][1]] if lines else []
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise DataError(
            f"{source}: has no column {' and no column '.join(missing)}, but "
            f"{', '.join(header) or 'none at all'}; truths are named in the columns case and truth"
        )
    truths: dict[str, Path | None] = {}
    for number, cells in lines[1:]:
        where = f"{source}, line {number}"
        if len(cells) != len(header):
            raise DataError(
                f"{where}: the row has {len(cells)} cells and the header {len(header)}; write n/a "
                "for what is missing"
            )
        name, truth = (cells[header.index(column)] for column in _COLUMNS)
        if name.lower() in ("", "n/a"):
            raise DataError(f"{where}: names no case; fill the column case")
        if name in truths:
            raise DataError(f"{where}: names the case {name} again; give each case one row")
        truths[name] = _truth(truth, source.parent)
    return truths


def _truth(cell: str, folder: Path) -> Path | None:
    if cell.lower() in _MISSING:
        return None
    if cell.lower().replace(" ", "-") == str(LESION_FREE):
        return LESION_FREE
    return folder / os.path.expanduser(cell)  # noqa: PTH111 - never raises
