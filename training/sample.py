"""A training sample as a function of (seed, index)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from strokeseg.training.config import DataConfig, TrainConfig
from strokeseg.training.contrasts import (
    Contrast,
    Sequence3D,
    draw_contrast,
    read_sequences,
)
from strokeseg.training.intensity import Scanner, apply_scanner, draw_scanner
from strokeseg.training.labels import LabelTable, Subject, prepare_subject, read_table
from strokeseg.training.lesions import (
    LesionMask,
    Placement,
    draw_placements,
    place_lesions,
    read_bank,
)
from strokeseg.training.softcp import Fade, apply_fade, draw_fade, soften
from strokeseg.training.spatial import Warp, apply_warp, draw_warp
from strokeseg.training.synthesis import (
    LesionTexture,
    draw_lesion_texture,
    paint,
    paint_lesion,
)

LESION = 5


@dataclass(frozen=True)
class Sources:
    """Everything that samples are drawn from, ready in memory."""

    table: LabelTable
    sequences: tuple[Sequence3D, ...]
    subjects: tuple[Subject, ...]
    bank: tuple[LesionMask, ...]


@dataclass(frozen=True)
class SampleParams:
    """All that was drawn for one sample; `build` makes it from this alone."""

    subject: int
    placements: tuple[Placement, ...]
    fade: Fade
    contrast: Contrast
    texture: LesionTexture
    warp: Warp
    scanner: Scanner


@dataclass(frozen=True)
class Sample:
    """`image` float32 (I, J, K), normalised; `target` uint8 (I, J, K), lesion 5; what was drawn."""

    image: torch.Tensor
    target: torch.Tensor
    params: SampleParams


def split_paths(data: DataConfig, held_out: bool) -> tuple[list[Path], list[Path]]:
    """Label maps and lesion masks of training, or those that training never sees.

    Held out are the maps and lesions named in the config, and of each lesion folder every
    `held_out_every`-th file in order of its number.
    """
    maps = [
        p
        for p in sorted(Path(data.label_maps).glob("*.nii*"))
        if (p.name.split(".")[0] in data.held_out_maps) == held_out
    ]
    lesions = []
    for folder, every in zip(data.lesions, data.held_out_every, strict=True):
        names = sorted(Path(folder).glob("*.nii*"), key=_number)
        for rank, path in enumerate(names, start=1):
            name = path.name.split(".")[0]
            out = name in data.held_out_lesions or (every > 0 and rank % every == 0)
            if out == held_out:
                lesions.append(path)
    return maps, lesions


def _number(path: Path) -> tuple[int, str]:
    digits = "".join(c for c in path.name.split(".")[0] if c.isdigit())
    return (int(digits) if digits else 0, path.name)


def load_sources(data: DataConfig, held_out: bool = False) -> Sources:
    """Read and prepare the label maps and the lesion bank."""
    table = read_table()
    maps, lesions = split_paths(data, held_out)
    subjects = tuple(prepare_subject(path, table, data.voxel_size_mm) for path in maps)
    return Sources(table, read_sequences(table.class_names), subjects, read_bank(lesions))


def draw_sample(index: int, sources: Sources, config: TrainConfig) -> SampleParams:
    """Draw everything for sample `index` of the run's seed."""
    rng = np.random.default_rng([config.seed, index])
    subject_index = int(rng.integers(len(sources.subjects)))
    subject = sources.subjects[subject_index]
    return SampleParams(
        subject=subject_index,
        placements=draw_placements(rng, sources.bank, config.lesion),
        fade=draw_fade(rng, config.lesion),
        contrast=draw_contrast(
            rng, len(sources.table.class_names), sources.sequences, config.contrast
        ),
        texture=draw_lesion_texture(rng),
        warp=draw_warp(rng, subject.first.shape, _brain_centre(subject), config.spatial),
        scanner=draw_scanner(rng, config.intensity),
    )


def _brain_centre(subject: Subject) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Voxel of the head where MNI has the middle of the brain (0, -18, 5 mm)."""
    to_voxel = np.linalg.inv(subject.to_mni @ subject.affine)
    return (to_voxel @ [0.0, -18.0, 5.0, 1.0])[:3].astype(np.float32)


def build_sample(
    params: SampleParams,
    sources: Sources,
    config: TrainConfig,
    device: torch.device | None = None,
) -> Sample:
    """Make the image and target that were drawn, on `device`."""
    device = device or torch.device("cpu")
    subject = sources.subjects[params.subject]
    first = torch.as_tensor(subject.first, device=device).long()
    second = torch.as_tensor(subject.second, device=device).long()
    share = torch.as_tensor(subject.share, device=device).float() / 255
    tissue_of_class = torch.as_tensor(sources.table.tissue_of_class, device=device)
    tissue = tissue_of_class[first].to(torch.uint8)
    mask = place_lesions(
        params.placements, sources.bank, subject.to_mni @ subject.affine, tissue > 0
    )
    softened = soften(mask, config.lesion.erode, config.lesion.dilate, config.lesion.alpha)
    weight = apply_fade(softened, params.fade) * (tissue > 0)
    image, noise = paint(first, second, share, params.contrast, config.contrast.texture_bank)
    image = paint_lesion(image, weight, noise, params.contrast, params.texture)
    target = torch.where(weight > config.lesion.target_above, LESION, tissue)
    image, target = apply_warp(image, target, params.warp, config.spatial.crop_vox)
    image = apply_scanner(image, target > 0, params.scanner)
    return Sample(normalise_foreground(image), target, params)


def normalise_foreground(image: torch.Tensor) -> torch.Tensor:
    """Z-score by the voxels brighter than the image's mean, clipped to [-5, 10]."""
    bright = image[image > image.mean()]
    mean = bright.mean()
    std = ((bright - mean) ** 2).mean().sqrt()
    return ((image - mean) / std.clamp_min(1e-6)).clamp(-5, 10)


def make_sample(index: int, sources: Sources, config: TrainConfig) -> Sample:
    """Draw and build sample `index`."""
    return build_sample(draw_sample(index, sources, config), sources, config)


