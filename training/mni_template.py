"""The mean head in MNI152 that results are brought onto: tissues of label maps, as a T1w's greys.

Run by ``python -m strokeseg.training.mni_template LABEL_MAP... -o FILE.npz``. Each map is brought
there by the affine of its landmarks, so the mean is as sharp as an affine lets heads be.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from strokeseg.arrays import FloatArray
from strokeseg.errors import DataError
from strokeseg.images.reading import read_map
from strokeseg.models.classes import CLASSES, grey_of
from strokeseg.space.grid import Grid
from strokeseg.space.mni import fit_landmarks, mni_grid
from strokeseg.space.resample import coverage, resample_image
from strokeseg.training.command_line import command_parser
from strokeseg.training.data.label_table import read_table

STEP_MM = 3.0
_SIGMA_VOX = 1.0


def mean_head(paths: Sequence[Path]) -> FloatArray:
    """Give the mean of the brains of label maps on the grid of MNI152, 0 to 1.

    Raises
    ------
    DataError
        A map lacks the landmarks.
    """
    table, target = read_table(), mni_grid(STEP_MM)
    greys = np.array([0.0, *(grey_of(name) for name in CLASSES[1:])], dtype=np.float32)
    total = np.zeros(target.shape, dtype=np.float32)
    for path in paths:
        volume = read_map(path)
        labels = volume.data.astype(np.int32)
        to_mni = fit_landmarks(labels, volume.grid.affine, table.landmarks_mm)
        if to_mni is None:
            raise DataError(f"{path}: has too few of the landmarks")
        classes = np.zeros(labels.max() + 1, dtype=np.uint8)
        for label in np.unique(labels).tolist():
            classes[label] = table.tissue_of_class[table.class_of_label[label]]
        image = ndimage.gaussian_filter(greys[classes[labels]], _SIGMA_VOX)
        moved = Grid(volume.grid.shape, to_mni @ volume.grid.affine)
        there = resample_image(image, moved, target)
        total += np.where(coverage(moved, target, slice(None)), there, np.float32(0))
    return np.asarray(total / np.float32(len(paths)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read maps, write their mean as bytes of grey."""
    parser = command_parser("mni_template", __doc__)
    parser.add_argument("maps", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    grey = np.round(255 * mean_head(given.maps)).astype(np.uint8)
    np.savez_compressed(given.output, grey=grey, step_mm=np.float64(STEP_MM))


if __name__ == "__main__":
    main()
