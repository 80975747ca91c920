"""Real slices with lesion masks, as images that a 3D network can learn from.

A slice is warped in its plane and repeated along the axis that it lacks, as a slab with air beyond:
a clinical scan of thick slices looks much like that on the working grid. Outside the lesion nothing
is known but that it is no lesion; outside the brain, which the slices show alone, is background.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch.nn import functional

from strokeseg.arrays import FloatArray
from strokeseg.images.intensity import Normalisation
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.pairs import BRAIN
from strokeseg.training.data.slices import PLANES, SPACING_MM, Slices
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.field_of_view import Cut, apply_cut, draw_cut
from strokeseg.training.synthesis.filters import dilate, smooth_field
from strokeseg.training.synthesis.normalising import normalise
from strokeseg.training.synthesis.scanner import Scanner, apply_scanner, draw_scanner

# How bright a lesion that is pasted is beside the brain: of 630 real ones nine in ten lay within.
PASTED_LEVELS = (0.95, 1.65)


@dataclass(frozen=True)
class SliceParams:
    """All that was drawn for one slice sample.

    `matrix` (2x3) and `shifts_mm` (2, a, b) lead from mm of the canvas' plane, counted from its
    centre, to mm of the slice, counted from its. The slab begins at voxel `first` of the missing
    axis and is `thickness_vox` thick. `donor` is the slice of the plane whose lesion is pasted into
    one without, `level` how bright it is beside the brain. `depth_vox` is the crop's edge along the
    missing axis, 0 for that of the run.
    """

    plane: int
    index: int
    matrix: FloatArray
    shifts_mm: FloatArray
    flips: tuple[bool, bool]
    first: int
    thickness_vox: int
    masked: bool
    scanner: Scanner
    cut: Cut
    donor: int | None = None
    level: float = 1.0
    depth_vox: int = 0


def draw_slices(
    rng: np.random.Generator, planes: tuple[Slices, ...], config: TrainConfig
) -> tuple[SliceParams, ...]:
    """Draw the slices of a step: one in a crop of the run's, or several of a plane in thin ones."""
    plane = int(rng.integers(len(planes)))
    settings = config.slices
    if settings.thin_share == 0 or rng.random() >= settings.thin_share:
        return (_draw_slice(rng, planes, plane, config),)
    return tuple(
        _draw_slice(rng, planes, plane, config, settings.thin_vox)
        for _ in range(settings.thin_count)
    )


def _draw_slice(
    rng: np.random.Generator,
    planes: tuple[Slices, ...],
    plane: int,
    config: TrainConfig,
    depth_vox: int = 0,
) -> SliceParams:
    """Draw a slice of a plane, its warp, its slab and a scanner."""
    group = planes[plane]
    lesion = rng.random() < config.slices.lesion_share
    wanted, others = group.with_lesion, group.without
    if not lesion:
        wanted, others = others, wanted
    index = int(rng.choice(wanted if wanted.size else others))
    donor = None
    # Not where every slice of the plane has a lesion of its own, which would be lost to the target.
    can_be_pasted = not lesion and wanted.size > 0 and group.with_lesion.size > 0
    if can_be_pasted and rng.random() < config.slices.paste_share:
        donor = int(rng.choice(group.with_lesion))
    settings = config.spatial
    angle = np.deg2rad(rng.uniform(-settings.rotation_deg, settings.rotation_deg))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    zoom = np.diag(rng.uniform(1 - settings.zoom, 1 + settings.zoom, 2))
    shift = rng.uniform(-1, 1, 2) * config.slices.wander_mm
    points = rng.integers(2, settings.elastic_points + 1, 2)
    reach_mm = rng.uniform(0, settings.elastic) * max(group.images.shape[1:]) * SPACING_MM
    edge = depth_vox or config.spatial.crop_vox[PLANES[group.plane]]
    whole = rng.random() < config.slices.whole_share
    thickness = edge if whole else int(rng.integers(min(16, edge), edge + 1))
    return SliceParams(
        plane=plane,
        index=index,
        matrix=np.c_[turn @ zoom, shift].astype(np.float32),
        shifts_mm=rng.normal(0, reach_mm / np.sqrt(points.mean()) / 2, (2, *points)).astype("f4"),
        flips=(bool(rng.random() < 0.5), bool(rng.random() < 0.5)),
        first=int(rng.integers(edge - thickness + 1)),
        thickness_vox=thickness,
        masked=bool(rng.random() < config.slices.masked_share),
        scanner=draw_scanner(rng, config.intensity),
        cut=draw_cut(rng, config.spatial),
        donor=donor,
        level=float(rng.uniform(*PASTED_LEVELS)),
        depth_vox=depth_vox,
    )


def build_slice(
    params: SliceParams, planes: tuple[Slices, ...], config: TrainConfig, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Make the image (float32) and target (uint8, I J K) that were drawn."""
    group = planes[params.plane]
    axis = PLANES[group.plane]
    crop = list(config.spatial.crop_vox)
    crop[axis] = params.depth_vox or crop[axis]
    size = tuple(edge for other, edge in enumerate(crop) if other != axis)
    grey = torch.as_tensor(group.images[params.index], device=device).float()
    lesion = torch.as_tensor(group.lesions[params.index], device=device).float()
    if params.donor is not None:
        lesion = torch.as_tensor(group.lesions[params.donor], device=device) * (grey > 0).float()
        grey = _paste(grey, lesion, params.level)
    stacked = torch.stack((grey, (grey > 0).float(), lesion))
    flat = _warp(stacked, params, size, config.data.voxel_size_mm)
    slab = torch.zeros((3, *crop), device=device)
    where = [slice(None)] * 4
    where[axis + 1] = slice(params.first, params.first + params.thickness_vox)
    slab[tuple(where)] = flat.unsqueeze(axis + 1)
    image, brain, mask = slab[0], slab[1] > 0.5, slab[2] > 0.5
    # Stored grey has seven bits: a step of 2 in 254.
    generator = torch.Generator(device).manual_seed(params.scanner.seed)
    dither = torch.rand(image.shape, generator=generator, device=device)
    image = torch.where(brain, image + 2 * dither - 1, image).clamp_min(0)
    image = apply_scanner(image, brain, params.scanner, config.intensity)
    if params.masked:
        image = image * dilate(brain, 1)
    target = torch.where(brain, BRAIN, 0).to(torch.uint8)
    target[mask & brain] = 1 if config.lesion_only else LESION
    if config.lesion_only:
        target[target == BRAIN] = 0
    image, target = apply_cut(image, target, params.cut)
    return normalise(image, cast(Normalisation, config.intensity.normalisation)), target


def _paste(grey: torch.Tensor, lesion: torch.Tensor, level: float) -> torch.Tensor:
    """Brighten a slice (A, B) where another one has its lesion, softly at its edge."""
    brain = grey > 0
    middle = grey[brain].median() if bool(brain.any()) else grey.new_zeros(())
    soft = functional.avg_pool2d(lesion[None, None], 3, stride=1, padding=1)[0, 0]
    local = functional.avg_pool2d(grey[None, None], 5, stride=1, padding=2)[0, 0]
    return (grey + soft * (level * middle - local)).clamp(0) * brain


def _warp(
    stacked: torch.Tensor, params: SliceParams, size: tuple[int, ...], voxel_mm: float
) -> torch.Tensor:
    """Sample (C, A, B) of 1 mm on the plane of the canvas, (C, *size) of `voxel_mm`."""
    step = max(1, round(voxel_mm / SPACING_MM))
    height, width = (edge // step * step for edge in stacked.shape[1:])
    small = functional.avg_pool2d(stacked[None, :, :height, :width], step)
    along = []
    for edge, flip in zip(size, params.flips, strict=True):
        mm = torch.arange(edge, dtype=torch.float32, device=stacked.device) - (edge - 1) / 2
        along.append((-mm if flip else mm) * voxel_mm)
    a, b = along[0][:, None], along[1][None, :]
    coordinates = []
    for row, edge in enumerate(small.shape[2:]):
        bend = smooth_field(params.shifts_mm[row][:, :, None], (*size, 1), stacked.device)[..., 0]
        m = params.matrix[row]
        mm = a * float(m[0]) + b * float(m[1]) + float(m[2]) + bend
        coordinates.append(mm / (step * SPACING_MM) * (2 / (edge - 1)))
    grid = torch.stack(coordinates[::-1], dim=-1)[None]
    return functional.grid_sample(
        small, grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )[0]
