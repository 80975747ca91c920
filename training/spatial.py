"""One warp per sample: affine and elastic together, image linear and labels nearest."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from strokeseg.arrays import AffineArray, FloatArray
from strokeseg.training.config import SpatialConfig


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
    """Draw rotation, shear, zoom, elastic shifts, flips, and a crop about `centre_vox`.

    The crop's centre wanders by `config.wander_vox`, so that fields of view differ.
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
    crop = np.asarray(config.crop_vox, dtype=np.float64)
    wander = rng.uniform(-1, 1, 3) * np.asarray(config.wander_vox)
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = centre_vox + wander - linear @ ((crop - 1) / 2)
    points = rng.integers(2, config.elastic_points + 1, 3)
    reach = rng.uniform(0, config.elastic) * float(np.mean(head_shape)) / np.sqrt(points.mean())
    shifts = rng.normal(0, reach / 2, (3, *points)).astype(np.float32)
    flips = tuple(a for a in range(3) if rng.random() < config.flip_probability[a])
    return Warp(matrix, shifts, flips)


def apply_warp(
    image: torch.Tensor, labels: torch.Tensor, warp: Warp, crop_vox: tuple[int, int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Warp a head's image (float32) and labels (uint8), both (I, J, K), onto the crop."""
    device = image.device
    axes = [torch.arange(n, dtype=torch.float32, device=device) for n in crop_vox]
    voxels = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    matrix = torch.as_tensor(warp.matrix[:3], dtype=torch.float32, device=device)
    points = voxels @ matrix[:, :3].T + matrix[:, 3]
    shifts = torch.as_tensor(warp.shifts_vox, device=device)[None]
    field = functional.interpolate(shifts, size=crop_vox, mode="trilinear", align_corners=True)
    points = points + field[0].movedim(0, -1)
    extent = torch.tensor(image.shape, dtype=torch.float32, device=device) - 1
    where = (points / extent * 2 - 1).flip(-1)[None]
    warped = functional.grid_sample(
        image[None, None], where, mode="bilinear", padding_mode="zeros", align_corners=True
    )[0, 0]
    carried = functional.grid_sample(
        labels[None, None].float(), where, mode="nearest", padding_mode="zeros", align_corners=True
    )[0, 0].to(torch.uint8)
    return warped.flip(warp.flips), carried.flip(warp.flips)
