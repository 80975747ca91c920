"""One image brought onto another: Mattes mutual information, several starts, a pyramid.

The search is SimpleITK's, in one thread and with a fixed seed, so that the same images give the
same numbers. Coordinates are the world's RAS+ mm throughout.
"""
# mypy: untyped-calls-exclude=SimpleITK

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from strokeseg.arrays import AffineArray, BoolArray
from strokeseg.errors import EngineError
from strokeseg.space.fit import Fit
from strokeseg.space.grid import Grid
from strokeseg.space.pictures import Picture

if TYPE_CHECKING:
    from types import ModuleType

_TURNS_DEGREES = (-25.0, 25.0)
_BINS = 32
_SEED = 20_241
# Of images that share nothing.
_WORST = 0.0


@dataclass(frozen=True)
class _Level:
    """A step of the pyramid: voxels joined, share of them looked at, length of first steps."""

    shrink: int
    share: float
    step_mm: float


# Powell's search needs no gradient: that of mutual information ends in every hollow on the way.
_SEARCH = _Level(4, 1.0, 8.0)
_MIDDLE = _Level(2, 0.5, 2.0)
_FINE = _Level(1, 0.1, 0.5)
_LAST = _Level(2, 0.5, 0.5)
_MOST_ROUNDS = 6
_LINE_STEPS = 20
# Starts that end nearer to each other than this are one.
_SAME_MM = 4.0
# A turn by one radian moves what is 80 mm from the centre by as much.
_ARM_MM = 80.0


def simpleitk() -> "ModuleType":
    """Give SimpleITK.

    Raises
    ------
    EngineError
        It is not installed.
    """
    try:
        import SimpleITK
    except ImportError as error:
        raise EngineError(
            "registration needs SimpleITK, which is not installed: pip install 'strokeseg[itk]'"
        ) from error
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK


def register(
    fixed: Picture,
    moving: Picture,
    starts: Sequence[AffineArray] = (),
    *,
    affine: bool = False,
    turned: bool = True,
) -> Fit:
    """Find the rigid transform, or the affine, that brings an image onto another.

    Parameters
    ----------
    fixed : Picture
        The one that stays; the metric is of what counts in it.
    moving : Picture
        The one that is moved.
    starts : sequence of (4, 4) arrays
        Where to start from, beside the headers.
    affine : bool
        Whether it may be scaled and sheared in the end.
    turned : bool
        Whether centres laid on each other are starts in several turns, or upright alone.

    Raises
    ------
    EngineError
        SimpleITK is not installed.
    """
    with _one_thread():
        return _registered(_Pair(fixed, moving), starts, affine=affine, turned=turned)


def _registered(pair: "_Pair", starts: Sequence[AffineArray], *, affine: bool, turned: bool) -> Fit:
    first = np.eye(4)
    tried = [first, *starts, *_laid_on(pair.fixed, pair.moving, turned=turned)]
    found = sorted((pair.optimised(start, _SEARCH) for start in tried), key=lambda one: one[1])
    others = [one for one in found[1:] if pair.apart_mm(one[0], found[0][0]) > _SAME_MM]
    middle = sorted(
        (pair.optimised(start, _MIDDLE) for start, _ in (found[0], *others[:1])),
        key=lambda one: one[1],
    )
    best, _ = pair.optimised(middle[0][0], _FINE)
    if affine:
        best, _ = pair.optimised(best, _MIDDLE, affine=True)
        best, _ = pair.optimised(best, _FINE, affine=True)
    return Fit(best, pair.metric(first), pair.metric(best))


def refine_affine(fixed: Picture, moving: Picture, start: AffineArray) -> Fit:
    """Improve an affine that brings an image onto another; see `register`.

    `metric_before` is that of the start.

    Raises
    ------
    EngineError
        SimpleITK is not installed.
    """
    with _one_thread():
        pair = _Pair(fixed, moving)
        best = start
        for level in (_MIDDLE, _LAST):
            best, _ = pair.optimised(best, level, affine=True)
        return Fit(best, pair.metric(start), pair.metric(best))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let ITK add up in one order; what is global to it is put back."""
    process = simpleitk().ProcessObject
    usual = process.GetGlobalDefaultNumberOfThreads()
    process.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        process.SetGlobalDefaultNumberOfThreads(usual)


def _laid_on(fixed: Picture, moving: Picture, *, turned: bool) -> list[AffineArray]:
    """Lay the centres on each other, upright and, where wanted, turned about each axis."""
    from scipy.spatial.transform import Rotation  # slow, and most cases move no scan

    pivot, shift = fixed.centre_mm, moving.centre_mm - fixed.centre_mm
    turns = [np.zeros(3)]
    if turned:
        turns += [np.radians(d) * axis for axis in np.eye(3) for d in _TURNS_DEGREES]
    starts = []
    for turn in turns:
        start = np.eye(4)
        start[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
        start[:3, 3] = pivot + shift - start[:3, :3] @ pivot
        starts.append(start)
    return starts


class _Pair:
    """Two pictures as SimpleITK has them."""

    def __init__(self, fixed: Picture, moving: Picture) -> None:
        self._sitk = simpleitk()
        self.fixed, self.moving = fixed, moving
        self._centre = fixed.centre_mm
        self._levels = {
            shrink: [self._image(one, shrink) for one in (fixed, moving)] for shrink in (1, 2, 4)
        }
        near = ndimage.binary_dilation(fixed.counts, iterations=2) & fixed.reach
        self._masks = [self._mask(near, fixed), self._mask(moving.reach, moving)]

    def apart_mm(self, one: AffineArray, other: AffineArray) -> float:
        """Give how far two transforms bring the same places of a head apart, at most."""
        ends = np.concatenate([np.eye(3), -np.eye(3)]) * _ARM_MM + self._centre
        apart = ends @ (one - other)[:3, :3].T + (one - other)[:3, 3]
        return float(np.linalg.norm(apart, axis=1).max())

    def metric(self, transform: AffineArray) -> float:
        """Give the metric on the middle level, of all voxels there."""
        method = self._method(_Level(2, 1.0, 1.0))
        method.SetInitialTransform(self._affine(transform))
        try:
            return float(method.MetricEvaluate(*self._levels[2]))
        except RuntimeError:  # no voxel of one lies on the other
            return _WORST

    def optimised(
        self, start: AffineArray, level: _Level, *, affine: bool = False
    ) -> tuple[AffineArray, float]:
        """Go downhill from a start, on one level of the pyramid."""
        method, sitk = self._method(level), self._sitk
        moved: Any = self._affine(start) if affine else self._rigid(start)
        method.SetInitialTransform(moved, inPlace=True)
        method.SetOptimizerAsPowell(
            numberOfIterations=_MOST_ROUNDS,
            maximumLineIterations=_LINE_STEPS,
            stepLength=level.step_mm,
            stepTolerance=level.step_mm / 40,
            valueTolerance=1e-4,
        )
        turns = 9 if affine else 3
        method.SetOptimizerScales([_ARM_MM] * turns + [1.0] * 3)
        try:
            method.Execute(*self._levels[level.shrink])
        except RuntimeError:  # no voxel of one lies on the other
            return start, _WORST
        value = float(method.GetMetricValue())
        kind: Any = sitk.AffineTransform if affine else sitk.Euler3DTransform
        return _matrix_of(kind(moved)), value

    def _method(self, level: _Level) -> Any:  # noqa: ANN401 - SimpleITK has no types
        method = self._sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(_BINS)
        method.SetMetricFixedMask(self._masks[0])
        method.SetMetricMovingMask(self._masks[1])
        method.SetInterpolator(self._sitk.sitkLinear)
        if level.share < 1:
            method.SetMetricSamplingStrategy(method.RANDOM)
            method.SetMetricSamplingPercentage(level.share, _SEED)
        return method

    def _rigid(self, start: AffineArray) -> Any:  # noqa: ANN401
        moved = self._sitk.Euler3DTransform()
        moved.SetCenter(self._centre.tolist())
        moved.SetMatrix(start[:3, :3].ravel().tolist(), 1e-4)
        shift = start[:3, :3] @ self._centre + start[:3, 3] - self._centre
        moved.SetTranslation(shift.tolist())
        return moved

    def _affine(self, start: AffineArray) -> Any:  # noqa: ANN401
        moved = self._sitk.AffineTransform(3)
        moved.SetCenter(self._centre.tolist())
        moved.SetMatrix(start[:3, :3].ravel().tolist())
        shift = start[:3, :3] @ self._centre + start[:3, 3] - self._centre
        moved.SetTranslation(shift.tolist())
        return moved

    def _image(self, picture: Picture, shrink: int) -> Any:  # noqa: ANN401
        image = picture.image
        smooth = ndimage.gaussian_filter(image, 0.4 * shrink) if shrink > 1 else image
        return self._placed(smooth[::shrink, ::shrink, ::shrink], picture.grid, shrink)

    def _mask(self, mask: BoolArray, picture: Picture) -> Any:  # noqa: ANN401
        return self._placed(mask.astype(np.uint8), picture.grid, 1)

    def _placed(self, array: Any, grid: Grid, shrink: int) -> Any:  # noqa: ANN401
        image = self._sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
        image.SetSpacing([shrink * size for size in grid.voxel_size_mm])
        image.SetOrigin(grid.affine[:3, 3].tolist())
        return image


def _matrix_of(moved: Any) -> AffineArray:  # noqa: ANN401
    """Give a transform about a centre as a matrix."""
    found = np.eye(4)
    found[:3, :3] = np.array(moved.GetMatrix()).reshape(3, 3)
    centre, shift = np.array(moved.GetCenter()), np.array(moved.GetTranslation())
    found[:3, 3] = shift + centre - found[:3, :3] @ centre
    return found
