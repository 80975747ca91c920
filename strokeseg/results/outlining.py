"""The line around a lesion on a picture."""

import numpy as np
from PIL import Image

from strokeseg.arrays import BoolArray

SEAM = (20, 8, 0)
_SUPERSAMPLING = 2


def outline_of(lesion: BoolArray, size: tuple[int, int]) -> tuple[Image.Image, ...]:
    """Give a lesion's line and its dark seam as masks of a size, (width, height) in pixels.

    Just outside the lesion, so that they hide none of it; smooth, as drawn larger and shrunk.
    """
    fine = (size[0] * _SUPERSAMPLING, size[1] * _SUPERSAMPLING)
    image = Image.fromarray(lesion.astype(np.uint8) * 255).resize(fine, Image.Resampling.BILINEAR)
    inside = np.asarray(image) >= 128
    line = _grow(inside, 3)
    seam = _grow(line, 2)
    return tuple(
        Image.fromarray((band * level).astype(np.uint8)).reduce(_SUPERSAMPLING)
        for band, level in ((line & ~inside, 255), (seam & ~inside, 170))
    )


def _grow(mask: BoolArray, steps: int) -> BoolArray:
    padded = np.pad(mask, steps)
    out = mask.copy()
    rows, columns = mask.shape
    for down in range(-steps, steps + 1):
        for right in range(-steps, steps + 1):
            if down * down + right * right <= steps * steps:
                out |= padded[
                    steps + down : steps + down + rows, steps + right : steps + right + columns
                ]
    return out
