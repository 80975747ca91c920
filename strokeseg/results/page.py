"""What every picture has: planes through a head, the letters on them, colours and text.

Slices are drawn at their true proportions in mm, in radiological convention: the patient's right
is on the left of the picture. The colours are for a dark page.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageDraw, ImageFont

from strokeseg.arrays import AffineArray, BoolArray, FloatArray
from strokeseg.measure.components import Box
from strokeseg.space.grid import Grid

MARGIN_PX = 28
PAGE = (0, 0, 0)
TEXT = (236, 236, 236)
QUIET = (150, 153, 160)
HEAD_LEVEL = 0.12
_HEAD_MARGIN_MM = 4.0
CONVENTION = "Radiological convention: the patient's right is on the left of the picture."

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Plane:
    """One of the three ways to cut a head whose axes run towards R, A and S.

    `across` runs from the picture's right to its left, `up` from its bottom to its top.
    """

    normal: int
    across: int
    up: int
    name: str
    letters: tuple[str, str]


AXIAL = Plane(normal=2, across=0, up=1, name="z", letters=("R", "L"))
CORONAL = Plane(normal=1, across=0, up=2, name="y", letters=("R", "L"))
SAGITTAL = Plane(normal=0, across=1, up=2, name="x", letters=("A", "P"))
PLANES = (AXIAL, CORONAL, SAGITTAL)


def flat(volume: npt.NDArray[Any], plane: Plane, index: int) -> npt.NDArray[Any]:
    """Cut one slice out of a canonical volume, as rows of a picture."""
    cut: npt.NDArray[Any] = np.moveaxis(volume, plane.normal, 0)[index]
    # What is left of the axes is (across, up); rows run down the page and columns to the right.
    return cut.T[::-1, ::-1]


def grey_window(sample: FloatArray) -> tuple[float, float]:
    """Return what is black and what is white: 1st percentile of all, 99th of the head."""
    low, high = (float(value) for value in np.percentile(sample, (1.0, 99.0)))
    head = sample[sample > low + HEAD_LEVEL * (high - low)]
    if head.size:
        high = float(np.percentile(head, 99.0))
    return low, max(high, low + 1e-6)


def head_box(head: BoolArray, stride: int, grid: Grid) -> Box:
    """Return the box of a head and a margin, noise and single voxels not counted.

    Parameters
    ----------
    head : (I, J, K) bool array
        Every `stride`-th voxel along each axis of what is bright enough.
    stride
        See above.
    grid
        Of all voxels.
    """
    # Where a fiftieth of the fullest slice is head.
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        profile = head.sum(axis=others)
        where = np.flatnonzero(profile > profile.max() / 50)
        if where.size == 0:
            where = np.array([0, head.shape[axis] - 1])
        margin = int(np.ceil(_HEAD_MARGIN_MM / grid.voxel_size_mm[axis]))
        start = max(0, (int(where[0]) - 1) * stride + 1 - margin)
        stop = min(grid.shape[axis], (int(where[-1]) + 1) * stride + margin)
        sides.append(slice(start, stop))
    return sides[0], sides[1], sides[2]


def place_mm(shape: tuple[int, ...], affine: AffineArray, plane: Plane, index: int) -> int:
    """Return where the middle of a slice lies along its normal, in whole mm."""
    centre = [(n - 1) / 2 for n in shape]
    centre[plane.normal] = float(index)
    return round(float(affine[plane.normal] @ [*centre, 1.0]))


def draw_labels(
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    size: tuple[int, int],
    plane: Plane,
    position_mm: int,
) -> None:
    """Write which side is which beside a slice, and where it lies below it."""
    left, top = corner
    middle = top + size[1] // 2
    pen.text((left - 7, middle), plane.letters[0], QUIET, font(15), anchor="rm")
    pen.text((left + size[0] + 7, middle), plane.letters[1], QUIET, font(15), anchor="lm")
    below = (left + (size[0] + 1) // 2, top + size[1] + 5)
    pen.text(below, f"{plane.name} = {position_mm} mm", QUIET, font(13), anchor="mt")


def fit(text: str, size: int, room_px: int) -> str:
    """Cut a text so that it has room at this size."""
    face = font(size)
    if face.getlength(text) <= room_px:
        return text
    while text and face.getlength(text + "...") > room_px:
        text = text[:-1]
    return text + "..."


def font(size: int) -> Font:
    """Return the font of all pictures."""
    return ImageFont.load_default(size)
