"""Where damage goes with a group or a number: a mass-univariate lesion-symptom map in MNI152.

Each voxel of 4 mm that is lesion in at least 5 % of the cases is tested by itself: its damage
against the column, lesion volume and covariates regressed out of both, as t. Family-wise errors are
held by the largest absolute t of permutations of the column's residuals (Freedman and Lane, 1983).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.errors import DataError, StrokesegError
from strokeseg.evaluation.statistics import SEED, Values
from strokeseg.groups.ranks import degrees_taken, rank_residuals, residuals
from strokeseg.images.reading import read_map
from strokeseg.lesion_map.common_space import MNI, Layout, Placed, SpaceChoice, lay_out
from strokeseg.results.archive import FiledCase
from strokeseg.space.grid import Grid
from strokeseg.space.mni import mni_grid
from strokeseg.space.resample import resample_labels

VOXEL_MM = 4.0
LEAST_SHARE = 0.05
PERMUTATIONS = 1000
LEVEL = 0.05
PEAK_COLUMNS = ("x_mm", "y_mm", "z_mm", "t", "p_fwe", "significant", "cluster_ml", "damaged", "n")

_FINE = 2  # fine voxels along each axis of a coarse one: damaged is what is half lesion
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Peak:
    """The strongest voxel of a cluster beyond the threshold, or of all where there is none."""

    place_mm: tuple[float, float, float]
    t: float
    p_fwe: float
    significant: bool
    cluster_ml: float
    damaged: int


@dataclass(frozen=True, eq=False)
class SymptomMap:
    """A lesion-symptom map.

    Attributes
    ----------
    t : (I, J, K) float32 array
        0 where too few cases have damage. Above 0, damage goes with the second group, or with
        larger numbers.
    damaged : (I, J, K) int16 array
        In how many cases each voxel is lesion.
    grid : Grid
        MNI152 at 4 mm.
    threshold : float
        Beyond it an absolute t is found in 5 % of permutations, anywhere.
    voxels, cases : int
        How many were tested, and of how many people.
    peaks : tuple of Peak
        The strongest first.
    left_out : mapping
        Why each other case is not in it.
    """

    t: FloatArray
    damaged: npt.NDArray[np.int16]
    grid: Grid
    threshold: float
    voxels: int
    cases: int
    peaks: tuple[Peak, ...]
    left_out: Mapping[str, str]


def read_damage(cases: Sequence[FiledCase]) -> tuple[dict[str, BoolArray], dict[str, str]]:
    """Bring masks to MNI152 at 4 mm: damage by case, and why others have none.

    Raises
    ------
    DataError
        No mask can be brought there.
    """
    layout = lay_out(cases, SpaceChoice())
    if not layout.space.upper().startswith(MNI[:3]):
        layout = lay_out(cases, SpaceChoice(align=True))
    return _damage(layout)


def map_symptom(
    damage: Mapping[str, BoolArray],
    outcome: Mapping[str, float],
    design: Mapping[str, Values],
    left_out: Mapping[str, str],
) -> SymptomMap:
    """Test each voxel.

    Parameters
    ----------
    damage
        From `read_damage`.
    outcome
        By case: 0 and 1 for groups, or numbers.
    design
        By case: what is regressed out.
    left_out
        Cases that have no damage map.

    Raises
    ------
    DataError
        There are too few cases, or no voxel is damaged in enough of them.
    """
    names = [name for name in damage if name in outcome]
    if not names:
        raise DataError("no case of the comparison has a mask")
    stack = np.stack([damage[name] for name in names])
    tested = voxels_to_test(stack)
    if not tested.any():
        raise DataError(f"no voxel is lesion in at least {100 * LEAST_SHARE:.0f} % of the cases")
    columns = np.stack([design[name] for name in names])
    values = np.array([outcome[name] for name in names])
    t, largest = permuted_t(stack[:, tested], values, columns)
    threshold = float(np.quantile(largest, 1 - LEVEL, method="higher"))
    grid = mni_grid(VOXEL_MM)
    image = np.zeros(grid.shape, dtype=np.float32)
    image[tested] = t
    counted = stack.sum(axis=0, dtype=np.int16)
    peaks = _peaks(image, counted, grid, threshold, largest)
    count = int(np.count_nonzero(tested))
    return SymptomMap(image, counted, grid, threshold, count, len(names), peaks, left_out)


def voxels_to_test(stack: BoolArray) -> BoolArray:
    """Find voxels that are lesion in enough of the cases (n, I, J, K), and not in all."""
    count = stack.sum(axis=0, dtype=np.int64)
    enough: BoolArray = (count >= max(1, np.ceil(LEAST_SHARE * len(stack)))) & (count < len(stack))
    return enough


def permuted_t(
    damage: BoolArray, outcome: Values, design: Values, permutations: int = PERMUTATIONS
) -> tuple[Values, Values]:
    """Give t of each voxel, and the largest absolute t of each permutation.

    Parameters
    ----------
    damage : (n, v) bool array
    outcome : (n,) float64 array
        Its ranks are taken.
    design : (n, k) float64 array
    permutations
        The first is the order as it is, so that no p is 0.

    Raises
    ------
    DataError
        There are too few cases for the design.
    """
    degrees = len(outcome) - 2 - degrees_taken(design)
    if degrees < 2:
        raise DataError(f"{len(outcome)} cases with masks are too few for these covariates")
    voxels = residuals(damage.astype(np.float64), design)
    norms = np.linalg.norm(voxels, axis=0)
    unit = np.divide(voxels, norms, out=np.zeros_like(voxels), where=norms > _ROUNDING)
    left = rank_residuals(outcome, design)
    rng = np.random.default_rng(SEED)
    orders = [np.arange(len(left)), *(rng.permutation(len(left)) for _ in range(permutations - 1))]
    shuffled = residuals(np.stack([left[order] for order in orders], axis=1), design)
    scale = np.maximum(np.linalg.norm(shuffled, axis=0), _ROUNDING)
    r = np.clip((shuffled / scale).T @ unit, -1 + 1e-12, 1 - 1e-12)
    t = r * np.sqrt(degrees / (1 - r**2))
    return t[0], np.abs(t).max(axis=1)


def _damage(layout: Layout) -> tuple[dict[str, BoolArray], dict[str, str]]:
    found, left_out = {}, dict(layout.skipped)
    fine = _fine_grid()
    for placed in layout.placed:
        try:
            found[placed.case.name] = _coarse(placed, fine)
        except StrokesegError as error:
            left_out[placed.case.name] = str(error)
    return found, left_out


def _fine_grid() -> Grid:
    """Make the grid whose voxels are the eighths of those of MNI152 at 4 mm."""
    coarse = mni_grid(VOXEL_MM)
    step = VOXEL_MM / _FINE
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = coarse.affine[:3, 3] - (VOXEL_MM - step) / 2
    i, j, k = (size * _FINE for size in coarse.shape)
    return Grid((i, j, k), affine)


def _coarse(placed: Placed, fine: Grid) -> BoolArray:
    mask = (read_map(placed.case.names.mask).data > 0).astype(np.uint8)
    moved = resample_labels(mask, placed.moved, fine)
    i, j, k = (size // _FINE for size in fine.shape)
    share = moved.reshape(i, _FINE, j, _FINE, k, _FINE).mean(axis=(1, 3, 5))
    half: BoolArray = share >= 0.5
    return half


def _peaks(
    t: FloatArray,
    damaged: npt.NDArray[np.int16],
    grid: Grid,
    threshold: float,
    largest: Values,
) -> tuple[Peak, ...]:
    """Find the strongest voxel of each cluster beyond the threshold; else that of all."""
    beyond = [(t > threshold), (t < -threshold)]
    clusters: list[BoolArray] = []
    for one in beyond:
        labels, count = ndimage.label(one, structure=np.ones((3, 3, 3)))
        clusters += [labels == number for number in range(1, count + 1)]
    significant = bool(clusters)
    peaks = []
    for cluster in clusters or [t != 0]:
        if not cluster.any():
            continue
        place = np.unravel_index(int(np.where(cluster, np.abs(t), -1).argmax()), t.shape)
        x, y, z = (grid.affine @ [*place, 1.0])[:3]
        size = int(np.count_nonzero(cluster)) if significant else 0
        peaks.append(
            Peak(
                (float(x), float(y), float(z)),
                float(t[place]),
                float(np.mean(largest >= abs(t[place]) - 1e-5)),
                significant,
                size * grid.voxel_volume_ml,
                int(damaged[place]),
            )
        )
    return tuple(sorted(peaks, key=lambda peak: -abs(peak.t)))
