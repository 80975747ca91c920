"""The numbers of the lesion table on the slices of a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from strokeseg.arrays import AffineArray, BoolArray
from strokeseg.measure.components import Components, label_components
from strokeseg.measure.lesions import Lesion
from strokeseg.results.outlining import SEAM
from strokeseg.results.page import Plane, font
from strokeseg.space.grid import Grid

# Larger ones are not written: they would hide the scan.
MOST_NUMBERS = 30
NUMBER = (255, 215, 150)
_SAME_PLACE_MM = 1e-2


@dataclass(frozen=True)
class NumberedLesions:
    """Lesions of a mask with the numbers of their rows, the largest first."""

    components: Components | None
    numbers: tuple[tuple[int, int], ...]  # of a component and of its row

    def on_slice(self, plane: Plane, index: int) -> dict[int, tuple[float, float]]:
        """Tell where a slice shows each lesion: its highest voxel, as (across, up) indices."""
        found: dict[int, tuple[float, float]] = {}
        if self.components is None:
            return found
        for component, number in self.numbers:
            box = self.components.boxes[component]
            along = box[plane.normal]
            if not along.start <= index < along.stop:
                continue
            cut = np.moveaxis(self.components.inside(component), plane.normal, 0)
            places = np.argwhere(cut[index - along.start])
            if places.size:
                top = places[places[:, 1] == places[:, 1].max()]
                start = (box[plane.across].start, box[plane.up].start)
                found[number] = (float(top[:, 0].mean()) + start[0], float(top[0, 1]) + start[1])
        return found


def number_lesions(
    mask: BoolArray, affine: AffineArray, lesions: Sequence[Lesion], grid: Grid
) -> NumberedLesions:
    """Find the lesions of a table in a mask, by the middles of their bounding boxes.

    Parameters
    ----------
    mask : (I, J, K) bool array
        As it is drawn.
    affine
        Its voxels to mm.
    lesions
        Rows of the table, the largest first.
    grid
        That the rows' voxels are of.
    """
    if not lesions or not mask.any():
        return NumberedLesions(None, ())
    components = label_components(mask)
    middles = [_middle_mm(affine, [(s.start, s.stop - 1) for s in b]) for b in components.boxes]
    known = np.asarray(middles)
    numbers = []
    for lesion in lesions:
        ends = list(zip(lesion.start_vox, lesion.stop_vox, strict=True))
        gaps = np.linalg.norm(known - _middle_mm(grid.affine, ends), axis=1)
        near = np.flatnonzero(gaps < _SAME_PLACE_MM)
        if near.size:  # of two around each other, the one of the row's volume
            wanted = lesion.volume_ml / grid.voxel_volume_ml
            best = near[np.abs(components.voxels[near] - wanted).argmin()]
            numbers.append((int(best), lesion.index))
    return NumberedLesions(components, tuple(numbers))


def write_numbers(
    page: Image.Image,
    frame: tuple[int, int, int, int],
    shape: tuple[int, ...],
    plane: Plane,
    places: Mapping[int, tuple[float, float]],
) -> None:
    """Write each number above its lesion, clear of the outline.

    Parameters
    ----------
    page
        What is drawn on.
    frame
        Left, top, width and height of the slice there, in pixels.
    shape
        Of the volume that the slice is of.
    plane
        How it is cut.
    places
        What `NumberedLesions.on_slice` gave.
    """
    left, top, width, height = frame
    pen = ImageDraw.Draw(page)
    for number, (across, up) in places.items():
        if number > MOST_NUMBERS:
            continue
        x = left + width * (1 - (across + 0.5) / shape[plane.across])
        y = max(top + height * (1 - (up + 1) / shape[plane.up]) - 5, top + 14)
        where = (round(x), round(y))
        pen.text(where, str(number), NUMBER, font(14), "mb", stroke_width=2, stroke_fill=SEAM)


def shown_of(shown: int, count: int) -> str:
    """Say how many of the lesions a picture shows, where it is not all of them."""
    return f"; {shown} of {count} shown" if 0 < shown < count else ""


def _middle_mm(affine: AffineArray, ends: Sequence[tuple[int, int]]) -> AffineArray:
    middle = [(first + last) / 2 for first, last in ends]
    return np.asarray((affine @ [*middle, 1.0])[:3])
