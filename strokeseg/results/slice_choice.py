"""Which slices of a mask a picture shows."""

import numpy as np

from strokeseg.arrays import AnyArray, BoolArray

FEW = 3  # slices of a plane
_LEAST_GAP_MM, _MOST_GAP_MM = 4.0, 12.0


def evenly_spaced(mask: BoolArray, axis: int) -> list[int]:
    """Spread the slices over what a mask fills, or over the volume if it fills nothing."""
    extent = np.flatnonzero(_areas(mask, axis))
    if extent.size == 0:
        return _spread(mask.shape[axis])
    low, high = int(extent[0]), int(extent[-1])
    return sorted({round(low + (high - low) * share) for share in (0.25, 0.5, 0.75)})


def showing_most(mask: BoolArray, axis: int, thickness_mm: float) -> list[int]:
    """Choose the slices with most of a lesion.

    A third of the lesion apart, but 4 to 12 mm, so that no slice shows three times over and no
    second focus is missed; closer where the lesion is smaller; beside it where it is out of slices.

    Parameters
    ----------
    mask : (I, J, K) bool array
        If it is empty, slices are evenly spaced.
    axis
        Across the slices.
    thickness_mm
        Of a slice.
    """
    size = mask.shape[axis]
    area = _areas(mask, axis)
    extent = np.flatnonzero(area)
    if extent.size == 0:
        return _spread(size)
    spread_mm = (extent[-1] - extent[0] + 1) * thickness_mm / FEW
    gap = max(1, round(min(max(spread_mm, _LEAST_GAP_MM), _MOST_GAP_MM) / thickness_mm))
    index = np.arange(size)
    chosen = [int(area.argmax())]
    while len(chosen) < min(size, FEW):
        distance = np.abs(index[:, np.newaxis] - chosen).min(axis=1)
        free = np.where(distance >= gap, area, 0)
        if free.any():
            chosen.append(int(free.argmax()))
        elif gap > 1:
            gap //= 2
        else:
            nearness = size - np.abs(index - chosen[0])
            chosen.append(int(np.where(distance > 0, nearness, 0).argmax()))
    return sorted(chosen)


def _areas(mask: BoolArray, axis: int) -> AnyArray:
    others = tuple(other for other in range(3) if other != axis)
    return np.asarray(mask.sum(axis=others, dtype=np.int64))


def _spread(size: int) -> list[int]:
    return sorted({int(size * share) for share in (0.35, 0.5, 0.65)})
