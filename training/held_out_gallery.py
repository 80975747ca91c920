"""The cases that a model does worst on, as one picture: truth in green, what it found in orange."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from strokeseg.arrays import AnyArray, BoolArray, FloatArray
from strokeseg.files.atomic import write_atomically
from strokeseg.results.outlining import outline_of
from strokeseg.results.page import font
from strokeseg.results.picture import OUTLINE, TRUTH

COLUMNS = 4
TIMES = 3
GREYS = 62
AIR_VOX = 2
_CAPTION_PX = 14
_GAP_PX = 4


@dataclass(frozen=True, eq=False)
class Tile:
    """A plane (I, J) of a case, its truth and what was found there; `dice` is the whole case's."""

    dice: float
    title: str
    image: FloatArray
    truth: BoolArray
    found: BoolArray


def draw_worst(tiles: Sequence[Tile], count: int, path: Path) -> None:
    """Draw the `count` cases of the least Dice, each without and with its lines, as a PNG."""
    chosen = sorted(tiles, key=lambda tile: tile.dice)[:count]
    pictures = [tile_picture(tile) for tile in chosen]
    width = max(picture.width for picture in pictures) + _GAP_PX
    height = max(picture.height for picture in pictures) + _GAP_PX
    columns = min(COLUMNS, len(pictures))
    sheet = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % columns * width, number // columns * height))
    buffer = BytesIO()
    few = sheet.quantize(palette=_palette(), dither=Image.Dither.NONE)
    few.save(buffer, "PNG", optimize=True)
    write_atomically(path, [buffer.getvalue()])


def tile_picture(tile: Tile) -> Image.Image:
    """Draw a plane twice beside each other, plain and with both lines, under its title."""
    rows, columns = _seen(tile)
    image = tile.image[rows, columns]
    low, high = np.percentile(image, (1.0, 99.5))
    grey = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1) * 255
    plain = Image.fromarray(_upright(grey).astype(np.uint8)).convert("RGB")
    size = (plain.width * TIMES, plain.height * TIMES)
    plain = plain.resize(size, Image.Resampling.BILINEAR)
    lined = plain.copy()
    for mask, colour in ((tile.truth, TRUTH), (tile.found, OUTLINE)):
        line, _ = outline_of(_upright(mask[rows, columns]), size)
        lined.paste(colour, mask=line)
    both = Image.new("RGB", (2 * size[0], size[1] + _CAPTION_PX))
    both.paste(plain, (0, _CAPTION_PX))
    both.paste(lined, (size[0], _CAPTION_PX))
    ImageDraw.Draw(both).text((0, 0), tile.title, (230, 230, 230), font(11))
    return both


def _palette() -> Image.Image:
    """Give an image whose palette is greys and the colours of both lines."""
    greys = [(level, level, level) for level in np.linspace(0, 255, GREYS).astype(int).tolist()]
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in (*greys, TRUTH, OUTLINE) for value in colour])
    return palette


def _seen(tile: Tile) -> tuple[slice, slice]:
    """Give the box that has all but the air around."""
    shown = (tile.image > tile.image.min()) | tile.truth | tile.found
    sides = [np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0)]
    rows, columns = (
        slice(max(0, int(side[0]) - AIR_VOX), int(side[-1]) + AIR_VOX + 1)
        if side.size
        else slice(None)
        for side in sides
    )
    return rows, columns


def _upright(plane: AnyArray) -> AnyArray:
    # The second axis up, the first towards the left, as radiologists look at it.
    return plane.T[::-1, ::-1]
