"""The affine from a head's own mm to MNI152 mm: from landmarks, or from the brain's moments."""

from collections.abc import Mapping
from importlib import resources

import numpy as np
import numpy.typing as npt

from strokeseg.arrays import AffineArray, BoolArray, FloatArray
from strokeseg.errors import DataError
from strokeseg.space.grid import Grid

LEAST_LANDMARKS = 6
# How NIfTI says that an affine leads to MNI152.
MNI_CODE = 4
# Mean and standard deviation along R, A, S of the brain's voxels (grey and white matter) in MNI,
# averaged over the heads that the bundled model was trained on.
BRAIN_CENTRE_MM = (0.0, -24.5, 8.0)
BRAIN_SPREAD_MM = (32.0, 40.7, 30.7)

# How far the long axis of grey and white matter rises towards the front in MNI152, in the mean
# of the 14 heads that the bundled model was trained on.
LONG_AXIS_DEGREES = 15.2

_MOST_POINTS = 200_000
_HEAD = "mni_head.npz"
_MNI_ORIGIN_MM = (-90.0, -126.0, -72.0)
_MNI_EXTENT_MM = (180.0, 216.0, 180.0)


def fit_landmarks(
    labels: npt.NDArray[np.integer],
    affine: AffineArray,
    landmarks_mm: Mapping[int, tuple[float, float, float]],
) -> AffineArray | None:
    """Fit an affine (4x4, map's mm to MNI152 mm) to centres of mass of known structures.

    Twelve parameters, least squares over the landmarks that the map (I, J, K) has; None where
    it has fewer than six.
    """
    flat = labels.reshape(-1)
    counts = np.bincount(flat)
    present = [label for label in landmarks_mm if label < counts.size and counts[label] > 0]
    if len(present) < LEAST_LANDMARKS:
        return None
    sums = np.stack(
        [
            np.bincount(flat, weights=np.broadcast_to(index, labels.shape).reshape(-1))[present]
            for index in np.ogrid[tuple(slice(n) for n in labels.shape)]
        ],
        axis=1,
    )
    centres = sums / counts[present][:, None]
    here = np.c_[centres, np.ones(len(present))] @ affine.T
    there = np.asarray([landmarks_mm[label] for label in present], dtype=np.float64)
    solution, *_ = np.linalg.lstsq(here, there, rcond=None)
    fitted = np.eye(4)
    fitted[:3] = solution.T
    return fitted


def fit_moments(brain: FloatArray, affine: AffineArray, name: str) -> AffineArray:
    """Fit shift and scale along R, A, S so that the brain's mean and spread are those of MNI.

    Knows nothing of rotation: for upright heads whose structures are not labelled.

    Parameters
    ----------
    brain : (I, J, K) float32
        Weight of grey and white matter.
    affine
        Voxel to the map's own RAS+ mm.
    name
        Of the head, for the message.

    Raises
    ------
    DataError
        There is no brain.
    """
    total = float(brain.sum(dtype=np.float64))
    if total <= 0:
        raise DataError(f"{name}: no grey or white matter in the map, so it cannot be aligned")
    places = np.argwhere(brain > 0.5)[:: max(1, int(total) // 200_000)]
    points = places @ affine[:3, :3].T + affine[:3, 3]
    if len(points) < 8 or points.std(axis=0).min() < 1e-3:
        raise DataError(f"{name}: too little grey and white matter to align the map")
    scale = np.asarray(BRAIN_SPREAD_MM) / points.std(axis=0)
    fitted = np.diag([*scale, 1.0])
    fitted[:3, 3] = np.asarray(BRAIN_CENTRE_MM) - scale * points.mean(axis=0)
    return fitted


def level(brain: BoolArray, grid: Grid) -> tuple[AffineArray, float]:
    """Find the tilt about the left-right axis that lays a brain as MNI152's lies.

    Returns
    -------
    (4, 4) array and float
        A rotation of the world's mm about its origin, and its angle in degrees; none where there
        is no brain.
    """
    places = np.argwhere(brain)
    tilt = np.eye(4)
    if len(places) < 2:
        return tilt, 0.0
    points = places[:: max(1, len(places) // _MOST_POINTS)] @ grid.affine[:3, :3].T
    (ahead, both), (_, upward) = np.cov(points[:, 1:].T)
    rise = 0.5 * np.arctan2(2 * both, ahead - upward)
    angle = np.radians(LONG_AXIS_DEGREES) - rise
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return tilt, float(np.degrees(angle))


def mean_head() -> tuple[FloatArray, Grid]:
    """Read the mean head in MNI152: tissues as a T1w's greys, 0 to 1, float32, and its grid.

    It is made of the label maps of 14 heads by `strokeseg.training.mni_template`.
    """
    with (
        resources.files(__package__).joinpath(_HEAD).open("rb") as file,
        np.load(file, allow_pickle=False) as content,
    ):
        grey, step_mm = content["grey"], float(content["step_mm"])
    return grey.astype(np.float32) / np.float32(255), mni_grid(step_mm)


def mni_grid(voxel_size_mm: float) -> Grid:
    """Make the grid of MNI152: 181x217x181 at 1 mm, 91x109x91 at 2 mm, axes R, A, S."""
    affine = np.diag([voxel_size_mm, voxel_size_mm, voxel_size_mm, 1.0])
    affine[:3, 3] = _MNI_ORIGIN_MM
    i, j, k = (int(length / voxel_size_mm) + 1 for length in _MNI_EXTENT_MM)
    return Grid((i, j, k), affine)
