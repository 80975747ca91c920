"""A brain behind the lesion map: one that is given, else the mean of the cases."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strokeseg.arrays import FloatArray
from strokeseg.errors import StrokesegError
from strokeseg.images.reading import read_map, read_scan
from strokeseg.lesion_map.common_space import Placed
from strokeseg.models.classes import grey_of
from strokeseg.results.archive import is_reference, reference_places
from strokeseg.results.case_tables import class_names
from strokeseg.results.page import grey_window
from strokeseg.results.record import Record
from strokeseg.space.grid import Grid
from strokeseg.space.resample import coverage, resample_image, resample_labels

# Enough for a smooth mean, and soon read.
MOST_CASES = 20


@dataclass(frozen=True, eq=False)
class Backdrop:
    """A brain on the map's grid, (I, J, K) float32, and what it is."""

    image: FloatArray
    about: str


def find_backdrop(placed: Sequence[Placed], grid: Grid, given: Path | None) -> Backdrop | None:
    """Find a brain for the map: the given one, else a mean of tissue maps, else of scans.

    Parameters
    ----------
    placed
        The cases on the map; of each kind, the first twenty that have it are averaged.
    grid
        Of the map.
    given
        A brain in the space of the map.

    Raises
    ------
    InputNotFoundError, DataError
        The given one cannot be read.
    """
    if given is not None:
        volume = read_scan(given)
        return Backdrop(_onto(volume.data, volume.grid, grid), given.name)
    for what, make in (("tissue maps", _tissues), ("reference scans", _scan)):
        image, count = _mean(placed, grid, make)
        if image is not None:
            return Backdrop(image, f"mean of {count} {what}")
    return None


def _mean(
    placed: Sequence[Placed], grid: Grid, make: Callable[[Placed, Grid], FloatArray | None]
) -> tuple[FloatArray | None, int]:
    total: FloatArray | None = None
    count = 0
    for image in _images(placed, grid, make):
        total = image if total is None else total + image
        count += 1
        if count == MOST_CASES:
            break
    return (None if total is None else total / np.float32(count)), count


def _images(
    placed: Sequence[Placed], grid: Grid, make: Callable[[Placed, Grid], FloatArray | None]
) -> Iterator[FloatArray]:
    for one in placed:
        try:
            image = make(one, grid)
        except StrokesegError:  # a scan that is gone since is no reason to have no map
            continue
        if image is not None:
            yield image


def _tissues(one: Placed, grid: Grid) -> FloatArray | None:
    """Draw a tissue map as a T1w would show it."""
    names = one.case.names
    if not names.tissue.exists():
        return None
    greys = np.zeros(256, dtype=np.float32)
    for name, index in class_names(names.tissue_table).items():
        greys[index] = grey_of(name) if index else 0.0
    volume = read_map(names.tissue)
    moved = Grid(volume.grid.shape, one.to_map @ volume.grid.affine)
    return np.asarray(greys[resample_labels(volume.data.astype(np.uint8), moved, grid)])


def _scan(one: Placed, grid: Grid) -> FloatArray | None:
    """Bring the scan that a case was segmented on to the map, black to white."""
    record = one.case.record or Record()
    places = reference_places(record, (Path(), one.case.names.directory))
    path = next((place for place in places if is_reference(place, record)), None)
    if path is None:
        return None
    volume = read_scan(path)
    low, high = grey_window(volume.data[::4, ::4, ::4])
    grey = np.clip((volume.data - low) / (high - low), 0.0, 1.0)
    return _onto(grey, Grid(volume.grid.shape, one.to_map @ volume.grid.affine), grid)


def _onto(image: FloatArray, source: Grid, grid: Grid) -> FloatArray:
    moved = resample_image(np.ascontiguousarray(image), source, grid)
    return np.where(coverage(source, grid, slice(None)), moved, np.float32(0.0))
