"""A training sample as a function of (seed, index)."""

from dataclasses import dataclass, field, replace
from typing import Literal, cast

import numpy as np
import torch

from strokeseg.arrays import AffineArray, Shape3
from strokeseg.images.intensity import Normalisation
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import Heads, Sources
from strokeseg.training.settings import DataConfig, TrainConfig
from strokeseg.training.synthesis.ageing import Ageing, apply_ageing, draw_ageing
from strokeseg.training.synthesis.contrasts import Contrast, draw_contrast
from strokeseg.training.synthesis.field_of_view import Cut, apply_cut, draw_cut
from strokeseg.training.synthesis.filters import carry
from strokeseg.training.synthesis.lesion_placement import Placement, draw_placements, place_lesions
from strokeseg.training.synthesis.normalising import normalise
from strokeseg.training.synthesis.painting import (
    LesionTexture,
    Mixture,
    draw_lesion_texture,
    paint,
    paint_lesion,
)
from strokeseg.training.synthesis.pasting import ScanParams, build_scan, draw_scan
from strokeseg.training.synthesis.real_pairs import RealParams, build_real, draw_real
from strokeseg.training.synthesis.scanner import Scanner, apply_scanner, draw_scanner
from strokeseg.training.synthesis.slices import SliceParams, build_slice, draw_slices
from strokeseg.training.synthesis.soft_cp import Fade, apply_fade, draw_fade, soften
from strokeseg.training.synthesis.soft_target import soft_target
from strokeseg.training.synthesis.translated import (
    TranslatedHead,
    Translation,
    draw_translation,
    translate_head,
    with_lesion,
)
from strokeseg.training.synthesis.visibility import visibility
from strokeseg.training.synthesis.warp import (
    Box,
    Warp,
    brain_centre,
    canvas_vox,
    draw_warp,
    reach,
    sample_linear,
    sample_nearest,
    sampling_grid,
    voxel_to_mni,
    within,
)


@dataclass(frozen=True)
class SampleParams:
    """All that was drawn for one synthetic sample; `build_sample` makes it from this alone."""

    subject: int
    placements: tuple[Placement, ...]
    fade: Fade
    contrast: Contrast
    texture: LesionTexture
    warp: Warp
    scanner: Scanner
    ageing: Ageing
    cut: Cut = field(default_factory=Cut)
    translation: Translation | None = None


Params = SampleParams | RealParams | SliceParams | ScanParams
Kind = Literal["drawn", "pair", "slice", "scan"]


@dataclass(frozen=True)
class Drawn:
    """A sample before it is made, and where its crop lies in the canvas.

    `crop_vox` is the crop's size; `further` are slices that the same step sees beside it.
    """

    made_of: Params
    cut: Shape3
    crop_vox: Shape3
    further: tuple[SliceParams, ...] = ()


@dataclass(frozen=True)
class Sample:
    """`image` float32 (I, J, K), normalised, and what the network shall say of it.

    `target` is uint8 (I, J, K), the strongest class with the lesion last, and where less is known
    `UNKNOWN` or `BRAIN` of `strokeseg.training.data.pairs`; where the run trains on shares it is
    float32 (C, I, J, K) of sum 1.
    """

    image: torch.Tensor
    target: torch.Tensor
    drawn: Drawn


def draw_sample(index: int, sources: Sources, config: TrainConfig) -> Drawn:
    """Draw everything for sample `index` of the run's seed."""
    rng = np.random.default_rng([config.seed, index])
    kind = _draw_kind(rng, config.data)
    if kind == "slice":
        first, *further = draw_slices(rng, sources.slices, config)
        return Drawn(first, (0, 0, 0), config.spatial.crop_vox, tuple(further))
    config = _draw_crop(rng, config)
    crop = config.spatial.crop_vox
    if kind == "scan":
        return Drawn(draw_scan(rng, sources, config), (0, 0, 0), crop)
    made_of: Params = (
        draw_real(rng, sources.pairs, config)
        if kind == "pair"
        else draw_synthetic(rng, sources, config)
    )
    room = np.subtract(canvas_vox(config.spatial), crop)
    i, j, k = (int(rng.integers(spare + 1)) if spare else 0 for spare in room)
    return Drawn(made_of, (i, j, k), crop)


def _draw_kind(rng: np.random.Generator, data: DataConfig) -> Kind:
    """Draw what the sample shall be made of, by the shares of `data`."""
    if data.partly_known_share > 0:
        kind = rng.random()
        if kind < data.real_share:
            return "pair"
        if kind < data.real_share + data.slice_share:
            return "slice"
        if kind < data.partly_known_share:
            return "scan"
    return "drawn"


def _draw_crop(rng: np.random.Generator, config: TrainConfig) -> TrainConfig:
    """Give the run with the crop of this sample: its own, or now and then the smaller one."""
    settings = config.spatial
    if settings.small_share == 0 or rng.random() >= settings.small_share:
        return config
    return with_crop(config, settings.small_crop_vox)


def with_crop(config: TrainConfig, crop_vox: Shape3) -> TrainConfig:
    """Give the run with another crop."""
    if crop_vox == config.spatial.crop_vox:
        return config
    return replace(config, spatial=replace(config.spatial, crop_vox=crop_vox))


def draw_synthetic(rng: np.random.Generator, sources: Sources, config: TrainConfig) -> SampleParams:
    """Draw a head, its lesions, a contrast, a warp and a scanner."""
    subject_index = int(rng.integers(len(sources.subjects)))
    subject = sources.subjects[subject_index]
    params = SampleParams(
        subject=subject_index,
        placements=draw_placements(rng, sources.bank, config.lesion),
        fade=draw_fade(rng, config.lesion),
        contrast=draw_contrast(
            rng, len(sources.table.class_names), sources.sequences, config.contrast
        ),
        texture=draw_lesion_texture(rng),
        warp=draw_warp(rng, subject.first.shape, brain_centre(subject), config.spatial),
        scanner=draw_scanner(rng, config.intensity),
        ageing=draw_ageing(rng, config.ageing),
        cut=draw_cut(rng, config.spatial),
    )
    translation = draw_translation(rng, subject_index, config)
    if translation is None:
        return params
    contrast = replace(params.contrast, family=translation.family, stage="translated")
    return replace(params, contrast=contrast, translation=translation)


def build_sample(
    drawn: Drawn, sources: Sources, config: TrainConfig, heads: Heads | None = None
) -> Sample:
    """Make the image and target that were drawn, on the device of `heads` (the CPU without)."""
    heads = heads or Heads(sources.subjects, torch.device("cpu"))
    config = with_crop(config, drawn.crop_vox)
    if isinstance(drawn.made_of, SliceParams):
        return Sample(*build_slice(drawn.made_of, sources.slices, config, heads.device), drawn)
    if isinstance(drawn.made_of, ScanParams):
        return Sample(*build_scan(drawn.made_of, sources, config, heads.device), drawn)
    if isinstance(drawn.made_of, RealParams):
        image, target = build_real(drawn.made_of, sources.pairs, config, heads.device)
    else:
        image, target = build_synthetic(drawn.made_of, sources, config, heads)
    edges = zip(drawn.cut, drawn.crop_vox, strict=True)
    i, j, k = (slice(first, first + size) for first, size in edges)
    return Sample(image[i, j, k].contiguous(), target[..., i, j, k].contiguous(), drawn)


def build_synthetic(
    params: SampleParams, sources: Sources, config: TrainConfig, heads: Heads
) -> tuple[torch.Tensor, torch.Tensor]:
    """Make a synthetic image (float32) and its target, on the whole canvas."""
    subject = sources.subjects[params.subject]
    canvas = canvas_vox(config.spatial)
    box, mixture, translated = _head_part(params, sources, config, heads)
    tissue_of_class = carry(np.array(sources.table.tissue_of_class, np.uint8), heads.device)
    tissue = tissue_of_class[mixture.first]
    weight = lesion_weight(params, sources, config, tissue > 0, voxel_to_mni(subject, box))
    if translated is not None:
        image = with_lesion(translated, weight, config.lesion.target_above)
    else:
        image, noise = paint(mixture, params.contrast, config.contrast)
        if params.placements:
            image = paint_lesion(image, weight, noise, params.contrast, params.texture)
    # Noisy air is magnitude noise.
    image = image.clamp_min(0)
    where = sampling_grid(within(params.warp, box), canvas, image.shape, heads.device)
    image = sample_linear(image[None], where)[0]
    unfaded = params.fade.points is None
    above = config.lesion.target_above_unfaded if unfaded else config.lesion.target_above
    hard = sample_nearest(torch.where(weight > above, LESION, tissue), where)
    image = apply_scanner(image, hard > 0, params.scanner, config.intensity)
    target = (hard == LESION).to(torch.uint8) if config.lesion_only else hard
    if config.loss.soft_target:
        target = soft_target(mixture, weight, tissue_of_class, where, config)
    if config.lesion.least_visible > 0 and not config.loss.soft_target:
        under = sample_nearest(tissue, where)
        seen = visibility(image, hard == LESION, under)
        if seen < config.lesion.least_visible:
            target = torch.zeros_like(under) if config.lesion_only else under
    image, target = apply_cut(image, target, params.cut)
    return normalise(image, cast(Normalisation, config.intensity.normalisation)), target


def _head_part(
    params: SampleParams, sources: Sources, config: TrainConfig, heads: Heads
) -> tuple[Box, Mixture, TranslatedHead | None]:
    """Give the part of the head that is made, its classes, aged, and its translation, if any."""
    if params.translation is not None:
        translated = translate_head(params.translation, sources, config, heads)
        return translated.box, translated.mixture, translated
    canvas = canvas_vox(config.spatial)
    box = reach(params.warp, canvas, sources.subjects[params.subject].first.shape)
    first, second, share = heads[params.subject][:, *box]
    mixture = Mixture(first.long(), second.long(), share.float() / 255)
    reach_vox = config.ageing.reach_mm / config.data.voxel_size_mm
    return box, apply_ageing(mixture, params.ageing, sources.table.ageing, reach_vox), None


def lesion_weight(
    params: SampleParams,
    sources: Sources,
    config: TrainConfig,
    brain: torch.Tensor,
    to_mni: AffineArray,
) -> torch.Tensor:
    """Place, soften and fade the lesions: their weight (I, J, K) in [0, 1], 0 outside `brain`."""
    mask = place_lesions(params.placements, sources.bank, to_mni, brain)
    settings = config.lesion
    softened = soften(mask, settings.erode, settings.dilate, settings.alpha)
    return apply_fade(softened, params.fade) * brain


def make_sample(
    index: int, sources: Sources, config: TrainConfig, heads: Heads | None = None
) -> Sample:
    """Draw and build sample `index`."""
    return build_sample(draw_sample(index, sources, config), sources, config, heads)


def make_step(
    index: int, sources: Sources, config: TrainConfig, heads: Heads | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Make all that a step sees of sample `index`.

    Returns
    -------
    images, targets
        (N, 1, I, J, K) float32 and (N, ...) as of `Sample`; N is 1 but for thin slices.
    """
    drawn = draw_sample(index, sources, config)
    every = [drawn, *(replace(drawn, made_of=other) for other in drawn.further)]
    samples = [build_sample(one, sources, config, heads) for one in every]
    images = torch.stack([sample.image for sample in samples])[:, None]
    return images, torch.stack([sample.target for sample in samples])
