"""Masks for tests: boxes in arrays, and files of them."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

SHAPE = (24, 24, 24)
SPACING_MM = (2.0, 2.0, 2.0)


def boxes(*corners, shape=SHAPE):
    """A mask of boxes, each given by its first voxel and its size, one number or three."""
    mask = np.zeros(shape, dtype=bool)
    for start, size in corners:
        sizes = (size,) * 3 if isinstance(size, int) else size
        mask[tuple(slice(a, a + n) for a, n in zip(start, sizes, strict=True))] = True
    return mask


def blobs(seed, shape=(40, 44, 30), share=0.12):
    """Smooth random blobs that fill about a share of the volume, and touch its border."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.5)
    return field > np.quantile(field, 1 - share)


def affine(spacing_mm=SPACING_MM):
    return np.diag([*spacing_mm, 1.0])


def write(path, data, matrix=None):
    """Write an array as NIfTI, masks as uint8; folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = data.astype(np.uint8) if data.dtype == bool else data
    image = nib.Nifti1Image(stored, affine() if matrix is None else matrix)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def file_case(output, case, prefix, mask=None, probability=None, error=None):
    """Lay a finished or failed case into the output folder of a batch."""
    folder = output / case
    folder.mkdir(parents=True, exist_ok=True)
    if mask is not None:
        write(folder / f"{prefix}_label-L_mask.nii.gz", mask)
    if probability is not None:
        write(folder / f"{prefix}_label-L_probseg.nii.gz", probability.astype(np.float32))
    if error is None:
        (folder / f"{prefix}_strokeseg.json").write_text(json.dumps({"case": case}))
    else:
        content = {"case": case, "exception": "DataError", "message": error}
        (folder / f"{prefix}_error.json").write_text(json.dumps(content))
