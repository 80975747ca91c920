"""Where lesions go: masks of the bank drawn, scaled and placed in a head."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from strokeseg.arrays import AffineArray, LabelArray
from strokeseg.training.data.lesion_bank import LesionMask
from strokeseg.training.settings import LesionConfig
from strokeseg.training.synthesis.filters import carry


@dataclass(frozen=True)
class Placement:
    """Where one lesion goes: which mask, and MNI mm of the head to voxel of the mask (4x4)."""

    index: int
    mni_to_voxel: AffineArray
    volume_ml: float


def draw_placements(
    rng: np.random.Generator, bank: Sequence[LesionMask], config: LesionConfig
) -> tuple[Placement, ...]:
    """Draw which lesions a head gets, how large and where.

    The count comes from `config.count_weights`; one head in `1 / lesion_free_share` has none.
    Volumes are log-uniform; a mask of within `scale_limit` (in volume) is scaled to the drawn one.
    Without `config.rescale` any mask is as likely, and keeps its size.
    """
    if rng.random() < config.lesion_free_share:
        return ()
    weights = np.asarray(config.count_weights, dtype=np.float64)
    count = 1 + int(rng.choice(len(weights), p=weights / weights.sum()))
    volumes_ml = np.asarray([lesion.volume_ml for lesion in bank])
    if not config.rescale:
        indices = [int(index) for index in rng.integers(len(bank), size=count)]
        return tuple(_draw_placement(rng, bank[i], i, bank[i].volume_ml, config) for i in indices)
    placements = []
    low, high = np.log(config.volume_ml)
    for rank in range(count):
        ceiling = high if rank == 0 else max(low, np.log(config.further_volume_ml))
        target_ml = float(np.exp(rng.uniform(low, ceiling)))
        near = np.flatnonzero(np.abs(np.log(volumes_ml / target_ml)) < np.log(config.scale_limit))
        index = int(rng.choice(near)) if near.size else int(np.argmin(abs(volumes_ml - target_ml)))
        placements.append(_draw_placement(rng, bank[index], index, target_ml, config))
    return tuple(placements)


def _draw_placement(
    rng: np.random.Generator,
    lesion: LesionMask,
    index: int,
    target_ml: float,
    config: LesionConfig,
) -> Placement:
    """Scale about the centre to `target_ml`, turn, mirror left-right, and shift."""
    scale = (target_ml / lesion.volume_ml) ** (1 / 3)
    turn = _rotation(rng.uniform(-1, 1, 3) * np.deg2rad(config.turn_deg))
    mirror = np.diag([-1.0 if rng.random() < 0.5 else 1.0, 1.0, 1.0])
    centre = np.asarray(lesion.centre_mm)
    if rng.random() < config.anywhere_share:
        destination = rng.uniform([-60, -95, -50], [60, 65, 70])
    else:
        destination = mirror @ centre + rng.normal(0, config.shift_mm, 3)
    forward = np.eye(4)
    forward[:3, :3] = mirror @ turn * scale
    forward[:3, 3] = destination - forward[:3, :3] @ centre
    return Placement(index, _inverse(forward @ lesion.affine), target_ml)


def _inverse(affine: AffineArray) -> AffineArray:
    return np.asarray(np.linalg.inv(affine), dtype=np.float64)


def _rotation(angles_rad: AffineArray) -> AffineArray:
    """Rotation (3x3) about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles_rad), np.sin(angles_rad)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, dtype=np.float64)


def place_lesions(
    placements: Sequence[Placement],
    bank: Sequence[LesionMask],
    voxel_to_mni: AffineArray,
    brain: torch.Tensor,
) -> torch.Tensor:
    """Carry lesions into a head: float32 (I, J, K) in [0, 1], 0 outside `brain` (bool)."""
    lesion = torch.zeros(brain.shape, dtype=torch.float32, device=brain.device)
    for placement in placements:
        mask = bank[placement.index].mask
        voxel_to_mask = placement.mni_to_voxel @ voxel_to_mni
        box = _reach(_inverse(voxel_to_mask), mask.shape, brain.shape)
        if box is None:
            continue
        drawn = _sample_mask(mask, voxel_to_mask, box, brain.device)
        torch.maximum(lesion[box], drawn, out=lesion[box])
    return lesion.clamp_(max=1).mul_(brain)


def _reach(
    mask_to_voxel: AffineArray, mask_shape: Sequence[int], shape: Sequence[int]
) -> tuple[slice, slice, slice] | None:
    """Box of head voxels that a mask can reach, or None where it lies outside."""
    corners = np.stack(np.meshgrid(*[[0, n - 1] for n in mask_shape], indexing="ij"), -1)
    points = corners.reshape(-1, 3) @ mask_to_voxel[:3, :3].T + mask_to_voxel[:3, 3]
    low = np.maximum(np.floor(points.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(points.max(axis=0)) + 1, shape).astype(int)
    if np.any(high - low < 1):
        return None
    i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return i, j, k


def _sample_mask(
    mask: LabelArray,
    voxel_to_mask: AffineArray,
    box: tuple[slice, slice, slice],
    device: torch.device,
) -> torch.Tensor:
    """Sample a mask linearly on the voxels of `box`."""
    axes = [torch.arange(s.start, s.stop, dtype=torch.float32, device=device) for s in box]
    coordinates = []
    for row in range(3):
        # From voxels of the mask to what grid_sample counts in: -1 to 1 from end to end.
        scale = 2 / (mask.shape[row] - 1)
        i, j, k = (axes[axis] * float(voxel_to_mask[row, axis] * scale) for axis in range(3))
        offset = float(voxel_to_mask[row, 3] * scale - 1)
        coordinates.append((i + offset)[:, None, None] + j[:, None] + k)
    points = torch.stack(coordinates[::-1], dim=-1)
    source = carry(mask, device).float()[None, None]
    return functional.grid_sample(
        source, points[None], mode="bilinear", padding_mode="zeros", align_corners=True
    )[0, 0]
