"""A lesion placed in a real scan: as bright as its sequence and stage have it beside this tissue.

The drawn means of a plausible contrast say how a lesion lies to CSF, grey and white matter; a line
through those three carries it to the intensities of the scan. The scan's own texture stays. Weights
are softened and faded as in synthetic heads (Chalcroft et al., arXiv 2404.01946).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from strokeseg.images.intensity import Normalisation
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.contrasts import Contrast, draw_contrast
from strokeseg.training.synthesis.field_of_view import Cut, apply_cut, draw_cut
from strokeseg.training.synthesis.filters import carry, gaussian_smooth
from strokeseg.training.synthesis.lesion_placement import Placement, draw_placements, place_lesions
from strokeseg.training.synthesis.normalising import normalise
from strokeseg.training.synthesis.painting import LesionTexture, core_share, draw_lesion_texture
from strokeseg.training.synthesis.scanner import Scanner, apply_scanner, draw_scanner
from strokeseg.training.synthesis.soft_cp import Fade, apply_fade, draw_fade, soften
from strokeseg.training.synthesis.visibility import visibility
from strokeseg.training.synthesis.warp import (
    Warp,
    draw_warp,
    sample_linear,
    sample_nearest,
    sampling_grid,
)

ANCHORS = ("ventricle", "cortex", "white_matter")
TEXTURE_FWHM_VOX = 3.0


@dataclass(frozen=True)
class ScanParams:
    """All that was drawn for one sample of a real scan; without placements it stays as it is."""

    scan: int
    placements: tuple[Placement, ...]
    fade: Fade
    contrast: Contrast
    texture: LesionTexture
    warp: Warp
    scanner: Scanner
    cut: Cut


def draw_scan(rng: np.random.Generator, sources: Sources, config: TrainConfig) -> ScanParams:
    """Draw a scan (sequences as likely as each other), lesions, a warp and a scanner."""
    families = sorted({scan.sequence for scan in sources.scans})
    family = families[int(rng.integers(len(families)))]
    index = int(rng.choice([n for n, s in enumerate(sources.scans) if s.sequence == family]))
    scan = sources.scans[index]
    chosen = tuple(s for s in sources.sequences if s.name == family)
    settings = config.contrast
    contrast = draw_contrast(rng, len(sources.table.class_names), chosen, settings, plausible=True)
    pasted = rng.random() < config.data.paste_share
    placements = draw_placements(rng, sources.bank, config.lesion)
    centre = np.argwhere(scan.brain).mean(axis=0).astype(np.float32)
    return ScanParams(
        scan=index,
        placements=placements if pasted else (),
        fade=draw_fade(rng, config.lesion),
        contrast=contrast,
        texture=draw_lesion_texture(rng),
        warp=draw_warp(rng, scan.image.shape, centre, config.spatial),
        scanner=draw_scanner(rng, config.intensity),
        cut=draw_cut(rng, config.spatial),
    )


def build_scan(
    params: ScanParams, sources: Sources, config: TrainConfig, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Make the image (float32) and target (uint8, I J K) that were drawn."""
    scan = sources.scans[params.scan]
    crop = config.spatial.crop_vox
    image, target = carry(scan.image, device), carry(scan.target, device)
    brain = carry(scan.brain, device)
    if params.placements:
        mask = place_lesions(params.placements, sources.bank, scan.to_mni, brain)
        settings = config.lesion
        weight = soften(mask, settings.erode, settings.dilate, settings.alpha)
        weight = apply_fade(weight, params.fade) * brain
        levels = lesion_levels(params.contrast, sources.table.class_names, scan.medians)
        image = paste(image, weight, levels, params.texture)
        unfaded = params.fade.points is None
        above = settings.target_above_unfaded if unfaded else settings.target_above
        target = torch.where(weight > above, LESION, target)
    where = sampling_grid(params.warp, crop, scan.image.shape, device)
    image = sample_linear(image[None], where)[0]
    target = sample_nearest(target, where)
    inside = sample_nearest(brain.to(torch.uint8), where) > 0
    image = apply_scanner(image, inside, params.scanner, config.intensity)
    if params.placements and config.lesion.least_visible > 0:
        under = sample_nearest(carry(scan.target, device), where)
        if visibility(image, target == LESION, under) < config.lesion.least_visible:
            target = under
    if config.lesion_only:
        target = (target == LESION).to(torch.uint8)
    image, target = apply_cut(image, target, params.cut)
    return normalise(image, cast(Normalisation, config.intensity.normalisation)), target


def lesion_levels(
    contrast: Contrast, class_names: Sequence[str], medians: tuple[float, float, float]
) -> tuple[float, float]:
    """Carry the drawn means of a lesion's core and rim to a scan's intensities.

    A least-squares line through the drawn means of CSF, grey and white matter and the scan's
    `medians` of them, in that order. Where the two disagree about the order of the tissues, the
    line goes through 0 and white matter.
    """
    drawn = np.array([contrast.means[class_names.index(name)] for name in ANCHORS], np.float64)
    scan = np.asarray(medians, np.float64)
    slope = float(np.cov(drawn, scan, bias=True)[0, 1] / max(drawn.var(), 1e-9))
    least = 0.25 * scan[2] / max(drawn[2], 1e-9)
    if slope < least:
        slope, offset = scan[2] / max(drawn[2], 1e-9), 0.0
    else:
        offset = float(scan.mean() - slope * drawn.mean())
    core, rim = (max(slope * float(mean) + offset, 0.0) for mean in contrast.means[-2:])
    return core, rim


def paste(
    image: torch.Tensor,
    weight: torch.Tensor,
    levels: tuple[float, float],
    texture: LesionTexture,
) -> torch.Tensor:
    """Replace `weight` (0 to 1) of a scan's local level by the lesion's; fine texture stays."""
    core = core_share(weight, texture)
    level = levels[0] * core + levels[1] * (1 - core)
    return image + weight * (level - gaussian_smooth(image, TEXTURE_FWHM_VOX))
