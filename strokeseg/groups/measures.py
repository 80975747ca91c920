"""What was measured in each case of a cohort, from the table that its batch left."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.files.tables import read_lines, read_text
from strokeseg.groups.participants import number_of
from strokeseg.results.archive import COHORT_TABLE

VOLUME = "lesion_volume_ml"
COUNT = "lesion_count"
# The brain's volume, as the table calls it and as covariates do.
BRAIN = "brain_ml"
BRAIN_COVARIATE = "brain_volume_ml"
# Volumes that say how sure another one is, and are none of their own.
_RANGE = ("volume_low_ml", "volume_high_ml", "interval_low_ml", "interval_high_ml")


@dataclass(frozen=True)
class Measured:
    """The measures' names, the lesion's first, and values by case; NaN where there is none."""

    names: tuple[str, ...]
    cases: Mapping[str, Mapping[str, float]]


def read_measures(output: Path) -> Measured:
    """Read volume and number of lesions, and the volume of each tissue and part, of each case.

    Whatever column of ``cohort.tsv`` ends in ``_ml`` is such a volume. Cases that failed are left
    out, and so are columns without a number.

    Raises
    ------
    InputNotFoundError
        There is no folder, or no table in it.
    DataError
        It is no table of a cohort.
    """
    path = output / COHORT_TABLE
    if not output.is_dir():
        raise InputNotFoundError(f"{output}: no such folder; give the OUTPUT of a batch")
    if not path.is_file():
        raise InputNotFoundError(
            f"{path}: is not there; run `strokeseg collect {output}` and try again"
        )
    lines = list(read_lines(path, read_text(path)))
    columns = lines[0][1] if lines else []
    if not {"case", "status", VOLUME} <= set(columns) or any(
        len(cells) != len(columns) for _, cells in lines
    ):
        raise DataError(f"{path}: is no table of a cohort; run `strokeseg collect {output}`")
    rows = [dict(zip(columns, cells, strict=True)) for _, cells in lines[1:]]
    volumes = [name for name in columns if name.endswith("_ml") and name not in (VOLUME, *_RANGE)]
    wanted = [VOLUME, *([COUNT] if COUNT in columns else []), *volumes]
    cases = {
        row["case"]: {name: number_of(row[name]) for name in wanted}
        for row in rows
        if row["status"] == "done"
    }
    names = [n for n in wanted if any(found[n] == found[n] for found in cases.values())]
    return Measured(tuple(names), cases)


def unit_of(measure: str) -> str:
    """Give the unit of a measure."""
    return "lesions" if measure == COUNT else "ml"
