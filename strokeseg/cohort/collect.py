"""The tables of a cohort, made from the records that its cases left; nothing else is asked."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from strokeseg.cohort.batch.claims import Claims
from strokeseg.cohort.batch.resume import remove_temporary
from strokeseg.errors import CannotCreateError, DataError, ReadWriteError, StrokesegError
from strokeseg.files.atomic import write_text
from strokeseg.files.checksums import sha256
from strokeseg.files.tables import table
from strokeseg.images.modalities import order_modalities
from strokeseg.models.classes import is_tissue
from strokeseg.results.archive import (
    COHORT_TABLE,
    LESION_TABLE,
    FiledCase,
    below,
    find_filed_cases,
    some_filed_cases,
)
from strokeseg.results.case_tables import LESION_COLUMNS
from strokeseg.results.other_formats import ENDINGS, other_names
from strokeseg.results.output_names import ALL_KINDS, OutputNames
from strokeseg.results.record import Record

_CLAIM = "tables"
_GLANCE_S = 0.2
_PATIENCE_S = 120.0

_BEFORE_TISSUES = (
    "case",
    "status",
    "modalities",
    "reference",
    "lesion_volume_ml",
    "volume_low_ml",
    "volume_high_ml",
    "interval_low_ml",
    "interval_high_ml",
    "lesion_count",
)
# The furthest of a case's scans.
_ALIGNMENT = ("apart_mm", "turned_degrees")
_AFTER_TISSUES = ("brain_ml", *_ALIGNMENT, "warnings", "seconds", "model", "error", "record")


@dataclass(frozen=True)
class Tables:
    """What was written, how many cases and lesions are in it, and which cases are damaged, why."""

    cohort: Path
    lesions: Path
    done: int
    failed: int
    warned: int
    lesion_count: int
    damaged: Mapping[str, str] = field(default_factory=dict)


def collect(
    output: Path, run: str, *, anonymous: bool = False, may_be_empty: bool = True
) -> Tables:
    """Write ``cohort.tsv`` and ``lesions.tsv`` from what lies in an output folder.

    Every case that has a record or an error file has a row, whichever run did it; one that is
    damaged has the row of a failed case, and no lesions. Where several runs end at once, one after
    the other writes the tables, so the last one has all.

    Parameters
    ----------
    output
        The cohort's output folder.
    run
        Names the run that asks.
    anonymous
        Whether this host is not named while the tables are written.
    may_be_empty
        Whether a folder without a case gets tables without rows.

    Raises
    ------
    InputNotFoundError
        There is no such folder, or no case in it though there has to be.
    DataError
        A file of a case is a link out of the folder, a pipe or a device.
    CannotCreateError
        The folder cannot be written in.
    """
    with _alone(output, run, anonymous):
        cases = find_filed_cases(output) if may_be_empty else some_filed_cases(output)
        entries = [_entry(case, output) for case in cases]
        rows = [entry.row for entry in entries]
        tissues = list(dict.fromkeys(name for row in rows for name in row if name.endswith("_ml")))
        columns = [
            *_BEFORE_TISSUES,
            *(name for name in tissues if name not in (*_BEFORE_TISSUES, *_AFTER_TISSUES)),
            *_AFTER_TISSUES,
        ]
        cells = [[row.get(column, "") for column in columns] for row in rows]
        lesions = [line for entry in entries for line in entry.lesions]
        tables = (output / COHORT_TABLE, output / LESION_TABLE)
        remove_temporary(output, {path.name for path in tables})
        write_text(tables[1], table(("case", *LESION_COLUMNS), lesions))
        write_text(tables[0], table(columns, cells))
    done = sum(row["status"] == "done" for row in rows)
    warned = sum(bool(row.get("warnings")) for row in rows)
    damaged = {entry.row["case"]: entry.damage for entry in entries if entry.damage}
    return Tables(*tables, done, len(rows) - done, warned, len(lesions), damaged)


@contextmanager
def _alone(output: Path, run: str, anonymous: bool) -> Iterator[None]:
    """Keep other runs from writing the tables meanwhile."""
    claims = Claims(output, run, anonymous=anonymous)
    until = time.monotonic() + _PATIENCE_S
    try:
        while output.is_dir() and (holder := claims.take(_CLAIM)) is not None:
            if time.monotonic() > until:
                raise CannotCreateError(
                    f"{output / COHORT_TABLE}: {holder} is writing it; run `strokeseg collect "
                    f"{output}` later"
                )
            time.sleep(_GLANCE_S)
        yield
    finally:
        claims.close()
        claims.sweep()


@dataclass(frozen=True)
class _Entry:
    """A case in the tables: its row by column, its lesions, and what is wrong with its files."""

    row: dict[str, str]
    lesions: Sequence[Sequence[str]]
    damage: str


def _entry(case: FiledCase, output: Path) -> _Entry:
    try:
        return _Entry(_row(case, output), _lesion_lines(case), case.damage)
    except StrokesegError as error:
        damage = below(str(error), output)
        return _Entry({"case": case.name, "status": "failed", "error": damage}, (), damage)


def _row(case: FiledCase, output: Path) -> dict[str, str]:
    """Make a case's row, by column.

    Raises
    ------
    DataError
        The record lacks something.
    """
    if case.error is not None or case.record is None:
        error = case.error or {}
        inputs = error.get("inputs")
        return {
            "case": case.name,
            "status": "failed",
            "modalities": ",".join(order_modalities(inputs)) if isinstance(inputs, dict) else "",
            "error": str(error.get("message", "")),
        }
    absent, lacking = _absent(case.record, case.names), _lacking(case.record)
    if lacking and absent is None:
        raise DataError(
            f"{case.names.record}: is no whole record, it has no {', no '.join(lacking)} as it "
            "should; run this case again"
        )
    row = {} if lacking else _figures(case.record)
    status = {"status": "failed", "error": f"{absent} is missing; run the batch again"}
    record = os.path.relpath(case.names.record, output)
    return row | {
        "case": case.name,
        "record": Path(record).as_posix(),
        **(status if absent else {"status": "done"}),
    }


def _lacking(record: Record) -> list[str]:
    """Name what a row is made of and the record does not have, or not of its kind."""
    found = {
        "inputs": record.inputs,
        "reference": record.reference,
        "models": record.models,
        "lesion_volume_ml": record.lesion_volume_ml is not None,
        "lesion_volume_range_ml": record.lesion_volume_range_ml,
        "lesion_count": record.lesion_count is not None,
        "tissue_volumes_ml": record.tissue_volumes_ml is not None
        and None not in record.tissue_volumes_ml.values(),
        "warnings": record.warnings is not None,
        "seconds": record.seconds is not None,
    }
    return [name for name, there in found.items() if not there]


def _figures(record: Record) -> dict[str, str]:
    low, high = record.lesion_volume_range_ml or (None, None)
    between = record.lesion_volume_interval_ml or (None, None)
    tissues = {
        f"{name}_ml": _ml(volume)
        for name, volume in (record.tissue_volumes_ml or {}).items()
        if is_tissue(name)  # the lesion has a column, and the background says nothing
    }
    parts = {f"{name}_ml": _ml(volume) for name, volume in (record.part_volumes_ml or {}).items()}
    return {
        "modalities": ",".join(order_modalities(record.inputs)),
        "reference": record.reference or "",
        "lesion_volume_ml": _ml(record.lesion_volume_ml),
        "volume_low_ml": _ml(low),
        "volume_high_ml": _ml(high),
        "interval_low_ml": _ml(between[0]),
        "interval_high_ml": _ml(between[1]),
        "lesion_count": str(record.lesion_count),
        "brain_ml": _ml(record.brain_volume_ml),
        **{name: _furthest(record, name) for name in _ALIGNMENT},
        "warnings": " | ".join(record.warnings or ()),
        "seconds": f"{sum((record.seconds or {}).values()):.1f}",
        "model": record.model_names,
    } | {**parts, **tissues}


def _furthest(record: Record, name: str) -> str:
    """Give the largest of a figure of alignment; empty where no brains were compared."""
    values = [one.get(name) for one in record.alignment.values()]
    known = [value for value in values if value is not None]
    return f"{max(known):.1f}" if known else ""


def _ml(volume: float | None) -> str:
    return "" if volume is None else f"{volume:.4f}"


def _absent(record: Record, names: OutputNames) -> str | None:
    """Find a file that the record tells of and that is gone."""
    others = other_names(names, ALL_KINDS, ENDINGS)
    there = (*names.chosen(ALL_KINDS), *names.old_transforms(), *others)
    ours = {path.name: path for path in there}
    return next(
        (name for name in record.files or () if name not in ours or not ours[name].is_file()), None
    )


def _lesion_lines(case: FiledCase) -> Sequence[Sequence[str]]:
    """Read a case's lesions; those of a case that failed, or whose table was not saved, are none.

    Raises
    ------
    DataError
        The table is not the one that was written.
    """
    if case.error is not None or case.record is None:
        return ()
    path, files = case.names.lesions, case.record.files or {}
    if path.name not in files or not path.is_file():
        return ()
    if sha256(path) != files[path.name]:
        raise DataError(f"{path}: was changed since it was written; run this case again")
    try:
        lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise ReadWriteError(f"{path}: reading failed ({error.strerror})") from error
    # A table of an older version lacks the columns that came last.
    return [(case.name, *line, *["n/a"] * (len(LESION_COLUMNS) - len(line))) for line in lines[1:]]
