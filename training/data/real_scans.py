"""Real scans without stroke, whole: read with what is known of their tissues.

A table names them: `image` and `sequence` (a name of the contrast table); `labels` (a label map of
the brain, or the tissue map that `strokeseg predict --save tissue` writes) with its `label_table`
("muse", "freesurfer", a TOML file, or "tissues"); `hyperintensities`, a mask of them.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from strokeseg.arrays import AffineArray, BoolArray, FloatArray, LabelArray
from strokeseg.errors import DataError
from strokeseg.images.reading import read_map, read_scan
from strokeseg.space.grid import Grid, working_grid
from strokeseg.space.mni import fit_moments
from strokeseg.space.resample import resample_image, resample_labels
from strokeseg.training.data.inputs import is_held_out, read_rows, stem
from strokeseg.training.data.label_maps import Subject, prepare_subject
from strokeseg.training.data.label_table import TISSUES, LabelTable, read_table
from strokeseg.training.data.pairs import BRAIN, UNKNOWN

TISSUE_MAP = "tissues"
COLUMNS = ("image", "sequence", "labels", "label_table")
# Beyond this from the brain there is no tissue, whatever a map of it missed.
MARGIN_MM = 12.0
LEAST_BRAIN_ML = 200.0


@dataclass(frozen=True)
class ScanRow:
    """A row of the table."""

    image: Path
    sequence: str
    labels: Path
    label_table: str
    hyperintensities: Path | None

    @property
    def name(self) -> str:
        """Name of the image without extension."""
        return stem(self.image)


@dataclass(frozen=True)
class RealScan:
    """A scan on the working grid (RAS).

    Parameters
    ----------
    image : (I, J, K) float32
        Intensities, the darkest 0.
    target : (I, J, K) uint8
        Tissue, or `UNKNOWN` or `BRAIN`.
    brain : (I, J, K) bool
        Where a lesion may be.
    medians
        Of CSF, grey and white matter, in intensities of the image.
    to_mni : (4, 4)
        Voxel to MNI152 mm.
    """

    name: str
    sequence: str
    image: FloatArray
    target: LabelArray
    brain: BoolArray
    medians: tuple[float, float, float]
    to_mni: AffineArray


def scan_rows(source: str, held_out: tuple[str, ...], *, wanted: bool) -> tuple[ScanRow, ...]:
    """Read the table; paths count from its own folder.

    Raises
    ------
    DataError
        It cannot be read, or lacks a column.
    """
    if not source:
        return ()
    path = Path(source)
    rows = []
    for row in read_rows(path, COLUMNS, plain=("sequence", "label_table")):
        extra = row.get("hyperintensities")
        entry = ScanRow(
            Path(row["image"]),
            row["sequence"],
            Path(row["labels"]),
            row["label_table"],
            Path(extra) if extra else None,
        )
        if is_held_out(entry.name, held_out) == wanted:
            rows.append(entry)
    return tuple(rows)


def labelled_subjects(
    rows: tuple[ScanRow, ...], table: LabelTable, voxel_size_mm: float
) -> dict[Path, Subject]:
    """Prepare each label map that the rows name, once."""
    subjects: dict[Path, Subject] = {}
    for row in rows:
        if row.label_table == TISSUE_MAP or row.labels in subjects:
            continue
        own = read_table(table_path(row.label_table))
        if own.class_names != table.class_names:
            raise DataError(
                f"{row.label_table}: its classes are not those of the heads' table, in order"
            )
        subjects[row.labels] = prepare_subject(
            row.labels, own, voxel_size_mm, hyperintensities=row.hyperintensities
        )
    return subjects


def table_path(name: str) -> Path | str | None:
    """Give what `read_table` takes for a name in the table: bundled, or a file."""
    return Path(name) if name.endswith(".toml") else name


def read_real_scan(
    row: ScanRow, subjects: dict[Path, Subject], table: LabelTable, voxel_size_mm: float
) -> RealScan:
    """Read a scan (any grid) onto a RAS grid, with its tissues and its way to MNI.

    Raises
    ------
    DataError
        Its labels hold hardly any brain.
    """
    volume = read_scan(row.image)
    grid = working_grid(volume.grid, voxel_size_mm)
    image = np.ascontiguousarray(resample_image(volume.data, volume.grid, grid))
    image -= image.min()
    if row.labels in subjects:
        subject = subjects[row.labels]
        own = np.asarray(table.tissue_of_class, np.uint8)[subject.first]
        tissue = resample_labels(own, Grid(own.shape, subject.affine), grid)
        to_mni = subject.to_mni @ grid.affine
        target = tissue
    else:
        tissue = _tissue_map(row.labels, grid)
        matter = np.isin(tissue, (1, 2, 3)).astype(np.float32)
        to_mni = fit_moments(matter, grid.affine, row.name) @ grid.affine
        target = _partly_known(tissue, voxel_size_mm)
    brain = tissue > 0
    if float(brain.sum()) * grid.voxel_volume_ml < LEAST_BRAIN_ML:
        raise DataError(f"{row.labels}: holds hardly any brain")
    return RealScan(
        row.name, row.sequence, image, target, brain, _medians(image, tissue, row), to_mni
    )


def _tissue_map(path: Path, grid: Grid) -> LabelArray:
    """Read our own tissue map; what it calls lesion is taken for brain of no known tissue."""
    volume = read_map(path)
    labels = np.rint(volume.data).astype(np.uint8)
    tissue = resample_labels(labels, volume.grid, grid)
    pieces, count = ndimage.label(tissue > 0)
    if count > 1:
        sizes = np.bincount(pieces.reshape(-1))[1:]
        tissue = np.where(pieces == 1 + int(np.argmax(sizes)), tissue, 0).astype(np.uint8)
    return tissue


def _partly_known(tissue: LabelArray, voxel_size_mm: float) -> LabelArray:
    """Tell what a model's own tissue map tells for sure: where there is brain, and where none."""
    distance = ndimage.distance_transform_edt(tissue == 0, sampling=voxel_size_mm)
    outside = np.where(distance > MARGIN_MM, 0, UNKNOWN)
    return np.where(tissue > 0, BRAIN, outside).astype(np.uint8)


def _medians(image: FloatArray, tissue: LabelArray, row: ScanRow) -> tuple[float, float, float]:
    found = []
    for name in ("CSF", "GM", "WM"):
        values = image[tissue == TISSUES.index(name)]
        if values.size == 0:
            raise DataError(f"{row.labels}: holds no {name}")
        found.append(float(np.median(values)))
    return found[0], found[1], found[2]


def write_scan_table(path: Path, rows: tuple[ScanRow, ...]) -> None:
    """Write a table that `scan_rows` reads."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow((*COLUMNS, "hyperintensities"))
        for row in rows:
            extra = row.hyperintensities or ""
            writer.writerow((row.image, row.sequence, row.labels, row.label_table, extra))
