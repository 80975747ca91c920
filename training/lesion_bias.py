"""One number added to the lesion's logit, so that probabilities mean what they say.

A lesion that weighs more in the loss than in the world comes out too probable.
"""

import re
from collections.abc import Mapping

import numpy as np
from scipy.optimize import minimize_scalar

from strokeseg.arrays import FloatArray
from strokeseg.errors import UsageError
from strokeseg.training.label_table import TISSUES
from strokeseg.training.sample import LESION
from strokeseg.training.settings import TrainConfig
from strokeseg.training.sources import Sources
from strokeseg.training.validation import LogitsFunction, lesion_probability, validation_samples

# Log-odds of the lesion are counted in steps, from -ODDS_LIMIT to ODDS_LIMIT.
ODDS_LIMIT = 16.0
ODDS_STEP = 0.25
LAST_BIAS = r"model\.2\.1\.conv\.unit\d+\.conv\.bias"


def fit_lesion_bias(
    logits_fn: LogitsFunction, sources: Sources, config: TrainConfig, count: int | None = None
) -> float:
    """Find what to add to the lesion's logit so that probabilities mean what they say.

    It minimises the cross-entropy of lesion against the rest over the voxels of the heads: Platt's
    scaling with the slope held at 1, which a network's own bias can carry.
    """
    edges = np.arange(-ODDS_LIMIT, ODDS_LIMIT + ODDS_STEP, ODDS_STEP)
    counts = np.zeros((2, edges.size - 1))
    for _, sample in validation_samples(sources, config, count):
        probability = lesion_probability(logits_fn(sample.image.numpy())).astype(np.float64)
        target = sample.target.numpy()
        inside = (target > 0) & (target <= len(TISSUES))
        safe = np.clip(probability[inside], 1e-9, 1 - 1e-9)
        odds = np.clip(np.log(safe / (1 - safe)), edges[0], edges[-1])
        is_lesion = target[inside] == LESION
        for row, chosen in zip(counts, (odds[~is_lesion], odds[is_lesion]), strict=True):
            row += np.histogram(chosen, edges)[0]
    centres = edges[:-1] + ODDS_STEP / 2

    def cost(bias: float) -> float:
        shifted = centres + bias
        losses = np.logaddexp(0, shifted), np.logaddexp(0, -shifted)
        return float((counts * losses).sum())

    return float(minimize_scalar(cost, bounds=(-ODDS_LIMIT, ODDS_LIMIT), method="bounded").x)


def with_lesion_bias(logits_fn: LogitsFunction, bias: float) -> LogitsFunction:
    """Add a number to the lesion's logit, the last channel."""

    def run(image: FloatArray) -> FloatArray:
        logits = logits_fn(image)
        return np.concatenate([logits[:-1], logits[-1:] + np.float32(bias)])

    return run


def last_bias(state: Mapping[str, FloatArray]) -> str:
    """Name the bias that is added to the logits last, one number per class.

    Only a residual unit after the last step up adds nothing behind its convolution.
    """
    names = sorted(name for name in state if re.fullmatch(LAST_BIAS, name))
    if not names:
        raise UsageError("the network has no bias in its last block; it cannot be calibrated")
    return names[-1]
