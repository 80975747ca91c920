"""Whether a CT is in Hounsfield units: what the units are recognised by, and an offset undone.

Air is -1000 and water 0 in Hounsfield units; scanners pad below air (-1024, -2000, -3024). What a
converter lost shows: an intercept of -1024 that was not applied, or a window that was.
"""

import numpy as np

from strokeseg.arrays import FloatArray
from strokeseg.errors import DataError
from strokeseg.images.sampling import lattice, share

OFFSETS = (1024.0, 1000.0)
_AIR_BELOW = -800.0
_LEAST_AIR = 0.005
_SOFT = (0.0, 100.0)
_LEAST_SOFT = 0.2
_BODY = (-200.0, 200.0)
_LEAST_BODY = 0.4
_LOWEST_TISSUE = 12.0
_BONE, _FAT = (300.0, 5000.0), (-800.0, -20.0)
_LEAST_OF_EACH = 0.005
_BRAIN_MEDIAN = (15.0, 60.0)
_LARGEST_OF_BRAIN = 150.0


def hounsfield_offset(data: FloatArray) -> float:
    """Give what lies on top of Hounsfield units: 0, or about 1024 where it was not taken off.

    Parameters
    ----------
    data : (I, J, K) float32 array
        A CT, finite.
    """
    sample = lattice(data)
    if _is_hounsfield(sample):
        return 0.0
    fitting = [offset for offset in OFFSETS if _is_hounsfield(sample - np.float32(offset))]
    if len(fitting) == len(OFFSETS):
        tissue = sample - np.float32(OFFSETS[0])
        soft = tissue[(tissue > -_SOFT[1]) & (tissue < _SOFT[1])]
        return OFFSETS[0] if float(np.median(soft)) >= _LOWEST_TISSUE else OFFSETS[1]
    return fitting[0] if fitting else 0.0


def check_hounsfield(name: str, data: FloatArray) -> tuple[float, list[str]]:
    """Tell whether a CT is in Hounsfield units.

    Parameters
    ----------
    name : str
        What messages call it.
    data : (I, J, K) float32 array
        Finite.

    Returns
    -------
    offset, warnings : float, list of str
        What is to be taken off every voxel, and a line about it.

    Raises
    ------
    DataError
        If it shows neither air near -1000 nor an offset, and is no brain that was cut out.
    """
    sample = lattice(data)
    offset = hounsfield_offset(data)
    if offset:
        return offset, [
            f"is not in Hounsfield units but {offset:g} above them (air near 0): {offset:g} was "
            "taken off"
        ]
    if _is_hounsfield(sample):
        return 0.0, []
    if _is_brain_alone(sample):
        return 0.0, [
            "shows no air near -1000: it is taken for a brain that was cut out, in Hounsfield units"
        ]
    low, high = float(data.min()), float(data.max())
    first, third = np.percentile(sample, (25, 75)).tolist()
    raise DataError(
        f"{name}: is no CT in Hounsfield units: its values reach from {low:g} to {high:g}, half of "
        f"them from {first:g} to {third:g}, where air is near -1000 and soft tissue 0 to 100; give "
        "the CT as the scanner wrote it, neither windowed nor scaled, and an MRI by its contrast, "
        "such as --t1"
    )


def seems_ct(data: FloatArray) -> bool:
    """Tell whether a scan (I, J, K) that is said to be no CT shows air, fat, soft tissue and bone.

    Parameters
    ----------
    data : (I, J, K) float32 array
        Finite.
    """
    sample = lattice(data)
    return _is_hounsfield(sample) and all(
        share(sample, *at) >= _LEAST_OF_EACH for at in (_BONE, _FAT)
    )


def _is_hounsfield(sample: FloatArray) -> bool:
    """Tell whether a sample has air, and beside it mostly soft tissue."""
    body = sample[sample > _AIR_BELOW]
    if sample.size - body.size < _LEAST_AIR * sample.size:
        return False
    return share(body, *_BODY) >= _LEAST_BODY and share(body, *_SOFT) >= _LEAST_SOFT


def _is_brain_alone(sample: FloatArray) -> bool:
    """Tell whether a sample is 0 but for a brain: nothing else has a median of 15 to 60 HU."""
    inside = sample[sample != 0]
    if not 0 < inside.size < 0.9 * sample.size:
        return False
    low, middle, high = np.percentile(inside, (0.5, 50, 99.5)).tolist()
    in_place = _BRAIN_MEDIAN[0] <= middle <= _BRAIN_MEDIAN[1]
    return bool(in_place) and low > _BODY[0] and high < _LARGEST_OF_BRAIN
