"""Cases listed in a CSV or TSV: a row each, a column per modality."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from strokeseg.cohort.cases.case import Case
from strokeseg.cohort.cases.case_names import check_folder, check_name
from strokeseg.cohort.cases.findings import Findings
from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.files.tables import read_lines, read_text
from strokeseg.images.dicom import is_dicom
from strokeseg.images.modalities import MODALITIES
from strokeseg.images.stream import windows_hint
from strokeseg.phrases import cut_short

# Columns may be named as BIDS's suffixes are, too.
_SAME = {"t1w": "t1", "t2w": "t2", "pdw": "pd", "trace": "dwi", "ncct": "ct"}
_OTHERS = ("case", "truth", "output")
_MISSING = ("", "n/a", "na", "nan")


@dataclass(frozen=True)
class _Row:
    """Where a row is, for messages, and its cells by column; missing ones left out."""

    where: str
    cells: Mapping[str, str]


def find_in_table(path: Path, findings: Findings) -> tuple[Case, ...]:
    """Read the cases of a table.

    Columns: ``case``; one or more of the modalities; and, if wanted, ``truth`` (a mask drawn by
    hand) and ``output`` (a folder below OUTPUT, else the case's name). Paths are relative to the
    table's folder. Others are left out. A cell that is empty or ``n/a`` is missing.

    Parameters
    ----------
    path : Path
        Text with commas, tabs or semicolons between the cells, and a header.
    findings : Findings
        Gets notes.

    Raises
    ------
    DataError
        If the table cannot be used, or none of its rows.
    InputNotFoundError
        If the table is not there, or no file in it.
    """
    text = read_text(path)
    lines = list(read_lines(path, text))
    if not lines:
        raise DataError(f"{path}: is empty; give a header with case and t1, flair, ... and rows")
    columns = _columns(path, lines[0][1], findings)
    cases: dict[str, str] = {}
    found = []
    for number, cells in lines[1:]:
        if not any(cells):
            findings.note("empty rows of the table that were left out", f"line {number}")
            continue
        case = _read_case(path, number, columns, cells, cases)
        cases[case.name] = f"line {number}"
        found.append(case)
    _check_some_can_be_done(found)
    return tuple(found)


def _read_case(
    path: Path, number: int, columns: Sequence[str], cells: Sequence[str], cases: Mapping[str, str]
) -> Case:
    """Read the case of a line; a line that is wrong costs its own case, named by its number."""
    where, name = f"{path}, line {number}", f"line-{number}"
    try:
        return _case(path.parent, _row(where, columns, cells), cases)
    except (DataError, InputNotFoundError) as error:
        with suppress(ValueError, DataError):
            told = check_name(cells[columns.index("case")], where)
            name = name if told in cases else told
        return Case(name=name, images={}, folder=name, prefix=name, fault=error)


def _check_some_can_be_done(cases: Sequence[Case]) -> None:
    """Raise what is wrong with the first line if every line is wrong."""
    faults = [case.fault for case in cases if case.fault is not None]
    if faults and len(faults) == len(cases):
        more = f" (and {len(faults) - 1} more lines that are wrong)" if len(faults) > 1 else ""
        raise type(faults[0])(f"{faults[0]}{more}")


def _columns(path: Path, header: Sequence[str], findings: Findings) -> list[str]:
    """Give what each column is for: a modality, case, truth, output; empty where it is ignored."""
    known = (*MODALITIES, *_OTHERS)
    lower = [_SAME.get(name.lower(), name.lower()) for name in header]
    shown = cut_short((name or "(no name)" for name in header), 20)
    twice = sorted({name for name in lower if name in known and lower.count(name) > 1})
    if twice:
        raise DataError(f"{path}: has more than one column {twice[0]} ({shown}); keep one")
    if "case" not in lower:
        raise DataError(f"{path}: has no column case, but {shown}; name each case")
    if not set(lower) & set(MODALITIES):
        raise DataError(
            f"{path}: has no column of a modality, but {shown}; name columns of paths "
            f"{', '.join(MODALITIES)}"
        )
    for name, title in zip(lower, header, strict=True):
        if name not in known and name:
            findings.note("columns of the table that were ignored", title)
    return [name if name in known else "" for name in lower]


def _row(where: str, columns: Sequence[str], cells: Sequence[str]) -> _Row:
    """Name the cells of a row."""
    if len(cells) != len(columns):
        raise DataError(
            f"{where}: the row has {len(cells)} cells and the header {len(columns)}; write n/a for "
            "what is missing"
        )
    named = zip(columns, cells, strict=True)
    return _Row(where, {name: cell for name, cell in named if name and not _is_missing(name, cell)})


def _is_missing(column: str, cell: str) -> bool:
    """Tell whether a cell is empty; a case may be called NA."""
    return cell.lower() in (_MISSING[:2] if column == "case" else _MISSING)


def _is_lesion_free(cell: str) -> bool:
    return cell.lower().replace(" ", "-") == "lesion-free"


def _case(folder: Path, row: _Row, others: Mapping[str, str]) -> Case:
    """Make a case of a row whose files are there."""
    cells = row.cells
    if "case" not in cells:
        raise DataError(f"{row.where}, column case: is empty; name the case")
    name = check_name(cells["case"], f"{row.where}, column case")
    if name in others:
        raise DataError(f"{row.where}: case {name} is in {others[name]} already")
    output = name
    if "output" in cells:
        output = check_folder(cells["output"], f"{row.where}, column output")
    files = {
        column: folder / os.path.expanduser(cells[column])  # noqa: PTH111 - never raises
        for column in (*MODALITIES, "truth")
        if column in cells
    }
    truth = files.pop("truth", None)
    if truth is not None and _is_lesion_free(cells["truth"]):
        truth = None  # a word for `strokeseg evaluate`, and no file
    if not files:
        raise DataError(f"{row.where}: case {name} has no scan; give one, or delete the row")
    for column, file in (*files.items(), *([("truth", truth)] if truth else [])):
        if not os.path.isfile(file):  # noqa: PTH113 - Path.is_file() raises where it may not look
            is_folder = os.path.isdir(file)  # noqa: PTH112
            if is_folder and column != "truth" and is_dicom(file):
                continue
            what = "is a folder" if is_folder else "is no file"
            hint = windows_hint(cells[column]) or "paths are relative to the table's folder"
            raise InputNotFoundError(f"{row.where}, column {column}: {file} {what}; {hint}")
    first: dict[Path, str] = {}
    for column, file in files.items():
        if file in first:
            both = f"{first[file]} and {column}"
            raise DataError(f"{row.where}: columns {both} name one file, {file}; give two")
        first[file] = column
    return Case(name=name, images=files, folder=output, prefix=name, truth=truth)
