"""What a new run begins with: an earlier run's averaged weights, or those of a model.

A model has the batch norms of a three-plane network folded into its convolutions. They are put back
here, so that what the network says stays the same while it is trained with norms again.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from strokeseg.errors import DataError
from strokeseg.models.finding import load_model_files
from strokeseg.models.folder import Model, read_model_folder
from strokeseg.network.ensemble_spec import EnsembleSpec, network_prefixes, tensors_of
from strokeseg.network.kinds import single_parameter_shapes
from strokeseg.network.torch_planar import PlanarNet
from strokeseg.training.fitting.checkpoint import Tensors, load_checkpoint
from strokeseg.training.settings import MODEL, is_model


def starting_weights(start_from: str, expected: Tensors) -> Tensors:
    """Read the weights that a run begins with.

    Parameters
    ----------
    start_from
        A checkpoint, the folder of a model, or ``model:NAME``. Of a model of several networks the
        first that fits is taken.
    expected
        The state of the network that is to be trained; tensors that inference does not know, such
        as the heads of coarser levels, are taken from it.

    Raises
    ------
    InputNotFoundError, WeightsUnavailableError
        There is nothing of that name.
    DataError, ModelFormatError
        It is damaged, or of another network.
    """
    path = Path(start_from)
    if start_from.startswith(MODEL):
        return _of_model(load_model_files(start_from.removeprefix(MODEL)), expected)
    if is_model(start_from):
        return _of_model(read_model_folder(path, name=str(path)), expected)
    average = load_checkpoint(path).average
    if _shapes(average) != _shapes(expected):
        raise _another_network(str(path))
    return average


def _of_model(model: Model, expected: Tensors) -> Tensors:
    """Give the first network of a model that has the tensors of the one to be trained."""
    spec, states = model.config.spec, [model.state]
    specs = spec.networks if isinstance(spec, EnsembleSpec) else (spec,)
    if isinstance(spec, EnsembleSpec):
        states = [tensors_of(prefix, model.state) for prefix in network_prefixes(spec)]
    for single, state in zip(specs, states, strict=True):
        names = single_parameter_shapes(single)
        folded = {name: torch.from_numpy(state[name].copy()) for name in names}
        tensors = expected | with_norms(folded, expected)
        if _shapes(tensors) == _shapes(expected):
            return tensors
    raise _another_network(model.name)


def with_norms(folded: Mapping[str, Tensor], expected: Tensors) -> Tensors:
    """Undo `strokeseg.network.batch_norms.fold_norms`: give what inference has its norms back.

    A filter ``STEM.weight`` becomes one of length 1 and the factor of its norm; the statistics
    are a mean of 0 and a variance of 1 until `settle_norms` has seen images.
    """
    tensors = {}
    for name, value in folded.items():
        stem, _, kind = name.rpartition(".")
        if f"{stem}.norm.{kind}" not in expected:
            tensors[name] = value
        elif kind == "bias":
            tensors[f"{stem}.norm.bias"] = value
        else:
            length = value.flatten(1).norm(dim=1).clamp_min(torch.finfo(value.dtype).tiny)
            tensors[f"{stem}.conv.weight"] = value / length.reshape(-1, *(1,) * (value.ndim - 1))
            tensors[f"{stem}.norm.weight"] = length
            tensors[f"{stem}.norm.running_mean"] = torch.zeros_like(length)
            tensors[f"{stem}.norm.running_var"] = torch.ones_like(length)
    return tensors


@torch.no_grad()
def settle_norms(model: PlanarNet, slices: Tensor) -> None:
    """Take the statistics of the batch norms from slices (N, 3, A, B); what is said stays."""
    handles = [
        norm.register_forward_pre_hook(_settle)
        for norm in model.modules()
        if isinstance(norm, nn.BatchNorm2d)
    ]
    training = model.training
    model.eval()
    model.of_slices(slices)
    model.train(training)
    for handle in handles:
        handle.remove()


def _settle(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
    """Give a norm the statistics of its input, and the factor and offset that make up for them."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        return
    factor = norm.weight / (variance + norm.eps).sqrt()
    offset = norm.bias - mean * factor
    mean.copy_(inputs[0].mean((0, 2, 3)))
    variance.copy_(inputs[0].var((0, 2, 3), unbiased=False))
    norm.weight.copy_(factor * (variance + norm.eps).sqrt())
    norm.bias.copy_(offset + mean * factor)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items()}


def _another_network(source: str) -> DataError:
    return DataError(
        f"{source}: its network is not the configuration's; check architecture, channels and "
        "lesion_only"
    )
