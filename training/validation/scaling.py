"""Vector scaling of the logits, so that probabilities mean what they say.

A lesion that weighs more in the loss than in the world comes out too probable, and a network that
is trained by Dice is too sure of every class. Both are mended after training by a factor and a bias
for each class, fitted on the validation set (vector scaling: Guo et al., arXiv 1706.04599). The
network's own last convolution carries them, so that no engine and no model folder knows of them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from strokeseg.arrays import FloatArray
from strokeseg.errors import DataError, UsageError
from strokeseg.files.json_files import write_json
from strokeseg.network.ensemble_spec import FIELD as ENSEMBLE
from strokeseg.network.ensemble_spec import tensors_of
from strokeseg.network.planar_spec import SUBPIXELS
from strokeseg.training.data.sources import Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.validation.cases import validation_samples
from strokeseg.training.validation.scoring import LogitsFunction

# Every eighth voxel is fitted to: neighbours say nearly the same.
VOXEL_STEP = 8
ROUNDS = 100
DIGITS = 4
LAST_CONVOLUTION = "model.2.1.conv.unit0.conv"
PLAIN_HEAD = ("head.weight", "head.bias")
_MEMBER = re.compile(rf"{ENSEMBLE}\.\d+\.")


@dataclass(frozen=True)
class Scaling:
    """What each class's logit is multiplied by, and what is added to it then."""

    factor: tuple[float, ...]
    bias: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what would turn a class round, or fits no class."""
        if len(self.factor) != len(self.bias) or not all(factor > 0 for factor in self.factor):
            raise UsageError("a scaling has a factor above 0 and a bias for each class")


def fit_scaling(
    logits_fn: LogitsFunction, sources: Sources, config: TrainConfig, count: int | None = None
) -> Scaling:
    """Find the scaling with the least cross-entropy over the voxels of the validation set.

    Parameters
    ----------
    logits_fn
        Image (I, J, K) to logits (C, I, J, K), not scaled yet.
    sources
        The held-out heads and lesions.
    config
        The run's.
    count
        How many validation cases, where not as the configuration says.
    """
    said, true = [], []
    for _, sample in validation_samples(sources, config, count):
        logits = logits_fn(sample.image.numpy())
        said.append(logits.reshape(logits.shape[0], -1)[:, ::VOXEL_STEP].T)
        true.append(sample.target.reshape(-1)[::VOXEL_STEP].long())
    return least_cross_entropy(torch.from_numpy(np.concatenate(said)), torch.cat(true))


def least_cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> Scaling:
    """Find the scaling of logits (N, C) that gives classes (N, int64) the highest likelihood.

    Raises
    ------
    DataError
        It would turn a class's logit round: the network does not tell that class yet.
    """
    factor = torch.ones(logits.shape[1], requires_grad=True)
    bias = torch.zeros(logits.shape[1], requires_grad=True)
    search = torch.optim.LBFGS([factor, bias], max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def cost() -> float:
        search.zero_grad()
        loss = functional.cross_entropy(logits * factor + bias, target)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    search.step(cost)  # type: ignore[no-untyped-call]
    factors = factor.detach().tolist()
    lowest = min(factors)
    if not lowest > 0:
        raise DataError(
            f"the network does not tell class {factors.index(lowest)} yet: the scaling that fits "
            f"the validation cases turns its logit round (factor {lowest:.2g}). Train it longer, "
            "or hold more cases out"
        )
    # A number that all classes have in common says nothing.
    common = bias.detach().mean()
    return Scaling(_rounded(factor.detach()), _rounded(bias.detach() - common))


def _rounded(values: torch.Tensor) -> tuple[float, ...]:
    return tuple(round(value, DIGITS) for value in values.tolist())


def with_scaling(logits_fn: LogitsFunction, scaling: Scaling) -> LogitsFunction:
    """Scale the logits that a function gives."""
    factor, bias = (
        np.asarray(values, np.float32).reshape(-1, 1, 1, 1)
        for values in (scaling.factor, scaling.bias)
    )
    return lambda image: logits_fn(image) * factor + bias


def fold_scaling(state: Mapping[str, FloatArray], scaling: Scaling) -> dict[str, FloatArray]:
    """Give weights whose network says the scaled logits by itself.

    The last unit adds its input to its convolution, y = conv(x) + x. So f * y is f * conv(x) plus f
    of x: the kernel times f, with f - 1 more at its centre from each class to itself. The head of a
    half-resolution or three-plane network is a plain convolution, of as many kernels for each class
    as voxels that it tells at once. The mean of an ensemble is scaled as each of its networks is.

    Raises
    ------
    UsageError
        The network has no such unit, or other classes.
    """
    factor, added = (np.asarray(values, np.float32) for values in (scaling.factor, scaling.bias))
    prefixes = sorted({match[0] for match in map(_MEMBER.match, state) if match})
    if prefixes:
        return {
            prefix + name: tensor
            for prefix in prefixes
            for name, tensor in fold_scaling(tensors_of(prefix, state), scaling).items()
        }
    if state.keys() >= set(PLAIN_HEAD):
        weight, bias = (state[name] for name in PLAIN_HEAD)
        # Of slices each of the pixels that are told at once has a bias; of voxels they share it.
        biases = SUBPIXELS if weight.ndim == 4 else 1
        _check_classes(factor, bias[::biases])
        kernel = np.repeat(factor, len(weight) // factor.size)
        scaled = (
            weight * kernel.reshape(-1, *(1,) * (weight.ndim - 1)),
            bias * np.repeat(factor, biases) + np.repeat(added, biases),
        )
        return dict(state) | dict(zip(PLAIN_HEAD, scaled, strict=True))
    names = weight_name, bias_name = f"{LAST_CONVOLUTION}.weight", f"{LAST_CONVOLUTION}.bias"
    if not state.keys() >= set(names):
        raise UsageError("the network ends in no residual unit: its logits cannot be scaled")
    kernel, bias = state[weight_name], state[bias_name]
    _check_classes(factor, bias)
    kernel = kernel * factor.reshape(-1, 1, 1, 1, 1)
    edge = len(state[weight_name][0, 0]) // 2
    for each, excess in enumerate(factor - 1):
        kernel[each, each, edge, edge, edge] += excess
    return dict(state) | {weight_name: kernel, bias_name: bias * factor + added}


def _check_classes(factor: FloatArray, bias: FloatArray) -> None:
    if factor.size != bias.size:
        raise UsageError(f"the scaling is of {factor.size} classes, the network of {bias.size}")


def write_scaling(scaling: Scaling, path: Path) -> None:
    """Write a scaling as JSON."""
    write_json(path, asdict(scaling))


def read_scaling(path: Path) -> Scaling:
    """Read what `write_scaling` wrote.

    Raises
    ------
    DataError
        The file cannot be read, or holds something else.
    """
    try:
        numbers = json.loads(path.read_text())
        factor, bias = (tuple(float(value) for value in numbers[key]) for key in ("factor", "bias"))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: no scaling can be read from it ({error})") from error
    return Scaling(factor, bias)
