"""The picture of a lesion map: slices through a brain, coloured by how many lesions meet there.

The colours run from violet over red and orange to light yellow, each lighter than the one before,
so that they keep their order for any colour vision, and none of them is a grey of the brain.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from strokeseg.arrays import AffineArray, FloatArray
from strokeseg.errors import DataError
from strokeseg.measure.components import Box, bounding_box
from strokeseg.results.page import (
    AXIAL,
    CONVENTION,
    CORONAL,
    MARGIN_PX,
    PAGE,
    QUIET,
    SAGITTAL,
    TEXT,
    Plane,
    draw_labels,
    fit,
    flat,
    font,
    grey_window,
    place_mm,
)
from strokeseg.space.grid import Grid, canonical_grid, closest_axes

COLUMNS = 5
ROWS = (AXIAL, AXIAL, CORONAL, SAGITTAL)
CELL_PX = 232
GUTTER_PX = 24
CAPTION_PX = 30
HEADER_PX = 70
FOOTER_PX = 20
BAR_PX = (300, 16)

_STOPS = np.array([(92, 40, 190), (205, 35, 110), (250, 120, 30), (255, 195, 50), (255, 245, 130)])
_OPACITY = 235
_WHITEST = 185
_MOST_STEPS = 12
_MARGIN_MM = 6.0
_BRAIN_LEVEL = 0.05
_STRAY_SHARE = 0.02

Counts = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class _Scene:
    # Cut to the brain, axes towards R, A, S.
    count: Counts
    grey: npt.NDArray[np.uint8]
    affine: AffineArray
    zooms_mm: tuple[float, float, float]
    pixels_per_mm: float
    most: int

    def size_px(self, axis: int) -> int:
        """Length of an axis on the page."""
        length_mm = int(self.count.shape[axis]) * self.zooms_mm[axis]
        return max(1, round(length_mm * self.pixels_per_mm))


def draw_heat(
    count: Counts, grid: Grid, brain: FloatArray | None, title: str, subtitle: str
) -> bytes:
    """Draw where lesions lie, over evenly spaced slices in three planes.

    Parameters
    ----------
    count : (I, J, K) int16 array
        In how many cases each voxel is lesion.
    grid : Grid
        Of it, in any orientation.
    brain : (I, J, K) float32 array or None
        What to draw behind; nothing if None.
    title, subtitle : str
        Two lines above the slices.

    Returns
    -------
    bytes
        A PNG file, the same for the same input.

    Raises
    ------
    DataError
        If the three do not have one shape.
    """
    if count.shape != grid.shape or (brain is not None and brain.shape != grid.shape):
        raise DataError(f"lesion map {count.shape}, its grid {grid.shape} or its brain differ")
    scene = _scene(count, grid, brain)
    pitch = CELL_PX + 2 * GUTTER_PX
    heights = [scene.size_px(plane.up) for plane in ROWS]
    width = 2 * (MARGIN_PX - GUTTER_PX) + COLUMNS * pitch
    top = MARGIN_PX + HEADER_PX
    height = top + sum(heights) + len(ROWS) * CAPTION_PX + FOOTER_PX + MARGIN_PX
    page = Image.new("RGB", (width, height), PAGE)
    _draw_header(page, scene.most, title, subtitle)
    waiting = {plane.name: _slices(scene, plane) for plane in ROWS}
    for plane, row_height in zip(ROWS, heights, strict=True):
        for column in range(COLUMNS):
            left = MARGIN_PX + column * pitch
            _draw_cell(page, (left, top), scene, plane, waiting[plane.name].pop(0))
        top += row_height + CAPTION_PX
    stream = io.BytesIO()
    page.save(stream, format="PNG", compress_level=4)
    return stream.getvalue()


def colours(most: int) -> npt.NDArray[np.uint8]:
    """Return the colour of each count from 0 to `most`, (most + 1, 3); that of 0 is not used."""
    share = np.zeros(most + 1) if most < 2 else (np.arange(most + 1) - 1) / (most - 1)
    share = np.clip(share, 0.0, 1.0) if most > 1 else np.full(most + 1, 0.5)
    stops = np.linspace(0.0, 1.0, len(_STOPS))
    mixed = [np.interp(share, stops, channel) for channel in _STOPS.T]
    return np.stack(mixed, axis=-1).round().astype(np.uint8)


def _scene(count: Counts, grid: Grid, brain: FloatArray | None) -> _Scene:
    axes, signs = closest_axes(grid.affine)
    order = tuple(np.argsort(axes))
    flips = tuple(slice(None, None, signs[axis]) for axis in order)
    canonical = canonical_grid(grid)
    zooms = canonical.voxel_size_mm
    turned = count.transpose(order)[flips]
    grey = np.zeros(turned.shape, dtype=np.uint8)
    shown = turned > 0
    if brain is not None:
        upright = brain.transpose(order)[flips]
        low, high = grey_window(upright[::3, ::3, ::3])
        scaled = np.clip((upright - low) / (high - low), 0.0, 1.0)
        grey = (scaled * _WHITEST).astype(np.uint8)
        shown = shown | (scaled > _BRAIN_LEVEL)
    box = _with_margin(bounding_box(shown) if brain is not None else None, canonical)
    affine = canonical.affine.copy()
    affine[:3, 3] = (canonical.affine @ [*(side.start for side in box), 1.0])[:3]
    widest = max((box[axis].stop - box[axis].start) * zooms[axis] for axis in (0, 1))
    most = int(count.max())
    return _Scene(turned[box], grey[box], affine, zooms, CELL_PX / widest, most)


def _with_margin(box: Box | None, grid: Grid) -> Box:
    sides = []
    for axis, size in enumerate(grid.shape):
        margin = int(np.ceil(_MARGIN_MM / grid.voxel_size_mm[axis]))
        start, stop = (box[axis].start, box[axis].stop) if box else (0, size)
        sides.append(slice(max(0, start - margin), min(size, stop + margin)))
    return sides[0], sides[1], sides[2]


def _slices(scene: _Scene, plane: Plane) -> list[int]:
    """Pick evenly spaced slices from where lesions begin to where they end; strays do not count."""
    wanted = COLUMNS * ROWS.count(plane)
    size = scene.count.shape[plane.normal]
    others = tuple(axis for axis in range(3) if axis != plane.normal)
    area = (scene.count > 0).sum(axis=others, dtype=np.int64)
    extent = np.flatnonzero(area > area.max() * _STRAY_SHARE)
    first, last = (int(extent[0]), int(extent[-1])) if extent.size else (size // 5, size * 4 // 5)
    lack = max(0, wanted - (last - first + 1))
    first, last = max(0, first - (lack + 1) // 2), min(size - 1, last + (lack + 1) // 2)
    step = (last - first + 1) / wanted
    return [min(size - 1, int(first + (n + 0.5) * step)) for n in range(wanted)]


def _draw_cell(
    page: Image.Image, corner: tuple[int, int], scene: _Scene, plane: Plane, index: int
) -> None:
    size = (scene.size_px(plane.across), scene.size_px(plane.up))
    left, top = corner[0] + (CELL_PX - size[0]) // 2, corner[1]
    grey = Image.fromarray(np.ascontiguousarray(flat(scene.grey, plane, index)))
    page.paste(grey.resize(size, Image.Resampling.BICUBIC).convert("RGB"), (left, top))
    cut: npt.NDArray[Any] = flat(scene.count, plane, index)
    heat = np.zeros((*cut.shape, 4), dtype=np.uint8)
    heat[..., :3] = colours(scene.most)[cut]
    heat[..., 3] = np.where(cut > 0, _OPACITY, 0)
    over = Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR)
    page.paste(over, (left, top), over)
    position = place_mm(scene.count.shape, scene.affine, plane, index)
    draw_labels(ImageDraw.Draw(page), (left, top), size, plane, position)


def _draw_header(page: Image.Image, most: int, title: str, subtitle: str) -> None:
    pen = ImageDraw.Draw(page)
    right = page.width - MARGIN_PX
    room = right - MARGIN_PX - BAR_PX[0] - 2 * GUTTER_PX
    pen.text((MARGIN_PX, MARGIN_PX), fit(title, 22, room), TEXT, font(22), anchor="lt")
    line = MARGIN_PX + 42
    pen.text((MARGIN_PX, line), fit(subtitle, 17, room), TEXT, font(17), anchor="lm")
    pen.text((MARGIN_PX, page.height - MARGIN_PX), CONVENTION, QUIET, font(13), anchor="ls")
    if most == 0:
        pen.text((right, line), "No lesion in any case", TEXT, font(17), anchor="rm")
        return
    steps = most if most <= _MOST_STEPS else BAR_PX[0]
    shade = colours(most)[np.linspace(1, most, steps).round().astype(int)]
    bar = Image.fromarray(shade[np.newaxis]).resize(BAR_PX, Image.Resampling.NEAREST)
    left = right - BAR_PX[0]
    page.paste(bar, (left, MARGIN_PX + 4))
    below = MARGIN_PX + BAR_PX[1] + 10
    pen.text((left, below), "1", TEXT, font(15), anchor="lt")
    pen.text((left + BAR_PX[0] // 2, below), "cases with a lesion", QUIET, font(13), anchor="mt")
    if most > 1:
        pen.text((right, below), str(most), TEXT, font(15), anchor="rt")
