"""The model's own brain, found from its tissue classes, and what must touch it.

A model that was trained to tell tissues apart gives a brain mask for free. It is used to drop
false lesions in the skull, the eyes or the neck, to find the midline, and to notice scans in
which hardly any brain was recognised.
"""

import numpy as np
from scipy import ndimage

from strokeseg.arrays import BoolArray, IntArray, LabelArray
from strokeseg.errors import DataError
from strokeseg.measure.components import label_components
from strokeseg.measure.counting import among, count_in_blocks, spread_blocks
from strokeseg.measure.lesions import mask_volume_ml
from strokeseg.space.grid import Grid

BLOCK_MM = 2.5
CLOSING_MM = 6.0
ISLAND_SHARE = 0.05
HARDLY_ANY_BRAIN_ML = 200.0
PLAUSIBLE_BRAIN_ML = (600.0, 2200.0)
LESION_SHARE = 0.5

_FACES = ndimage.generate_binary_structure(3, 1)


def brain_mask(
    labels: LabelArray, grid: Grid, tissue_labels: tuple[int, ...], lesion_label: int
) -> BoolArray:
    """Find the brain in the label map of a model that knows tissues.

    The steps, on blocks of about 2.5 mm (a block is occupied if half of its voxels are tissue or
    lesion, and is lesion if most of those are):

    1. *Tissue alone* decides where the brain is: the largest face-connected piece of it, and
       every other piece with at least a twentieth of that one's volume. The lesion class has no
       say, or every false lesion would be its own brain. Smaller pieces are what a model sees of
       tissue in eyes (about 1 % of a brain), neck and scalp. More than one piece is kept because
       a large lesion can cut a brain in two (a hemisphere from the cerebellum, say).
    2. *Lesions that share a face with it* join, each connected piece as a whole. Closing and
       filling alone would cover a lesion with tissue all round, but not a cortical one, which is
       open towards the skull, and still less a hemisphere that is lesion throughout. All of these
       border on tissue somewhere; a false lesion in skull, eyes or neck has background round it.
       What stays undecided is a false lesion that borders on the brain's surface: it is kept. As
       a lesion joins whole, a higher threshold, which draws it back from the tissue around it,
       does not cut it off from the brain.
    3. Closing by a ball of 6 mm bridges sulci and partial-volume gaps; then cavities are filled.

    Parameters
    ----------
    labels : (I, J, K) uint8 array
        Most likely class of each voxel.
    grid : Grid
        Of `labels`.
    tissue_labels : tuple of int
        Classes that are brain tissue or cerebrospinal fluid.
    lesion_label : int
        The class of lesions.

    Returns
    -------
    (I, J, K) bool array
        Empty where no tissue was found.

    Raises
    ------
    DataError
        If labels and grid differ in shape, or the lesion is among the tissues.
    """
    if labels.shape != grid.shape:
        raise DataError(f"labels {labels.shape} and grid {grid.shape} differ in shape")
    if lesion_label in tissue_labels:
        raise DataError(f"class {lesion_label} cannot be both tissue and lesion")
    block, sampling_mm = blocks_of(grid)
    tissue_count = count_in_blocks(labels, among(tissue_labels), block)
    lesion_count = count_in_blocks(labels, among((lesion_label,)), block)
    occupied = 2 * (tissue_count + lesion_count) >= np.prod(block)
    lesion = occupied & (lesion_count > tissue_count)
    tissue = _main_pieces(occupied & ~lesion)
    joined = tissue | _touching(lesion, ndimage.binary_dilation(tissue, _FACES))
    return spread_blocks(_close_and_fill(joined, sampling_mm), block, labels.shape)


def blocks_of(grid: Grid) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Give the voxels along each edge of a block of about 2.5 mm, and its edges in mm."""
    block = tuple(max(1, int(BLOCK_MM / size + 0.5)) for size in grid.voxel_size_mm)
    return block, tuple(n * size for n, size in zip(block, grid.voxel_size_mm, strict=True))


def find_midline_mm(brain: BoolArray, grid: Grid) -> float | None:
    """Return the world x of the plane between the hemispheres, in mm, or None for no brain.

    Nothing is registered: the plane stands upright on the world's left-right axis, through the
    brain's own centre of mass. It is right within some millimetres for a head that lies straight
    in the scanner; for a tilted or turned head, or where the field of view cuts off one side, it
    is not.
    """
    counts = [brain.sum(axis=others, dtype=np.int64) for others in ((1, 2), (0, 2), (0, 1))]
    total = int(counts[0].sum())
    if total == 0:
        return None
    centre = [float(np.arange(len(c)) @ c) / total for c in counts]
    return float(grid.affine[0, :3] @ centre + grid.affine[0, 3])


def brain_volume_ml(brain: BoolArray, grid: Grid) -> float:
    """Return the volume of a brain mask in ml."""
    return mask_volume_ml(brain, grid)


def is_hardly_any_brain(brain_ml: float) -> bool:
    """Return whether a brain is so small (under 200 ml) that no lesion should be judged by it."""
    return brain_ml < HARDLY_ANY_BRAIN_ML


def brain_warnings(brain_ml: float, lesion_ml: float) -> tuple[str, ...]:
    """Return what a user should hear about the sizes of brain and lesion, one line each."""
    if is_hardly_any_brain(brain_ml):
        return (
            f"hardly any brain found ({brain_ml:.0f} ml): the scan may not show a head, or its "
            "contrast is beyond the model; look at the picture before using the result",
        )
    told = []
    if not PLAUSIBLE_BRAIN_ML[0] <= brain_ml <= PLAUSIBLE_BRAIN_ML[1]:
        size, whose = ("small", "part of it") if brain_ml < 1000 else ("large", "more than it")
        told.append(
            f"the brain found is {size} ({brain_ml:.0f} ml): the scan may show {whose}, or its "
            "voxel sizes may be wrong"
        )
    if lesion_ml > LESION_SHARE * brain_ml:
        told.append(
            f"the lesion ({lesion_ml:.0f} ml) fills over half of the brain found "
            f"({brain_ml:.0f} ml): look at the picture before using the result"
        )
    return tuple(told)


def _touching(mask: BoolArray, place: BoolArray) -> BoolArray:
    components = label_components(mask)
    return components.select(components.touching(place))


def _main_pieces(tissue: BoolArray) -> BoolArray:
    labels, count = ndimage.label(tissue, structure=_FACES)
    if count == 0:
        return tissue
    voxels = np.bincount(labels.ravel())
    voxels[0] = 0
    keep = voxels >= ISLAND_SHARE * voxels.max()
    keep[0] = False
    pieces: BoolArray = keep[labels]
    return pieces


def _close_and_fill(mask: BoolArray, sampling_mm: tuple[float, ...]) -> BoolArray:
    reach = [int(CLOSING_MM / size) for size in sampling_mm]
    steps = np.indices([2 * n + 1 for n in reach]).reshape(3, -1).T - reach
    ball = steps[np.linalg.norm(steps * sampling_mm, axis=1) <= CLOSING_MM]
    # Twice the ball's reach, and one more: dilation stays inside, and background goes all round.
    margin = [2 * n + 1 for n in reach]
    grown = _dilate(np.pad(mask, [(n, n) for n in margin]), ball)
    closed = ~_dilate(~grown, ball)
    background, _ = ndimage.label(~closed, structure=_FACES)
    filled: BoolArray = background != background[0, 0, 0]
    i, j, k = (slice(n, -n) for n in margin)
    return filled[i, j, k]


def _dilate(mask: BoolArray, steps: IntArray) -> BoolArray:
    # An OR of shifted copies: for a ball of some voxels ten times faster than a distance map.
    reach = steps.max(axis=0)
    padded = np.pad(mask, [(n, n) for n in reach])
    out = np.zeros_like(mask)
    for first in steps + reach:
        i, j, k = (slice(a, a + size) for a, size in zip(first, mask.shape, strict=True))
        out |= padded[i, j, k]
    return out
