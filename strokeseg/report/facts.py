"""What the pages say about a case, read from its record and its tables with distrust.

A record may be older than this version, or changed by hand: what is not of the expected kind
counts as missing, and no page fails for it.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from strokeseg.results.archive import FiledCase
from strokeseg.results.record import InputRecord, ModelRecord, Record, number, read_inputs

Status = Literal["done", "failed", "failed again"]

# A case is of one side if at most this share of its lesion volume lies on others.
OTHER_SIDE_SHARE = 0.1
SIDES = ("left", "right", "both", "midline", "unknown")

_T = TypeVar("_T")


@dataclass(frozen=True)
class LesionRow:
    """One row of the lesion table; None where the table has no such value."""

    index: int
    volume_ml: float | None
    centroid_mm: tuple[float, float, float] | None
    hemisphere: str
    start_vox: tuple[int, int, int] | None
    stop_vox: tuple[int, int, int] | None
    mean_probability: float | None
    max_probability: float | None
    surface_area_mm2: float | None
    touches_border: bool
    opposite_fluid: bool


@dataclass(frozen=True)
class CaseFacts:
    """What the pages say about a case.

    Attributes
    ----------
    case : FiledCase
        Where it came from.
    key : str
        Its record's place below the cohort's output; what a review is kept under.
    status : str
        "failed again" if the last try failed and an earlier result is there.
    volume_ml, range_ml, interval_ml : float, (float, float), or None
        Lesion volume, the least and largest that one flip alone gives, and the model's interval.
    count : int or None
        Of lesions.
    side : str
        One of `SIDES`; empty without a lesion.
    warnings : tuple of str
        One line each.
    models : tuple of ModelRecord
        As the record has them.
    lesions : tuple of LesionRow
        The largest first.
    tissues : tuple of (index, name, ml)
        Of the model's classes.
    """

    case: FiledCase
    key: str
    status: Status
    volume_ml: float | None
    range_ml: tuple[float, float] | None
    interval_ml: tuple[float, float] | None
    count: int | None
    side: str
    warnings: tuple[str, ...]
    models: tuple[ModelRecord, ...]
    lesions: tuple[LesionRow, ...]
    tissues: tuple[tuple[int, str, float | None], ...]

    @property
    def name(self) -> str:
        """What the case is called."""
        return self.case.name

    @property
    def record(self) -> Record:
        """The record; empty where there is none."""
        return self.case.record or Record()

    @property
    def model_names(self) -> str:
        """The models, in one line."""
        return self.record.model_names


def gather_facts(case: FiledCase, output: Path) -> CaseFacts:
    """Read what the pages say about a case.

    Parameters
    ----------
    case : FiledCase
        One case of `output`.
    output : Path
        The cohort's output folder.
    """
    record = case.record or Record()
    rows = _rows(case.names.lesions) if case.record is not None else []
    lesions = tuple(_lesion(row) for row in rows)
    place = case.names.record.relative_to(output)
    return CaseFacts(
        case=case,
        key=(place.parent / case.prefix).as_posix(),
        status=_status(case),
        volume_ml=record.lesion_volume_ml,
        range_ml=_range(record),
        interval_ml=record.lesion_volume_interval_ml,
        count=record.lesion_count,
        side=_side(lesions),
        warnings=record.warnings or (),
        models=record.models,
        lesions=lesions,
        tissues=tuple(_tissues(case, record)),
    )


def inputs_of(case: CaseFacts) -> Mapping[str, InputRecord]:
    """Give the inputs that the record, or else the error, names, by modality."""
    record = case.case.record
    return read_inputs(case.case.error or {}) if record is None else record.inputs


def is_anonymised(case: CaseFacts) -> bool:
    """Tell whether the record, or else the error, leaves out the names of its inputs."""
    record = case.case.record
    said = (case.case.error or {}).get("anonymised") if record is None else record.anonymised
    return said is True


def _status(case: FiledCase) -> Status:
    if case.error is None:
        return "done"
    return "failed" if case.record is None else "failed again"


def _range(record: Record) -> tuple[float, float] | None:
    """Give the range over the flips; there is none where only one was run."""
    return record.lesion_volume_range_ml if (record.flips or 0) > 1 else None


def _side(lesions: Sequence[LesionRow]) -> str:
    """Give the side that holds all but a tenth of the lesion volume."""
    total: dict[str, float] = {}
    for lesion in lesions:
        side = lesion.hemisphere if lesion.hemisphere in SIDES else "unknown"
        total[side] = total.get(side, 0.0) + (lesion.volume_ml or 0.0)
    if not total:
        return ""
    largest = max(total, key=lambda side: total[side])
    if total[largest] >= (1 - OTHER_SIDE_SHARE) * sum(total.values()):
        return largest
    return "unknown" if set(total) == {"unknown", largest} else "both"


def _tissues(case: FiledCase, record: Record) -> list[tuple[int, str, float | None]]:
    """Read the lookup table of the classes, or else the record's volumes in their order."""
    rows = _rows(case.names.tissue_table) if case.record is not None else []
    named = [
        (_integer(row.get("index")), str(row.get("name")), _float(row.get("volume_ml")))
        for row in rows
    ]
    if named and all(index is not None for index, _, _ in named):
        return [(index or 0, name, volume) for index, name, volume in named]
    volumes = record.tissue_volumes_ml or {}
    return [(i, str(name), ml) for i, (name, ml) in enumerate(volumes.items())]


def _rows(path: Path) -> list[dict[str, str]]:
    """Read a TSV; no rows where it is missing or is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    try:
        return list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))
    except csv.Error:
        return []


def _lesion(row: Mapping[str, str]) -> LesionRow:
    centroid = [_float(row.get(f"centroid_{axis}_mm")) for axis in "xyz"]
    return LesionRow(
        index=_integer(row.get("index")) or 0,
        volume_ml=_float(row.get("volume_ml")),
        centroid_mm=_three(centroid),
        hemisphere=str(row.get("hemisphere") or "n/a"),
        start_vox=_three([_integer(row.get(f"start_{axis}_vox")) for axis in "ijk"]),
        stop_vox=_three([_integer(row.get(f"stop_{axis}_vox")) for axis in "ijk"]),
        mean_probability=_float(row.get("mean_probability")),
        max_probability=_float(row.get("max_probability")),
        surface_area_mm2=_float(row.get("surface_area_mm2")),
        touches_border=row.get("touches_border") == "true",
        opposite_fluid=row.get("opposite_fluid") == "true",
    )


def _three(values: Sequence[_T | None]) -> tuple[_T, _T, _T] | None:
    i, j, k = values
    return None if i is None or j is None or k is None else (i, j, k)


def _float(text: str | None) -> float | None:
    try:
        return number(float(text)) if text is not None else None
    except ValueError:
        return None


def _integer(text: str | None) -> int | None:
    value = _float(text)
    return int(value) if value is not None and value == int(value) else None
