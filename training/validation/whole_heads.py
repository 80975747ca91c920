"""Whole heads, with face and neck, cut at every height, in one or several sequences at once.

The validation set of crops holds little beyond the brain, and one image of each head. Here a head
is drawn whole, the same head and lesion in every sequence, with stages in which some sequences are
blind; then its field of view is cut. Truth is known throughout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage

from strokeseg.arrays import BoolArray, FloatArray, LabelArray, Shape3
from strokeseg.space.grid import Grid
from strokeseg.training.data.contrast_table import Sequence3D
from strokeseg.training.data.label_table import LESION, TISSUES
from strokeseg.training.data.sources import Heads, Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.contrasts import draw_contrast
from strokeseg.training.synthesis.sample import (
    SampleParams,
    build_synthetic,
    draw_synthetic,
)
from strokeseg.training.synthesis.scanner import draw_scanner
from strokeseg.training.synthesis.warp import brain_centre, sample_nearest, sampling_grid
from strokeseg.training.validation.cases import DRAWN_ML, case_config

CSF = TISSUES.index("CSF")
# The brain stem ends this far below the cerebellum at most.
FOOT_MM = 6.0
# Wide enough for a head from shoulder to crown, whose brain is in the middle, in mm.
CANVAS_MM = (224.0, 288.0, 352.0)
MODALITIES = {"T1w": "t1", "T2w": "t2", "FLAIR": "flair", "DWI": "dwi", "ADC": "adc"}
# In each stage of a lesion, the stage of the contrast table that a sequence shows; None: nothing.
STAGES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "hyperacute": {"DWI": ("acute",), "ADC": ("acute",)},
    "acute": dict.fromkeys(("T2w", "FLAIR", "DWI", "ADC"), ("acute",)),
    "subacute": dict.fromkeys(("T1w", "T2w", "FLAIR", "DWI"), ("acute",)),
    "chronic": {
        "T1w": ("chronic",),
        "T2w": ("chronic",),
        "FLAIR": ("chronic cavity", "chronic gliosis"),
        "ADC": ("chronic",),
    },
}
CUTS = ("whole", "neck", "chin", "into the brain", "crown off", "whole", "neck", "mostly neck")


@dataclass(frozen=True, eq=False)
class WholeHead:
    """A drawn head: an image (I, J, K) per sequence, all on one grid, and what is true of it.

    `stage` is the lesion's, `blind` the sequences that do not show it, `cut` how the field of view
    was cut; `lesion` and `brain` (grey and white matter and lesion, one piece) are masks.
    """

    name: str
    stage: str
    cut: str
    blind: frozenset[str]
    images: Mapping[str, FloatArray]
    lesion: BoolArray
    brain: BoolArray
    grid: Grid


def draw_whole_head(
    index: int,
    families: Sequence[str],
    stage: str,
    sources: Sources,
    config: TrainConfig,
    heads: Heads | None = None,
) -> WholeHead:
    """Draw head `index` in some sequences of the contrast table, a stage of `STAGES`, by turns.

    Parameters
    ----------
    index
        Of the validation seed; it also says which head, how large a lesion and which cut.
    families
        Sequences by the contrast table's names.
    stage
        Of the lesion; "none" for no lesion.
    sources, config, heads
        The held-out ones, and the run's.
    """
    settings = _settings(index, stage, config)
    rng = np.random.default_rng([config.validation.seed, 1, index])
    chosen = index % len(sources.subjects)
    base = replace(draw_synthetic(rng, sources, settings), subject=chosen)
    centre = _recentred(base, sources, settings)
    heads = heads or Heads(sources.subjects, torch.device("cpu"))
    images, target = {}, None
    shown = STAGES.get(stage, {})
    for family in families:
        params, sees = in_sequence(rng, centre, family, shown.get(family, ()), sources, settings)
        image, found = build_synthetic(params, sources, settings, heads)
        images[family] = image.numpy()
        target = found if sees or target is None else target
    if target is None:
        raise ValueError("no sequence was given")
    if not any(family in shown for family in families) and base.placements:
        _, target = build_synthetic(centre, sources, settings, heads)
    head, above = _head_masks(centre, sources, settings, heads)
    cut = CUTS[index % len(CUTS)]
    labels = target.numpy()
    brain = _brain(labels, above)
    box = cut_box(rng, cut, head, brain)
    size_mm = config.data.voxel_size_mm
    affine = np.diag([size_mm] * 3 + [1.0])
    affine[:3, 3] = [size_mm * s.start for s in box]
    return WholeHead(
        name=sources.subjects[chosen].name,
        stage=stage,
        cut=cut,
        blind=frozenset(name for name in families if name not in shown),
        images={name: np.ascontiguousarray(image[box]) for name, image in images.items()},
        lesion=labels[box] == LESION,
        brain=brain[box],
        grid=Grid(labels[box].shape, affine),
    )


def _settings(index: int, stage: str, config: TrainConfig) -> TrainConfig:
    """Whole heads: a large canvas, seldom stripped; a lesion of a size by turns, or none."""
    settings = case_config(config)
    i, j, k = (8 * round(mm / config.data.voxel_size_mm / 8) for mm in CANVAS_MM)
    low, high = DRAWN_ML[index // 2 % len(DRAWN_ML)]
    return replace(
        settings,
        spatial=replace(settings.spatial, crop_vox=(i, j, k)),
        intensity=replace(settings.intensity, strip_share=0.0),
        contrast=replace(settings.contrast, plausible_share=1.0, families=()),
        lesion=replace(
            settings.lesion,
            lesion_free_share=1.0 if stage == "none" else 0.0,
            volume_ml=(low, high),
            further_volume_ml=min(settings.lesion.further_volume_ml, high),
        ),
    )


def _recentred(params: SampleParams, sources: Sources, settings: TrainConfig) -> SampleParams:
    """Let the warp's middle be the chosen head's brain, whichever head it was drawn for."""
    matrix = params.warp.matrix.copy()
    canvas = np.asarray(settings.spatial.crop_vox, dtype=np.float64)
    centre = brain_centre(sources.subjects[params.subject])
    matrix[:3, 3] = centre - matrix[:3, :3] @ ((canvas - 1) / 2)
    return replace(params, warp=replace(params.warp, matrix=matrix))


def in_sequence(
    rng: np.random.Generator,
    params: SampleParams,
    family: str,
    stages: Sequence[str],
    sources: Sources,
    settings: TrainConfig,
) -> tuple[SampleParams, bool]:
    """Give the head a sequence's contrast and a scanner; without its lesion where it is blind."""
    table = {sequence.name: sequence for sequence in sources.sequences}
    sequence: Sequence3D = table[family]
    if stages:
        known = tuple(s for s in sequence.stages if s.name in stages)
        sequence = replace(sequence, stages=known or sequence.stages)
    contrast = draw_contrast(rng, len(sources.table.class_names), (sequence,), settings.contrast)
    drawn = replace(params, contrast=contrast, scanner=draw_scanner(rng, settings.intensity))
    if not stages:
        drawn = replace(drawn, placements=())
    return drawn, bool(stages)


def _head_masks(
    params: SampleParams, sources: Sources, settings: TrainConfig, heads: Heads
) -> tuple[BoolArray, BoolArray]:
    """Whatever is not air on the canvas, and what lies above the foot of the cerebellum."""
    first = heads[params.subject][0]
    canvas: Shape3 = settings.spatial.crop_vox
    where = sampling_grid(params.warp, canvas, tuple(first.shape), heads.device)
    names = sources.table.class_names
    cerebellum = [names.index(name) for name in names if name.startswith("cerebellar")]
    kinds = (first > 0).to(torch.uint8)
    kinds[torch.isin(first, torch.tensor(cerebellum, dtype=first.dtype))] = 2
    found = sample_nearest(kinds, where).numpy()
    foot = _extent(found == 2, 2)[0] - round(FOOT_MM / settings.data.voxel_size_mm)
    above = np.zeros(canvas, np.bool_)
    above[:, :, max(foot, 0) :] = True
    return np.asarray(found > 0), above


def cut_box(
    rng: np.random.Generator, cut: str, head: BoolArray, brain: BoolArray
) -> tuple[slice, slice, slice]:
    """Draw a field of view: some air at the sides, and the height that `cut` says."""
    i, j, k = (_extent(head, axis) for axis in range(3))
    low, high = _extent(brain, 2)
    height = high - low
    first, last = k
    if cut in ("neck", "crown off"):
        first = int(rng.integers(first, max(first, low) + 1))
    elif cut == "chin":
        first = max(first, low - int(rng.integers(0, max(height // 3, 1))))
    elif cut == "into the brain":
        first = low + int(rng.uniform(0.05, 0.5) * height)
    if cut == "crown off":
        last = high - int(rng.uniform(0.05, 0.4) * height)
    elif cut == "mostly neck":
        last = low + max(int(0.4 * height), (low - first) // 2)
    last = min(
        last + (0 if cut in ("crown off", "mostly neck") else int(rng.integers(0, 12))),
        head.shape[2],
    )
    sides = []
    for (start, stop), size in zip((i, j), head.shape[:2], strict=True):
        before, after = (int(n) for n in rng.integers(0, 14, 2))
        sides.append(slice(max(start - before, 0), min(stop + after, size)))
    return sides[0], sides[1], slice(first, max(last, first + 17))


def _brain(labels: LabelArray, above: BoolArray) -> BoolArray:
    """Grey and white matter and lesion, the largest piece, without CSF and the spinal cord."""
    matter: BoolArray = (labels > 0) & (labels <= LESION) & (labels != CSF) & above
    pieces, count = ndimage.label(matter)
    if count == 0:
        return matter
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    largest: BoolArray = np.asarray(pieces == sizes.argmax(), np.bool_)
    return largest


def _extent(mask: BoolArray, axis: int) -> tuple[int, int]:
    others = tuple(a for a in range(3) if a != axis)
    found = np.flatnonzero(mask.any(axis=others))
    return int(found[0]), int(found[-1]) + 1
