"""Batch norms folded into the convolutions before them: in inference both are one convolution."""

from collections.abc import Iterable, Mapping

import numpy as np

from strokeseg.arrays import AnyArray, FloatArray
from strokeseg.network.spec import NORM_EPSILON

BATCH_TENSORS = ("weight", "bias", "running_mean", "running_var")


def folded_conv(state: Mapping[str, AnyArray], stem: str) -> tuple[FloatArray, FloatArray]:
    """Give the kernel and bias of a convolution with its batch norm folded in, in float32.

    Parameters
    ----------
    state
        Tensors by name: ``STEM.conv.weight``, perhaps ``STEM.conv.bias``, and the norm's under
        ``STEM.norm``.
    stem
        What stands before their names.
    """
    norm = {name: state[f"{stem}.norm.{name}"].astype(np.float64) for name in BATCH_TENSORS}
    scale = norm["weight"] / np.sqrt(norm["running_var"] + NORM_EPSILON)
    weight = state[f"{stem}.conv.weight"].astype(np.float64)
    shift = state.get(f"{stem}.conv.bias")
    bias = (0.0 if shift is None else shift.astype(np.float64)) - norm["running_mean"]
    weight = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    return weight.astype(np.float32), (bias * scale + norm["bias"]).astype(np.float32)


def fold_norms(names: Iterable[str], state: Mapping[str, AnyArray]) -> dict[str, FloatArray]:
    """Give the tensors that inference has, from those of a network that is trained with norms.

    Parameters
    ----------
    names
        Of the tensors of inference. Of those that `state` lacks, ``STEM.weight`` and ``STEM.bias``
        are folded from ``STEM.conv`` and ``STEM.norm``.
    state
        The tensors of training.
    """
    folded: dict[str, FloatArray] = {}
    for name in names:
        if name in state:
            folded[name] = state[name].astype(np.float32)
        elif name not in folded:
            stem = name.rpartition(".")[0]
            folded[f"{stem}.weight"], folded[f"{stem}.bias"] = folded_conv(state, stem)
    return folded
