"""Windows on some places of an image alone, for a network that looks a second time.

They are windows of the plan that would cover all of the image, so that where two of them overlap
they are blended as ever; a place is seen by the window in whose middle it lies best.
"""

from dataclasses import dataclass, replace

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray, Shape3
from strokeseg.engines.windows import WindowPlan, plan_windows

OVERLAP = 0.5


@dataclass(frozen=True)
class Crops:
    """Some windows of an image, and the box around them.

    Parameters
    ----------
    box
        Of the image, as slices.
    plan
        The windows, on an image that is that box.
    left_out
        How many windows there would have been beside these.
    """

    box: tuple[slice, slice, slice]
    plan: WindowPlan
    left_out: int = 0

    @property
    def covered(self) -> BoolArray:
        """Tell which voxels of the box a window sees."""
        seen = np.zeros(self.plan.image_shape, np.bool_)
        for part in self.plan.overlaps:
            seen[part.image] = True
        return seen


def plan_crops(
    shape: Shape3,
    places_vox: FloatArray,
    weights: FloatArray,
    edge: int,
    multiple_of: Shape3,
    most: int,
) -> Crops | None:
    """Lay windows on places of an image.

    Parameters
    ----------
    shape
        Of the image (I, J, K).
    places_vox : (N, 3) array
        The places, as indices of voxels; those between two voxels count, too.
    weights : (N,) array
        How much each place is worth.
    edge
        Of a window, in voxels, rounded up to what the network can take.
    multiple_of
        What the edges must be multiples of.
    most
        How many windows there may be; those stay that are worth most.

    Returns
    -------
    Crops or None
        None where there is no place.
    """
    if len(places_vox) == 0:
        return None
    whole = plan_windows(shape, edge, OVERLAP, multiple_of)
    firsts = [np.unique([start[axis] for start in whole.starts]) for axis in range(3)]
    nearest = np.stack(
        [
            np.abs((places_vox[:, axis] + before)[:, None] - (first + (window - 1) / 2)).argmin(1)
            for axis, (first, before, window) in enumerate(
                zip(firsts, whole.pad_before, whole.window, strict=True)
            )
        ]
    )
    lengths = (len(firsts[0]), len(firsts[1]), len(firsts[2]))
    worth = np.bincount(
        np.ravel_multi_index(tuple(nearest), lengths), weights, minlength=int(np.prod(lengths))
    )
    wanted = np.flatnonzero(worth)
    # Stable, and back in the order of the plan: what is chosen depends on nothing else.
    chosen = np.sort(wanted[np.argsort(-worth[wanted], kind="stable")][:most])
    starts = tuple(whole.starts[number] for number in chosen)
    return _around(replace(whole, starts=starts), len(wanted) - len(chosen))


def _around(plan: WindowPlan, left_out: int) -> Crops:
    """Cut a plan to the box around its windows; an axis that was padded stays as it is."""
    box, shape, padded, shift = [], [], [], []
    for axis, (size, full) in enumerate(zip(plan.image_shape, plan.padded_shape, strict=True)):
        low = min(start[axis] for start in plan.starts)
        high = max(start[axis] for start in plan.starts) + plan.window[axis]
        if full > size:
            low, high = 0, size
        box.append(slice(low, high))
        shape.append(high - low)
        padded.append(max(high - low, plan.window[axis]))
        shift.append(low)
    starts = tuple(
        (start[0] - shift[0], start[1] - shift[1], start[2] - shift[2]) for start in plan.starts
    )
    cut = replace(
        plan,
        image_shape=(shape[0], shape[1], shape[2]),
        padded_shape=(padded[0], padded[1], padded[2]),
        starts=starts,
    )
    return Crops((box[0], box[1], box[2]), cut, left_out)
