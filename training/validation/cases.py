"""A fixed validation set: heads and lesions that training never saw, drawn from one seed.

Contrast families take turns, and so do lesion sizes, so that every group has cases enough; the
same seed gives the same images on any machine's CPU. A network enters as a function from image to
logits, so that checkpoints and exported models, in any engine, are measured by the same lines.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import Heads, Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.contrasts import RANDOM_FAMILY
from strokeseg.training.synthesis.sample import Drawn, Sample, build_sample, draw_sample

DRAWN_ML = ((0.5, 5.0), (5.0, 20.0), (20.0, 150.0))
LESION_FREE_TURN = 10
# Lesions that a scan does not show tell nothing of what a network makes of those that it shows.
LEAST_VISIBLE = 0.5
VISIBLE_ML = (1.0, 150.0)
LEAST_ML = 0.5
# So many tries a case, for lesions that fall outside the crop or are not seen.
TRIES = 8


def draw_case(index: int, sources: Sources, config: TrainConfig) -> Drawn:
    """Draw validation case `index`: its family, and whether and how large a lesion, by turns."""
    families = (*(s.name for s in sources.sequences), RANDOM_FAMILY)
    family = families[index % len(families)]
    free = index % LESION_FREE_TURN == LESION_FREE_TURN - 1
    volume_ml = DRAWN_ML[index // len(families) % len(DRAWN_ML)]
    chosen = tuple(s for s in sources.sequences if s.name == family)
    settings = case_config(config)
    settings = replace(
        settings,
        contrast=replace(settings.contrast, plausible_share=1.0 if chosen else 0.0, families=()),
        lesion=replace(
            settings.lesion,
            lesion_free_share=1.0 if free else 0.0,
            volume_ml=volume_ml,
            further_volume_ml=min(settings.lesion.further_volume_ml, volume_ml[1]),
        ),
    )
    return draw_sample(index, replace(sources, sequences=chosen or sources.sequences), settings)


def case_config(config: TrainConfig) -> TrainConfig:
    """Give the configuration that cases are drawn by: upright heads, whole, of another seed."""
    return replace(
        config,
        seed=config.validation.seed,
        spatial=replace(
            config.spatial,
            crop_vox=config.validation.crop_vox,
            canvas_vox=(0, 0, 0),
            flip_probability=(0.5, 0.0, 0.0),
            wander_vox=(2.0, 2.0, 2.0),
            roam_share=0.0,
            cut_share=0.0,
            small_share=0.0,
        ),
        lesion=replace(config.lesion, least_visible=0.0),
        data=replace(config.data, real_share=0.0, slice_share=0.0, scan_share=0.0),
        ageing=replace(config.ageing, share=0.0),
        intensity=replace(config.intensity, rim_share=0.0, defect_share=0.0),
        lesion_only=False,
        loss=replace(config.loss, soft_target=False),
    )


def validation_samples(
    sources: Sources, config: TrainConfig, count: int | None = None
) -> Iterator[tuple[int, Sample]]:
    """Make the cases one after the other, on the CPU.

    Parameters
    ----------
    sources
        The held-out ones, `load_sources(config.data, held_out=True)`.
    config
        The run's; its table `validation` says how many cases and how large.
    count
        How many, where not as the configuration says.
    """
    settings = case_config(config)
    heads = Heads(sources.subjects, torch.device("cpu"))
    for index in range(config.validation.cases if count is None else count):
        yield index, build_sample(draw_case(index, sources, config), sources, settings, heads)


def visible_samples(
    family: str, sources: Sources, config: TrainConfig, count: int, *, pasted: bool
) -> Iterator[tuple[int, Sample]]:
    """Make images of one sequence, each with a lesion that it shows.

    Parameters
    ----------
    family
        The sequence, by the contrast table's name.
    sources, config
        The held-out ones, and the run's configuration.
    count
        How many. There are fewer where lesions keep falling outside the crop, and none where the
        table has no such sequence, or there is no real scan of it to paste on.
    pasted
        Whether the lesions are pasted on real scans, or drawn with their heads.
    """
    sequences = tuple(s for s in sources.sequences if s.name == family)
    scans = tuple(scan for scan in sources.scans if scan.sequence == family)
    if not sequences or (pasted and not scans):
        return
    chosen = replace(sources, sequences=sequences, scans=scans)
    settings = _visible_config(config, scan_share=1.0 if pasted else 0.0)
    heads = Heads(sources.subjects, torch.device("cpu"))
    voxel_ml = config.data.voxel_size_mm**3 / 1000
    found = 0
    for index in range(count * TRIES):
        if found == count:
            return
        sample = build_sample(draw_sample(index, chosen, settings), chosen, settings, heads)
        if np.count_nonzero(sample.target.numpy() == LESION) * voxel_ml >= LEAST_ML:
            found += 1
            yield index, sample


def _visible_config(config: TrainConfig, scan_share: float) -> TrainConfig:
    """Give the configuration that such cases are drawn by: each has a lesion that can be seen."""
    upright = case_config(config)
    return replace(
        upright,
        data=replace(upright.data, scan_share=scan_share, paste_share=1.0),
        contrast=replace(upright.contrast, plausible_share=1.0, families=()),
        lesion=replace(
            upright.lesion,
            lesion_free_share=0.0,
            least_visible=LEAST_VISIBLE,
            volume_ml=VISIBLE_ML,
        ),
    )
