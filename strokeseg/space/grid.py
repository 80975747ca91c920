"""Where voxels lie in the world: a shape and an affine, the unit of space in this package."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from strokeseg.arrays import AffineArray, Shape3
from strokeseg.errors import DataError

_SPACING_TOLERANCE_MM = 1e-3
_TOUCHING_MM = 1e-6
_AXIS_NAMES = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True, eq=False)
class Grid:
    """A lattice of voxels in the world.

    Parameters
    ----------
    shape : (I, J, K)
        Voxels along each array axis, all positive.
    affine : (4, 4) float64 array
        Voxel index to RAS+ mm. A read-only copy is kept.

    Raises
    ------
    DataError
        If the shape is not three positive numbers, or the affine is not finite and invertible.
    """

    shape: Shape3
    affine: AffineArray

    def __post_init__(self) -> None:
        """Keep plain integers and a read-only float64 copy."""
        shape = tuple(int(size) for size in self.shape)
        affine = np.array(self.affine, dtype=np.float64)
        if len(shape) != 3 or min(shape) < 1:
            raise DataError(f"a grid needs three positive sizes, not {shape}")
        problem = affine_problem(affine)
        if problem:
            raise DataError(f"a grid cannot have this affine: {problem}")
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @property
    def voxel_size_mm(self) -> tuple[float, float, float]:
        """Distance between neighbours along each array axis, in mm."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return i, j, k

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel, in ml."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def field_of_view_mm(self) -> tuple[float, float, float]:
        """Extent along each array axis from outer edge to outer edge, in mm."""
        i, j, k = (size * step for size, step in zip(self.shape, self.voxel_size_mm, strict=True))
        return i, j, k

    @property
    def axcodes(self) -> tuple[str, str, str]:
        """Where each array axis runs to, such as ``("L", "P", "S")``."""
        axes, signs = closest_axes(self.affine)
        i, j, k = (_AXIS_NAMES[axis][int(sign > 0)] for axis, sign in zip(axes, signs, strict=True))
        return i, j, k

    @property
    def corners_mm(self) -> AffineArray:
        """Outer corners of the field of view (half a voxel beyond the centres), (8, 3) in mm."""
        ends = [(-0.5, size - 0.5) for size in self.shape]
        corners = np.array(list(product(*ends)))
        return np.asarray(corners @ self.affine[:3, :3].T + self.affine[:3, 3])

    def same_as(self, other: "Grid", tolerance_mm: float = 1e-3) -> bool:
        """Whether shapes are equal and no corner is further than the tolerance from its twin."""
        if self.shape != other.shape:
            return False
        distances = np.linalg.norm(self.corners_mm - other.corners_mm, axis=1)
        return bool(distances.max() <= tolerance_mm)

    def overlaps(self, other: "Grid") -> bool:
        """Whether the two fields of view share some volume (by the separating axis theorem)."""
        mine, theirs = self.affine[:3, :3].T, other.affine[:3, :3].T
        normals = [
            np.cross(edges[a], edges[b])
            for edges in (mine, theirs)
            for a, b in ((0, 1), (0, 2), (1, 2))
        ]
        normals += [np.cross(a, b) for a in mine for b in theirs]
        for normal in normals:
            length = float(np.linalg.norm(normal))
            if length < 1e-12:
                continue
            a = self.corners_mm @ (normal / length)
            b = other.corners_mm @ (normal / length)
            if min(a.max(), b.max()) - max(a.min(), b.min()) <= _TOUCHING_MM:
                return False
        return True


def affine_problem(affine: AffineArray) -> str | None:
    """Say what keeps an array from being a voxel-to-world affine; None if nothing does.

    Parameters
    ----------
    affine : array
        The candidate; anything but a finite, invertible (4, 4) affine has a problem.
    """
    if affine.shape != (4, 4):
        return f"its shape is {affine.shape}, not (4, 4)"
    if not np.isfinite(affine).all():
        return "it has NaN or infinite entries"
    if not np.array_equal(affine[3], (0.0, 0.0, 0.0, 1.0)):
        return f"its last row is {affine[3].tolist()}, not [0, 0, 0, 1]"
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if not steps.all() or abs(np.linalg.det(affine[:3, :3] / steps)) < 1e-6:
        return "it is singular (its axes do not span space)"
    return None


def closest_axes(affine: AffineArray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Match array axes with world axes.

    The voxel axes are brought to the nearest orthogonal frame (polar decomposition); then, from
    the axis that is closest to a world axis to the one that is furthest, each takes the nearest
    that is free.

    Parameters
    ----------
    affine : (4, 4) array
        Voxel index to RAS+ mm.

    Returns
    -------
    axes, signs : tuples of three int
        The world axis (0, 1, 2) of each array axis, and +1 if it runs towards R, A or S, else -1.
    """
    linear = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(linear)
    frame = left @ right
    axes, signs = [0, 0, 0], [1, 1, 1]
    for column in np.argsort(-np.max(frame**2, axis=0), kind="stable").tolist():
        axis = int(np.argmax(np.abs(frame[:, column])))
        axes[column] = axis
        signs[column] = 1 if frame[axis, column] > 0 else -1
        frame[axis] = 0.0
    return tuple(axes), tuple(signs)


def canonical_grid(native: Grid) -> Grid:
    """Permute and flip array axes towards R, A and S; the voxels stay where they are.

    Parameters
    ----------
    native : Grid
        Any grid.
    """
    axes, signs = closest_axes(native.affine)
    move = np.zeros((4, 4))
    move[3, 3] = 1.0
    shape = [0, 0, 0]
    for column, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        size = native.shape[column]
        shape[axis] = size
        move[column, axis] = sign
        move[column, 3] = 0 if sign > 0 else size - 1
    return Grid((shape[0], shape[1], shape[2]), native.affine @ move)


def working_grid(native: Grid, voxel_size_mm: float) -> Grid:
    """Make the grid that a network sees: axes towards R, A, S, obliques kept, isotropic voxels.

    Shape and affine are those of MONAI's ``Orientationd("RAS")`` and
    ``Spacingd(pixdim=voxel_size_mm)`` with their defaults, in float64: an axis within 0.001 mm of
    the wanted size keeps its own, shear is removed, and a grid that would hardly change stays as
    it is.

    Parameters
    ----------
    native : Grid
        The grid of the scan.
    voxel_size_mm : float
        Edge of a voxel, in mm.
    """
    canonical = canonical_grid(native)
    source = canonical.affine
    steps = np.sqrt(np.sum(source[:3, :3] ** 2, axis=0))
    steps = np.where(np.abs(steps - voxel_size_mm) <= _SPACING_TOLERANCE_MM, steps, voxel_size_mm)
    target = np.eye(4)
    target[:3, :3] = _without_shear(source[:3, :3]) @ np.diag(steps)
    shape, origin = _extent(canonical, target)
    target[:3, 3] = origin
    if shape == canonical.shape and _hardly_differ(source, target):
        return canonical
    return Grid(shape, target)


def _without_shear(linear: AffineArray) -> AffineArray:
    """Divide zooms and shears out; what is left is a rotation (or rotoinversion)."""
    zoom_and_shear = np.linalg.cholesky(linear.T @ linear).T
    return np.asarray(linear @ np.linalg.inv(zoom_and_shear))


def _extent(source: Grid, target: AffineArray) -> tuple[Shape3, AffineArray]:
    """Find shape and origin of the grid along `target`'s axes that spans the source's centres.

    The origin is the source corner that is least along every target axis. Where shear leaves no
    such corner, index shape / 2 of both grids is the same point.
    """
    ends = [(0.0, size - 1.0) for size in source.shape]
    corners = np.stack([axis.ravel() for axis in np.meshgrid(*ends, indexing="ij")] + [np.ones(8)])
    inside = (np.linalg.solve(target, source.affine) @ corners)[:3]
    i, j, k = np.round(np.ptp(inside, axis=1) + 1.0).astype(int).tolist()
    world = (source.affine @ corners)[:3]
    for corner in range(8):
        lead = np.min(inside - inside[:, corner : corner + 1], axis=1)
        if np.allclose(lead, 0.0):
            return (i, j, k), world[:, corner]
    middle = source.affine[:3, :3] @ (np.array(source.shape) / 2.0) + source.affine[:3, 3]
    return (i, j, k), np.asarray(middle - target[:3, :3] @ (np.array((i, j, k)) / 2.0))


def _hardly_differ(a: AffineArray, b: AffineArray) -> bool:
    """Whether two affines, or the step from one to the other and none, are equal to 0.001."""
    return bool(
        np.allclose(a, b, atol=_SPACING_TOLERANCE_MM)
        or np.allclose(np.linalg.solve(a, b), np.eye(4), atol=_SPACING_TOLERANCE_MM)
    )
