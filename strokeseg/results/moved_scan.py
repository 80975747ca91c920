"""One scan on another's grid: the image, the transform that brought it there, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from strokeseg._version import __version__
from strokeseg.arrays import AffineArray
from strokeseg.files.atomic import write_text
from strokeseg.files.json_files import write_json
from strokeseg.files.staging import Staging
from strokeseg.images.reading import Volume
from strokeseg.images.writing import write
from strokeseg.space.grid import Grid
from strokeseg.space.resample import coverage, resample_image
from strokeseg.space.tfm import tfm_text


@dataclass(frozen=True)
class MovedNames:
    """What is written of a scan that was moved."""

    image: Path
    transform: Path
    record: Path

    @classmethod
    def of(cls, directory: Path, stem: str) -> "MovedNames":
        """Name the files."""
        endings = (".nii.gz", "_xfm.tfm", "_xfm.json")
        return cls(*(directory / f"{stem}{ending}" for ending in endings))

    @property
    def all(self) -> tuple[Path, Path, Path]:
        """The three, the record last."""
        return self.image, self.transform, self.record


def save_moved(
    moving: Volume,
    like: Volume,
    to_moving: AffineArray,
    names: MovedNames,
    about: Mapping[str, Any],
) -> tuple[Path, ...]:
    """Write a scan on another's grid, with its transform and record: all of them or none.

    Parameters
    ----------
    moving : Volume
        The scan.
    like : Volume
        Whose grid and header the image gets.
    to_moving : (4, 4) array
        Mm of that grid to the scan's mm, RAS.
    names : MovedNames
        Where to.
    about : mapping
        What the record says beside the matrix.

    Raises
    ------
    CannotCreateError, ReadWriteError
        A file cannot be written.
    """
    back = np.linalg.inv(to_moving)
    moved = Grid(moving.grid.shape, back @ moving.grid.affine)
    image = resample_image(np.ascontiguousarray(moving.data), moved, like.grid)
    outside = np.float32(min(0.0, float(moving.data.min())))
    image = np.where(coverage(moved, like.grid, slice(None)), image, outside)
    matrix = [[round(float(value), 6) for value in row] for row in back]
    with Staging(names.image.parent, last=names.record.name) as staging:
        write(staging.path_for(names.image.name), image, like)
        write_text(staging.path_for(names.transform.name), tfm_text(to_moving))
        record = {"strokeseg": __version__, "matrix": matrix, **about}
        write_json(staging.path_for(names.record.name), record)
        return staging.commit()
