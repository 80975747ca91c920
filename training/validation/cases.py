"""A fixed validation set: heads and lesions that training never saw, drawn from one seed.

Contrast families take turns, and so do lesion sizes, so that every group has cases enough; the
same seed gives the same images on any machine's CPU. A network enters as a function from image to
logits, so that checkpoints and exported models, in any engine, are measured by the same lines.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch

from strokeseg.training.data.sources import Heads, Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.contrasts import RANDOM_FAMILY
from strokeseg.training.synthesis.sample import Drawn, Sample, build_sample, draw_sample

DRAWN_ML = ((0.5, 5.0), (5.0, 20.0), (20.0, 150.0))
LESION_FREE_TURN = 10


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
