"""One warp per sample: affine and elastic together, image linear and labels nearest.

The crop is sampled straight out of the head, in one interpolation, and only the box of the head
that it reaches is ever painted.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from strokeseg.arrays import AffineArray, FloatArray, Shape3
from strokeseg.training.data.label_maps import Subject
from strokeseg.training.settings import SpatialConfig
from strokeseg.training.synthesis.filters import smooth_field

Box = tuple[slice, slice, slice]
BRAIN_MIDDLE_MM = (0.0, -18.0, 5.0)


@dataclass(frozen=True)
class Warp:
    """`matrix` (4x4): voxel of the crop to voxel of the head; `shifts_vox` (3, a, b, c): elastic.

    `flips` are the axes on which the crop is mirrored.
    """

    matrix: AffineArray
    shifts_vox: FloatArray
    flips: tuple[int, ...]


def draw_warp(
    rng: np.random.Generator,
    head_shape: tuple[int, ...],
    centre_vox: FloatArray,
    config: SpatialConfig,
) -> Warp:
    """Draw rotation, shear, zoom, elastic shifts, flips, and a canvas about `centre_vox`.

    The centre wanders by `config.wander_vox`, so that fields of view differ; `config.roam_share` of
    the crops lie anywhere in the head.
    """
    angles = np.deg2rad(rng.uniform(-config.rotation_deg, config.rotation_deg, 3))
    linear = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        linear = linear @ turn
    shear = np.eye(3)
    shear[np.triu_indices(3, 1)] = rng.uniform(-config.shear, config.shear, 3)
    zoom = np.diag(rng.uniform(1 - config.zoom, 1 + config.zoom, 3))
    linear = linear @ shear @ zoom
    canvas = np.asarray(canvas_vox(config), dtype=np.float64)
    wander = rng.uniform(-1, 1, 3) * np.asarray(config.wander_vox)
    if config.roam_share > 0 and rng.random() < config.roam_share:
        wander = rng.uniform(0, 1, 3) * (np.asarray(head_shape) - 1) - centre_vox
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = centre_vox + wander - linear @ ((canvas - 1) / 2)
    shifts = _draw_shifts(rng, float(np.mean(head_shape)), config)
    flips = tuple(a for a in range(3) if rng.random() < config.flip_probability[a])
    return Warp(matrix, shifts, flips)


def canvas_vox(config: SpatialConfig) -> Shape3:
    """Give the shape of what is made, before the crop is cut out of it."""
    return config.canvas_vox if any(config.canvas_vox) else config.crop_vox


def _draw_shifts(
    rng: np.random.Generator, field_of_view_vox: float, config: SpatialConfig
) -> FloatArray:
    """Draw the elastic shifts (3, a, b, c) of 2 to `elastic_points` control points an axis."""
    points = rng.integers(2, config.elastic_points + 1, 3)
    reach = rng.uniform(0, config.elastic) * field_of_view_vox
    if config.elastic_uniform:
        return rng.uniform(-reach, reach, (3, *points)).astype(np.float32)
    # Dense control points of the same size would fold the head, so they shift less.
    scale = reach / np.sqrt(points.mean()) / 2
    return rng.normal(0, scale, (3, *points)).astype(np.float32)


def reach(warp: Warp, canvas: Shape3, head_shape: tuple[int, ...], margin_vox: int = 2) -> Box:
    """Give the box of the head that a warp can sample, as slices."""
    corners = np.stack(np.meshgrid(*[[0, n - 1] for n in canvas], indexing="ij"), -1)
    points = corners.reshape(-1, 3) @ warp.matrix[:3, :3].T + warp.matrix[:3, 3]
    furthest = np.abs(warp.shifts_vox).max(axis=(1, 2, 3)) + margin_vox
    low = np.floor(points.min(axis=0) - furthest)
    high = np.ceil(points.max(axis=0) + furthest) + 1
    # A crop that lies beside the head still needs two voxels to be sampled from.
    first = np.clip(low, 0, np.asarray(head_shape) - 2).astype(int)
    last = np.clip(high, first + 2, head_shape).astype(int)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return i, j, k


def within(warp: Warp, box: Box) -> Warp:
    """Give the warp that samples the box as the given one samples the whole head."""
    matrix = warp.matrix.copy()
    matrix[:3, 3] -= [s.start for s in box]
    return replace(warp, matrix=matrix)


def sampling_grid(
    warp: Warp, canvas: Shape3, head_shape: tuple[int, ...], device: torch.device
) -> torch.Tensor:
    """Give where to sample the head, (1, I, J, K, 3), as `grid_sample` wants it.

    Mirrored axes are read from their far end, which costs nothing.
    """
    matrix = np.asarray(warp.matrix[:3], dtype=np.float32)
    shifts = warp.shifts_vox
    axes = []
    for axis, size in enumerate(canvas):
        steps = torch.arange(size, dtype=torch.float32, device=device)
        if axis in warp.flips:
            steps = size - 1 - steps
            shifts = np.flip(shifts, axis + 1)
        axes.append(steps)
    coordinates = []
    for row in range(3):
        i, j, k = (axes[axis] * float(matrix[row, axis]) for axis in range(3))
        place = smooth_field(np.ascontiguousarray(shifts[row]), canvas, device)
        place += (i + float(matrix[row, 3]))[:, None, None]
        place += j[:, None]
        place += k
        coordinates.append(place * (2 / (head_shape[row] - 1)) - 1)
    return torch.stack(coordinates[::-1], dim=-1)[None]


def sample_linear(volumes: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Sample (C, I, J, K) linearly; 0 outside."""
    return functional.grid_sample(
        volumes[None], where, mode="bilinear", padding_mode="zeros", align_corners=True
    )[0]


def sample_nearest(labels: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Sample uint8 labels (I, J, K) at the nearest voxel; 0 outside."""
    carried = functional.grid_sample(
        labels[None, None].float(), where, mode="nearest", padding_mode="zeros", align_corners=True
    )
    return carried[0, 0].to(torch.uint8)


def brain_centre(subject: Subject) -> FloatArray:
    """Voxel of the head where MNI has the middle of the brain."""
    to_voxel = np.linalg.inv(subject.to_mni @ subject.affine)
    return np.asarray((to_voxel @ [*BRAIN_MIDDLE_MM, 1.0])[:3], dtype=np.float32)


def voxel_to_mni(subject: Subject, box: Box) -> AffineArray:
    """Affine (4x4) from voxels of a box of the head to MNI152 mm."""
    affine = subject.to_mni @ subject.affine
    affine[:3, 3] += affine[:3, :3] @ [s.start for s in box]
    return affine
