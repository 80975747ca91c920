"""One picture per case: the slices with most lesion in three planes, its outline on the scan.

Slices are drawn at their true proportions in mm, in radiological convention: the patient's right
is on the left of the picture, and letters say so. The colours are for a dark page; the outline is
orange with a dark seam, which tells itself from any grey for any colour vision; so does the truth's
from it, where that is known.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from strokeseg.arrays import AffineArray, BoolArray, FloatArray
from strokeseg.errors import DataError
from strokeseg.measure.components import bounding_box
from strokeseg.measure.lesions import Lesion
from strokeseg.results.lesion_numbers import number_lesions, shown_of, write_numbers
from strokeseg.results.outlining import SEAM, outline_of
from strokeseg.results.page import (
    CONVENTION,
    HEAD_LEVEL,
    MARGIN_PX,
    PAGE,
    PLANES,
    QUIET,
    TEXT,
    Plane,
    draw_labels,
    fit,
    flat,
    font,
    grey_window,
    head_box,
    place_mm,
)
from strokeseg.results.slice_choice import FEW, evenly_spaced, showing_most
from strokeseg.space.grid import Grid, canonical_grid, closest_axes

CELL_PX = 320
GUTTER_PX = 24
CAPTION_PX = 30
HEADER_PX = 66
FOOTER_PX = 20
OUTLINE = (255, 150, 20)
TRUTH = (20, 205, 170)  # the viewer's
FRAME = (90, 170, 255)
LESION = "lesion"
BRAIN = "brain"

_SAMPLES = 400_000
_KEY_PX = 34  # a line of the legend and the gap behind it


@dataclass(frozen=True, eq=False)
class Marks:
    """What is drawn beside a mask's outline.

    Parameters
    ----------
    frame
        A field of view to draw a frame around, its axes along the scan's.
    lesions
        Rows of the lesion table, whose numbers are written beside the outlines; the second line
        then says how many of them the slices show, if it is not all.
    truth : (I, J, K) bool array or None
        The true lesion on the scan's grid, which gets an outline of its own, below the mask's.
    """

    frame: Grid | None = None
    lesions: Sequence[Lesion] = ()
    truth: BoolArray | None = None


@dataclass(frozen=True, eq=False)
class _Scene:
    # The scan as bytes, the mask and the truth, cut to the head, axes towards R, A, S.
    scan: FloatArray
    mask: BoolArray
    truth: BoolArray | None
    affine: AffineArray
    zooms_mm: tuple[float, float, float]
    window: tuple[float, float]
    pixels_per_mm: float
    # First and last edge of the frame along each axis, in voxels of the scene.
    frame: tuple[tuple[float, float], ...] = ()
    what: str = LESION

    def size_px(self, axis: int) -> int:
        """Length of an axis on the page."""
        length_mm = int(self.scan.shape[axis]) * self.zooms_mm[axis]
        return max(1, round(length_mm * self.pixels_per_mm))


def draw(
    scan: FloatArray,
    mask: BoolArray,
    grid: Grid,
    title: str,
    subtitle: str,
    clip: Callable[[FloatArray], FloatArray] | None = None,
    marks: Marks = Marks(),
) -> bytes:
    """Draw the slices of a scan that show most of a lesion, with its outline.

    Parameters
    ----------
    scan : (I, J, K) float32 array
        Finite; grey values run from the 1st percentile of the image to the 99th of the head.
    mask : (I, J, K) bool array
        On the same grid. If it is empty, evenly spaced slices are drawn and the page says so.
    grid : Grid
        Of both, in any orientation.
    title, subtitle : str
        Two lines above the slices, such as a file's name, and volume and number of lesions.
    clip
        Holds intensities within a range, where the scan itself is not held yet.
    marks
        What is drawn beside the outline.

    Returns
    -------
    bytes
        A PNG file, the same for the same input.

    Raises
    ------
    DataError
        If scan, mask and grid do not have one shape.
    """
    known = mask if marks.truth is None else marks.truth
    if not scan.shape == mask.shape == known.shape == grid.shape:
        also = "" if marks.truth is None else f" (the truth: {known.shape})"
        raise DataError(
            f"scan {scan.shape}, mask {mask.shape} and grid {grid.shape} differ in shape{also}: "
            "bring them onto one grid first"
        )
    scene = _scene(scan, mask, marks.truth, grid, clip)
    if marks.frame is not None:
        inside = np.linalg.inv(scene.affine) @ np.vstack((marks.frame.corners_mm.T, np.ones(8)))
        edges = zip(inside[:3].min(axis=1).tolist(), inside[:3].max(axis=1).tolist(), strict=True)
        scene = replace(scene, frame=tuple(edges))
    return _page(scene, title, subtitle, marks.lesions, grid)


def draw_brain(scan: FloatArray, mask: BoolArray, grid: Grid, title: str, subtitle: str) -> bytes:
    """Draw evenly spaced slices of a brain with its outline; parameters are those of `draw`."""
    scene = replace(_scene(scan, mask, None, grid, None), what=BRAIN)
    return _page(scene, title, subtitle, (), grid)


def _page(scene: _Scene, title: str, subtitle: str, lesions: Sequence[Lesion], grid: Grid) -> bytes:
    """Draw the slices of a scene, and the words above and below."""
    heights = [scene.size_px(plane.up) for plane in PLANES]
    pitch = CELL_PX + 2 * GUTTER_PX
    width = 2 * (MARGIN_PX - GUTTER_PX) + FEW * pitch
    top = MARGIN_PX + HEADER_PX
    height = top + sum(heights) + len(heights) * CAPTION_PX + FOOTER_PX + MARGIN_PX
    page = Image.new("RGB", (width, height), PAGE)
    numbered = number_lesions(scene.mask, scene.affine, lesions, grid)
    shown: set[int] = set()
    for plane, row_height in zip(PLANES, heights, strict=True):
        for column, index in enumerate(_pick_slices(scene, plane.normal)):
            left = MARGIN_PX + column * pitch
            corner = _draw_cell(page, (left, top), scene, plane, index)
            places = numbered.on_slice(plane, index)
            size = (scene.size_px(plane.across), scene.size_px(plane.up))
            write_numbers(page, (*corner, *size), scene.mask.shape, plane, places)
            shown.update(places)
        top += row_height + CAPTION_PX
    told = subtitle + shown_of(len(shown), len(lesions))
    known_ml = None if scene.truth is None else float(scene.truth.sum()) * grid.voxel_volume_ml
    _draw_text(page, title, told, None if scene.mask.any() else scene.what, known_ml)
    stream = io.BytesIO()
    page.save(stream, format="PNG", compress_level=4)
    return stream.getvalue()


def legend(
    volume_ml: float, lesion_count: int, interval_ml: tuple[float, float] | None = None
) -> str:
    """Return the line that goes below the title: number of lesions, volume and its interval."""
    noun = "lesion" if lesion_count == 1 else "lesions"
    volume = f"{volume_ml:.1f}" if volume_ml >= 0.1 else f"{volume_ml:.2g}"
    known = ""
    if interval_ml is not None:
        known = f" (90 % interval: {interval_ml[0]:.1f} to {interval_ml[1]:.1f} ml)"
    return f"{lesion_count} {noun}, {volume} ml{known}"


def _scene(
    scan: FloatArray,
    mask: BoolArray,
    truth: BoolArray | None,
    grid: Grid,
    clip: Callable[[FloatArray], FloatArray] | None,
) -> _Scene:
    axes, signs = closest_axes(grid.affine)
    order = tuple(np.argsort(axes))
    flips = tuple(slice(None, None, signs[axis]) for axis in order)
    ras_scan, ras_mask = scan.transpose(order)[flips], mask.transpose(order)[flips]
    ras_truth = None if truth is None else truth.transpose(order)[flips]
    canonical = canonical_grid(grid)
    zooms = canonical.voxel_size_mm
    stride = max(1, int(np.cbrt(scan.size / _SAMPLES)))
    sample = ras_scan[::stride, ::stride, ::stride]
    if clip is not None:  # the slices are held within the window, which lies inside the range
        sample = clip(sample)
    low, high = grey_window(sample)
    box = head_box(sample > low + HEAD_LEVEL * (high - low), stride, canonical)
    for lesion in (bounding_box(drawn) for drawn in (ras_mask, ras_truth) if drawn is not None):
        if lesion is None:
            continue
        i, j, k = (
            slice(min(a.start, b.start), max(a.stop, b.stop))
            for a, b in zip(box, lesion, strict=True)
        )
        box = (i, j, k)
    affine = canonical.affine.copy()
    affine[:3, 3] = (canonical.affine @ [*(side.start for side in box), 1.0])[:3]
    widest = max((box[axis].stop - box[axis].start) * zooms[axis] for axis in (0, 1))
    boxed = ras_scan[box], ras_mask[box], None if ras_truth is None else ras_truth[box]
    return _Scene(*boxed, affine, zooms, (low, high), CELL_PX / widest)


def _pick_slices(scene: _Scene, axis: int) -> list[int]:
    if scene.what != LESION:
        return evenly_spaced(scene.mask, axis)
    known = scene.truth if scene.truth is not None and not scene.mask.any() else scene.mask
    return showing_most(known, axis, scene.zooms_mm[axis])


def _draw_cell(
    page: Image.Image, corner: tuple[int, int], scene: _Scene, plane: Plane, index: int
) -> tuple[int, int]:
    size = (scene.size_px(plane.across), scene.size_px(plane.up))
    left, top = corner[0] + (CELL_PX - size[0]) // 2, corner[1]
    low, high = scene.window
    grey = (flat(scene.scan, plane, index) - low) * (255.0 / (high - low))
    image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    page.paste(image.resize(size, Image.Resampling.BICUBIC).convert("RGB"), (left, top))
    for drawn, colour in ((scene.truth, TRUTH), (scene.mask, OUTLINE)):
        lesion = None if drawn is None else flat(drawn, plane, index)
        if lesion is not None and lesion.any():
            line, seam = outline_of(lesion, size)
            page.paste(SEAM, (left, top), seam)
            page.paste(colour, (left, top), line)
    _draw_frame(page, (left, top), scene, plane, index)
    position = place_mm(scene.scan.shape, scene.affine, plane, index)
    draw_labels(ImageDraw.Draw(page), (left, top), size, plane, position)
    return left, top


def _draw_frame(
    page: Image.Image, corner: tuple[int, int], scene: _Scene, plane: Plane, index: int
) -> None:
    # Rows run down from the far end of `up`, columns from the far end of `across`.
    if not scene.frame or not scene.frame[plane.normal][0] <= index <= scene.frame[plane.normal][1]:
        return
    spans = []
    for axis, start in ((plane.across, corner[0]), (plane.up, corner[1])):
        size, pixels = scene.scan.shape[axis], scene.size_px(axis)
        ends = sorted(pixels * (1 - (edge + 0.5) / size) for edge in scene.frame[axis])
        spans.append([start + round(min(max(end, 0), pixels - 1)) for end in ends])
    (left, right), (top, bottom) = spans
    ImageDraw.Draw(page).rectangle((left, top, right, bottom), outline=FRAME, width=2)


def _draw_text(
    page: Image.Image, title: str, subtitle: str, missing: str | None, truth_ml: float | None
) -> None:
    pen = ImageDraw.Draw(page)
    left, line = float(MARGIN_PX), float(MARGIN_PX + 42)
    room = page.width - 2 * MARGIN_PX
    pen.text((left, MARGIN_PX), fit(title, 22, room), TEXT, font(22), anchor="lt")
    known = "" if truth_ml is None else f"truth, {truth_ml:.1f} ml"
    if known:
        room -= round(font(17).getlength(known)) + 2 * _KEY_PX
    if missing is None:
        left = _draw_key(pen, (left, line), OUTLINE, fit(subtitle, 17, room - _KEY_PX))
    else:
        text = fit(f"No {missing} found" + (f"; {subtitle}" if subtitle else ""), 17, room)
        pen.text((left, line), text, OUTLINE, font(17), anchor="lm")
        left += font(17).getlength(text)
    if known:
        _draw_key(pen, (left + _KEY_PX, line), TRUTH, known)
    pen.text((MARGIN_PX, page.height - MARGIN_PX), CONVENTION, QUIET, font(13), anchor="ls")


def _draw_key(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], colour: tuple[int, int, int], text: str
) -> float:
    # Say what a line's colour means; returns where the text ends.
    left, line = place
    pen.line((left, line, left + 24, line), colour, 2)
    pen.text((left + _KEY_PX, line), text, TEXT, font(17), anchor="lm")
    return left + _KEY_PX + font(17).getlength(text)
