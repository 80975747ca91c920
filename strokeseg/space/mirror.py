"""The plane about which a head is most symmetrical, as the reflection about it."""

from typing import Any

import numpy as np
from scipy import ndimage

from strokeseg.arrays import AffineArray, BoolArray, FloatArray
from strokeseg.space.grid import Grid
from strokeseg.space.pictures import picture_of, weighted_correlation
from strokeseg.space.resample import resample_labels

_STEP_MM = 3.0
_BLUR_VOX = 1.0
_BROAD_VOX = 5.0
_TRIED_DEGREES = (-20.0, -10.0, 0.0, 10.0, 20.0)
_LEAST_SHARE = 0.2


def reflection_of(data: FloatArray, grid: Grid, counts: BoolArray) -> tuple[AffineArray, float]:
    """Find the reflection that brings a head onto itself, left onto right.

    The normal of the plane is sought up to some 30 degrees from the world's right.

    Parameters
    ----------
    data : (I, J, K) float32 array
        The image.
    grid : Grid
        Of it.
    counts : (I, J, K) bool array
        What is to be symmetrical, such as the brain without its lesion; not empty.

    Returns
    -------
    (4, 4) array, float
        World mm to mirrored world mm, its own inverse; and the correlation of both halves.
    """
    # Imported here: they are slow, and most cases have no lesion filled.
    from scipy import optimize
    from scipy.spatial.transform import Rotation

    picture = picture_of(data, grid, counts, _STEP_MM)
    inside = resample_labels(counts.view(np.uint8), grid, picture.grid) > 0
    share: FloatArray = inside.astype(np.float32)
    soft = _levelled(picture.image, share)
    points = np.argwhere(inside).astype(np.float64)
    values, pivot = soft[inside], points.mean(axis=0)

    def reflection(parameters: Any) -> tuple[AffineArray, AffineArray]:  # noqa: ANN401
        turn = Rotation.from_rotvec(np.array([0.0, parameters[1], parameters[2]]))
        normal = turn.apply(np.array([1.0, 0.0, 0.0]))
        return np.asarray(normal), pivot + parameters[0] * normal

    def cost(parameters: Any) -> float:  # noqa: ANN401
        normal, through = reflection(parameters)
        there = (points - 2 * np.outer((points - through) @ normal, normal)).T
        weight = ndimage.map_coordinates(share, there, order=1)
        if weight.sum() < _LEAST_SHARE * weight.size:
            return 1.0
        return 1.0 - weighted_correlation(
            values, ndimage.map_coordinates(soft, there, order=1), weight
        )

    tried = [
        np.array([0.0, *np.radians((roll, yaw))])
        for roll in _TRIED_DEGREES
        for yaw in _TRIED_DEGREES
    ]
    start: Any = min(tried, key=cost)
    how: Any = {"direc": np.diag([1.0, 0.1, 0.1]), "xtol": 1e-3, "ftol": 1e-6, "maxfev": 400}
    found = optimize.minimize(cost, start, method="Powell", options=how)
    normal, through = reflection(found.x)
    affine = picture.grid.affine
    through_mm = affine[:3, :3] @ through + affine[:3, 3]
    mirror = np.eye(4)
    mirror[:3, :3] -= 2 * np.outer(normal, normal)
    mirror[:3, 3] = 2 * (through_mm @ normal) * normal
    return mirror, 1.0 - float(found.fun)


def _levelled(image: FloatArray, share: FloatArray) -> FloatArray:
    """Blur an image, and take off what is broad in it: a coil sees one side brighter."""
    around = ndimage.gaussian_filter(share, _BROAD_VOX)
    broad = ndimage.gaussian_filter(image * share, _BROAD_VOX)
    level = np.divide(broad, around, out=np.zeros_like(image), where=around > 1e-3)
    soft: FloatArray = ndimage.gaussian_filter((image - level) * share, _BLUR_VOX)
    return soft
