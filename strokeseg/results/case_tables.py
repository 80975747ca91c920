"""The tables of a case: its lesions, and its classes."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from strokeseg.errors import DataError
from strokeseg.files.tables import table
from strokeseg.measure.lesions import Lesion

LESION_COLUMNS = (
    "index",
    "volume_ml",
    "centroid_x_mm",
    "centroid_y_mm",
    "centroid_z_mm",
    "hemisphere",
    "start_i_vox",
    "start_j_vox",
    "start_k_vox",
    "stop_i_vox",
    "stop_j_vox",
    "stop_k_vox",
    "mean_probability",
    "max_probability",
    "surface_area_mm2",
    "touches_border",
    "opposite_fluid",
)
TISSUE_COLUMNS = ("index", "name", "volume_ml")


def lesion_table(lesions: Iterable[Lesion]) -> str:
    """Return the per-lesion table as TSV; its header alone if there is no lesion."""
    rows = [
        (
            str(lesion.index),
            f"{lesion.volume_ml:.4f}",
            *(f"{value:.2f}" for value in lesion.centroid_mm),
            lesion.hemisphere or "n/a",
            *(str(value) for value in (*lesion.start_vox, *lesion.stop_vox)),
            f"{lesion.mean_probability:.4f}",
            f"{lesion.max_probability:.4f}",
            f"{lesion.surface_area_mm2:.2f}",
            _truth(lesion.touches_border),
            _truth(lesion.opposite_fluid),
        )
        for lesion in lesions
    ]
    return table(LESION_COLUMNS, rows)


def _truth(value: bool | None) -> str:
    return "n/a" if value is None else "true" if value else "false"


def tissue_table(class_names: Sequence[str], volumes_ml: Sequence[float]) -> str:
    """Return the lookup table of the classes as TSV: index, name and volume of each."""
    rows = [
        (str(index), name, f"{volume:.4f}")
        for index, (name, volume) in enumerate(zip(class_names, volumes_ml, strict=True))
    ]
    return table(TISSUE_COLUMNS, rows)


def class_names(table: Path) -> dict[str, int]:
    """Read the index of each class from a tissue table, names in lower case.

    Raises
    ------
    DataError
        It is not there, or no such table.
    """
    try:
        rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines(), delimiter="\t")
        return {row["name"].lower(): int(row["index"]) for row in rows}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{table}: is no table of classes; run this case again") from error
