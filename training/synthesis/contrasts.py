"""How bright each class is: drawn from the paper's random mixture, or from a plausible sequence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strokeseg.arrays import FloatArray
from strokeseg.training.data.contrast_table import Sequence3D
from strokeseg.training.settings import ContrastConfig

RANDOM_FAMILY = "random"


@dataclass(frozen=True)
class Contrast:
    """Means and standard deviations of one image; the last two entries are lesion core and rim.

    `fwhm_vox` (one per entry) is the smoothness of the texture within a class.
    """

    family: str
    stage: str
    means: FloatArray
    stds: FloatArray
    fwhm_vox: FloatArray
    seed: int


def draw_contrast(
    rng: np.random.Generator,
    class_count: int,
    sequences: Sequence[Sequence3D],
    config: ContrastConfig,
    *,
    plausible: bool = False,
) -> Contrast:
    """Draw a contrast: a plausible sequence for `plausible_share` of samples, else the paper's.

    With `plausible` it is one of `sequences` for certain, whatever families are configured.
    """
    fwhm = rng.uniform(0, config.texture_fwhm_vox, class_count + 2).astype(np.float32)
    seed = int(rng.integers(2**31))
    if rng.random() >= config.plausible_share and not plausible:
        means = rng.uniform(0, 255, class_count + 2).astype(np.float32)
        stds = rng.uniform(0, config.texture_std, class_count + 2).astype(np.float32)
        return Contrast(RANDOM_FAMILY, "random", means, stds, fwhm, seed)
    if config.families and not plausible:
        sequences = [s for s in sequences if s.name in config.families]
    shares = np.asarray([s.share for s in sequences])
    sequence = sequences[int(rng.choice(len(sequences), p=shares / shares.sum()))]
    return _draw_plausible(rng, sequence, fwhm, seed, config)


def _draw_plausible(
    rng: np.random.Generator,
    sequence: Sequence3D,
    fwhm: FloatArray,
    seed: int,
    config: ContrastConfig,
) -> Contrast:
    """Draw means within a sequence's ranges, widened by `jitter` of each range's width."""
    shares = np.asarray([s.share for s in sequence.stages])
    stage = sequence.stages[int(rng.choice(len(shares), p=shares / shares.sum()))]
    ranges = np.asarray([*sequence.ranges, stage.core, stage.rim])
    widen = config.jitter * (ranges[:, 1] - ranges[:, 0])
    means = np.maximum(rng.uniform(ranges[:, 0] - widen, ranges[:, 1] + widen), 0) * 255
    stds = rng.uniform(0.2, 1.0, len(means)) * config.plausible_std
    stds[0] *= 0.3
    if sequence.noisy_air > 0 and rng.random() < sequence.noisy_air:
        means[0], stds[0] = rng.uniform(0.05, 0.5) * 255, rng.uniform(0.1, 0.4) * 255
    if rng.random() < config.uniform_lesion_share:
        means[-1] = means[-2]
    return Contrast(
        sequence.name, stage.name, means.astype(np.float32), stds.astype(np.float32), fwhm, seed
    )
