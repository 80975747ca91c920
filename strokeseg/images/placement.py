"""How a NIfTI header places its voxels: what is refused, and what is said to the user.

Readers differ. Where both forms are coded, nibabel, FSL and SPM go by the sform; ITK goes by the
sform only if its code is 1, else by the qform. Where neither is, nibabel takes voxel sizes, the
first axis towards the left and the origin in the middle; ITK the first two axes towards left and
back from the origin. strokeseg goes by what nibabel takes, and its results keep both forms and
their codes, so that every reader shows mask and scan in one place.
"""

import numpy as np

from strokeseg.arrays import AffineArray, AnyArray
from strokeseg.errors import DataError
from strokeseg.space.grid import affine_problem, closest_axes

_MAX_ENTRY_MM = 10_000.0
_MAX_CODE = 32767
_ZOOM_TOLERANCE = 0.01
_APART_MM = 1.0
_UNIT_NAMES = {1: "the metre", 3: "the micrometre"}


def check_units(name: str, spatial_code: int) -> None:
    """Refuse a header whose lengths are not in mm; no unit is taken as mm.

    Parameters
    ----------
    name : str
        What messages call the image.
    spatial_code : int
        The lowest three bits of NIfTI's ``xyzt_units``.
    """
    if spatial_code in _UNIT_NAMES:
        raise DataError(
            f"{name}: its header says that its unit of length is {_UNIT_NAMES[spatial_code]} "
            f"(xyzt_units {spatial_code}); mm are needed, scale the affine and the voxel sizes to "
            "mm if they are in that unit, then set xyzt_units to 2"
        )


def check_zooms(name: str, zooms: AnyArray) -> None:
    """Refuse voxel sizes that are not positive numbers.

    Parameters
    ----------
    name : str
        What messages call the image.
    zooms : (3,) array
        As stored, in mm.
    """
    if not (np.isfinite(zooms).all() and (zooms > 0).all()):
        sizes = " x ".join(f"{float(zoom):g}" for zoom in zooms)
        raise DataError(
            f"{name}: its voxel sizes are {sizes} mm; each must be above 0, correct pixdim in the "
            "header or convert the scan again"
        )


def check_codes(name: str, codes: tuple[int, int], qfac: float) -> None:
    """Refuse codes of qform and sform that no header has, and a qform that readers take two ways.

    Parameters
    ----------
    name : str
        What messages call the image.
    codes : (int, int)
        Of qform and sform; those beyond NIfTI's own 0 to 5 are kept as they are.
    qfac : float
        As stored: -1 turns the qform's third axis, and what is not negative does not. Readers do
        not agree on other negative numbers.
    """
    if not all(0 <= code <= _MAX_CODE for code in codes):
        raise DataError(
            f"{name}: its qform and sform have the codes {codes[0]} and {codes[1]}; the header is "
            "damaged, convert the scan again"
        )
    if codes[0] > 0 and qfac < 0 and qfac != -1:
        raise DataError(
            f"{name}: its qfac (pixdim[0]) is {qfac:g}; it must be 1 or -1, correct it or convert "
            "the scan again"
        )


def unusable(affine: AffineArray) -> str | None:
    """Say what keeps an affine from placing a scan; None if nothing does.

    Parameters
    ----------
    affine : (4, 4) array
        Voxel index to RAS+ mm.
    """
    largest = float(np.max(np.abs(affine), initial=0.0, where=np.isfinite(affine)))
    if largest > _MAX_ENTRY_MM:
        return f"it has an entry of {largest:g} mm, over {_MAX_ENTRY_MM:g} mm"
    return affine_problem(affine)


def place_warnings(
    affine: AffineArray,
    zooms: AnyArray,
    size: tuple[int, ...],
    sform: AffineArray | None,
    qform: AffineArray | None,
) -> list[str]:
    """Say what is doubtful about how a NIfTI header places its voxels.

    Parameters
    ----------
    affine : (4, 4) array
        What is used: sform, else qform, else a guess from the voxel sizes.
    zooms : (3,) array
        The header's voxel sizes, in mm.
    size : tuple of int
        The header's sizes, in voxels.
    sform, qform : (4, 4) array or None
        The two affines; None where the code is 0.
    """
    if sform is None and qform is None:
        return [
            "the header has neither sform nor qform: left and right are taken as nibabel takes "
            "them and may be swapped"
        ]
    if unusable(affine):
        return []
    warnings = []
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(steps, zooms, rtol=_ZOOM_TOLERANCE):
        stored, used = (" x ".join(f"{float(size):.3g}" for size in s) for s in (zooms, steps))
        warnings.append(
            f"voxel sizes in pixdim ({stored} mm) are not the affine's ({used} mm): the affine's "
            "are used"
        )
    if sform is None or qform is None:
        return warnings
    if unusable(qform):
        warnings.append("the qform cannot be used, and other tools may go by it: the sform is used")
    elif closest_axes(sform) != closest_axes(qform):
        warnings.append("sform and qform give the axes other directions: the sform's are used")
    else:
        apart_mm = _apart_mm(sform - qform, size)
        if apart_mm > _APART_MM:
            warnings.append(
                f"sform and qform place the scan up to {apart_mm:.1f} mm apart: the sform is used, "
                "other tools may go by the qform"
            )
    return warnings


def _apart_mm(difference: AffineArray, size: tuple[int, ...]) -> float:
    """Give the largest distance of a corner from its twin, for the difference of two affines."""
    ends = [(0, max(edge - 1, 0)) for edge in (*size, 1, 1, 1)[:3]]
    corners = np.array([(i, j, k, 1) for i in ends[0] for j in ends[1] for k in ends[2]])
    return float(np.linalg.norm(corners @ difference[:3].T, axis=1).max())
