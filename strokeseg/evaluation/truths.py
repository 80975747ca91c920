"""Truths named in a CSV or TSV: the columns case and truth, whatever others there are.

The table that a batch was run from is such a table.
"""

import os
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from strokeseg.errors import DataError
from strokeseg.files.tables import read_lines, read_text

TABLES = (".csv", ".tsv", ".tab", ".txt")
_COLUMNS = ("case", "truth")
# What the column may say in place of a mask: the case is known to have no lesion.
LESION_FREE = Path("lesion-free")
_NAMELESS = frozenset({"", "n/a"})
_MISSING = frozenset({"", "n/a", "na", "nan"})


@dataclass(frozen=True)
class Truths:
    """What a table says of its cases.

    Attributes
    ----------
    masks : mapping
        Paths by case, in the table's order; None where there is none, `LESION_FREE` where the table
        says so in place of a path. Relative ones lie from the table's folder.
    faults : mapping
        What is wrong with a line, by its case, or as ``line-7`` where it names none.
    """

    masks: Mapping[str, Path | None]
    faults: Mapping[str, str]


def read_truths(source: Path) -> Truths:
    """Read which mask is the truth of each case; a line that is wrong costs its own case.

    Parameters
    ----------
    source : Path
        UTF-8 text with tabs, commas or semicolons between the cells, and a header.

    Raises
    ------
    DataError
        It is no such table, lacks a column or has it twice, or every line is wrong.
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
    for name in _COLUMNS:
        if header.count(name) > 1:
            raise DataError(f"{source}: has more than one column {name}; keep one")
    masks: dict[str, Path | None] = {}
    faults: dict[str, str] = {}
    for number, cells in lines[1:]:
        named = dict(zip(header, cells, strict=False))
        name = named.get("case", "")
        fault = _fault(header, cells, name, {*masks, *faults})
        if fault is None:
            masks[name] = _truth(named["truth"], source.parent)
            continue
        masks.pop(name, None)  # of two truths neither is the one
        known = f"line-{number}" if name.lower() in _NAMELESS else name
        faults.setdefault(known, f"{source}, line {number}: {fault}")
    if faults and not masks:
        more = f" (and {len(faults) - 1} more lines that are wrong)" if len(faults) > 1 else ""
        raise DataError(f"{next(iter(faults.values()))}{more}")
    return Truths(masks, faults)


def _fault(header: list[str], cells: list[str], name: str, known: Set[str]) -> str | None:
    """Say what is wrong with a line."""
    if len(cells) != len(header):
        return (
            f"the row has {len(cells)} cells and the header {len(header)}; write n/a for what is "
            "missing"
        )
    if name.lower() in _NAMELESS:
        return "names no case; fill the column case"
    if name in known:
        return f"names the case {name} again; give each case one row"
    return None


def _truth(cell: str, folder: Path) -> Path | None:
    if cell.lower() in _MISSING:
        return None
    if cell.lower().replace(" ", "-") == str(LESION_FREE):
        return LESION_FREE
    return folder / os.path.expanduser(cell)  # noqa: PTH111 - never raises
