"""The small pictures of the pages: a slice for the table, and the case's picture, packed."""

import io
import math

import numpy as np
from PIL import Image, UnidentifiedImageError

from strokeseg.arrays import BoolArray
from strokeseg.report.case_volumes import Stack
from strokeseg.results.page import AXIAL, HEAD_LEVEL, MARGIN_PX, flat, grey_window
from strokeseg.results.picture import CELL_PX, GUTTER_PX, HEADER_PX, OUTLINE
from strokeseg.space.grid import closest_axes

THUMBNAIL_PX = 96

_LESION_TINT = 0.62
_SAMPLES = 400_000
_MARGIN = 0.02
_MOST_PIXELS = 50_000_000


def thumbnail(stack: Stack | None, picture: bytes | None) -> bytes | None:
    """Draw the axial slice with most lesion, in radiological convention, as a small JPEG.

    Parameters
    ----------
    stack : Stack or None
        The case's volumes.
    picture : bytes or None
        The case's picture, a slice of which is taken where there is no scan.

    Returns
    -------
    bytes or None
        None where there is nothing to draw.
    """
    if stack is not None and stack.scan is not None:
        image = _slice(stack)
    elif picture is not None:
        image = _cell(picture)
    else:
        return None
    return None if image is None else _jpeg(image, 82)


def smaller(picture: bytes) -> bytes | None:
    """Pack a case's picture as a JPEG, about a fifth of the PNG; None if it is no picture."""
    image = _open(picture)
    return None if image is None else _jpeg(image, 88)


def _slice(stack: Stack) -> Image.Image | None:
    """Draw the axial slice that shows most lesion, or the middle one."""
    if stack.scan is None:
        return None
    axes, signs = closest_axes(stack.grid.affine)
    order = tuple(np.argsort(axes))
    flips = tuple(slice(None, None, signs[axis]) for axis in order)
    scan = stack.scan.transpose(order)[flips]
    sizes = [stack.grid.voxel_size_mm[axis] for axis in order]
    mask = None if stack.mask is None else stack.mask.transpose(order)[flips]
    area = np.zeros(scan.shape[2]) if mask is None else mask.sum(axis=(0, 1), dtype=np.int64)
    plane = int(area.argmax()) if area.any() else scan.shape[2] // 2
    stride = max(1, int(np.cbrt(scan.size / _SAMPLES)))
    low, high = grey_window(scan[::stride, ::stride, ::stride])
    grey = np.clip((flat(scan, AXIAL, plane) - low) / (high - low), 0, 1)
    colours = np.repeat(grey[:, :, np.newaxis], 3, axis=2) * 255
    if mask is not None:
        lesion = flat(mask, AXIAL, plane)
        tint = np.array(OUTLINE, dtype=np.float32)
        colours[lesion] = (1 - _LESION_TINT) * colours[lesion] + _LESION_TINT * tint
    rows, columns = _filled(grey > HEAD_LEVEL)
    cut = np.ascontiguousarray(colours[rows, columns].astype(np.uint8))
    image = Image.fromarray(cut)
    extent = (image.width * sizes[0], image.height * sizes[1])
    scale = THUMBNAIL_PX / max(extent)
    size = (max(1, round(extent[0] * scale)), max(1, round(extent[1] * scale)))
    return _squared(image.resize(size, Image.Resampling.LANCZOS))


def _filled(head: BoolArray) -> tuple[slice, slice]:
    """Give the rows and columns that the head fills, by a fiftieth at least, and a margin."""
    sides = []
    for axis in (1, 0):
        profile = head.sum(axis=axis)
        where = np.flatnonzero(profile > profile.max() / 50)
        size = len(profile)
        margin = round(_MARGIN * size)
        first, last = (int(where[0]), int(where[-1])) if where.size else (0, size - 1)
        sides.append(slice(max(0, first - margin), min(size, last + 1 + margin)))
    return sides[0], sides[1]


def _cell(picture: bytes) -> Image.Image | None:
    """Cut the middle slice of the first row out of a case's picture."""
    image = _open(picture)
    if image is None:
        return None
    left = MARGIN_PX + CELL_PX + 2 * GUTTER_PX
    top = MARGIN_PX + HEADER_PX
    cell = image.crop((left, top, left + CELL_PX, top + CELL_PX))
    return cell.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)


def _squared(image: Image.Image) -> Image.Image:
    page = Image.new("RGB", (THUMBNAIL_PX, THUMBNAIL_PX))
    page.paste(image, ((THUMBNAIL_PX - image.width) // 2, (THUMBNAIL_PX - image.height) // 2))
    return page


def _open(picture: bytes) -> Image.Image | None:
    try:
        image = Image.open(io.BytesIO(picture), formats=("PNG",))
        if math.prod(image.size) > _MOST_PIXELS:
            return None
        return image.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _jpeg(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    # Colour at full resolution: the outline is one pixel wide.
    image.save(stream, format="JPEG", quality=quality, subsampling=0, optimize=True)
    return stream.getvalue()
