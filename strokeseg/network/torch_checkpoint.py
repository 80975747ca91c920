"""The tensors of a torch checkpoint, read without running anything that it holds.

A checkpoint is a pickle. torch's own restricted reader (``weights_only=True``) makes tensors and
plain containers of it and refuses all else; of those the tensors alone are taken.
"""

import pickle  # nosec B403 # to name the error of torch.load; nothing is unpickled by it
from collections.abc import Mapping
from typing import BinaryIO

import torch

from strokeseg.arrays import FloatArray
from strokeseg.errors import ModelFormatError

# Where programs put the state dict among optimiser, scheduler and counts.
_PLACES = ("model_state_dict", "state_dict", "model", "network", "weights")


def read_checkpoint(stream: BinaryIO) -> dict[str, FloatArray]:
    """Read the floating-point tensors of a checkpoint's state dict.

    Parameters
    ----------
    stream
        What ``torch.save`` wrote: a state dict, or a table with one under a usual name.

    Returns
    -------
    dict
        Tensors by name, float32, in the order in which they were saved.

    Raises
    ------
    ModelFormatError
        It is no checkpoint, holds what only unpickling could make, or no state dict.
    """
    try:
        content = torch.load(stream, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ModelFormatError(f"is no checkpoint that torch can read ({_line(error)})") from error
    except pickle.UnpicklingError as error:
        raise ModelFormatError(
            "holds more than tensors, which could run code and is not read: save the state dict "
            f"alone ({_line(error)})"
        ) from error
    state = _state_dict(content)
    if state is None:
        raise ModelFormatError(
            f"holds no state dict, neither itself nor under {', '.join(_PLACES)}: save one"
        )
    return {
        name: tensor.detach().to(torch.float32).contiguous().numpy().copy()
        for name, tensor in state.items()
        if tensor.is_floating_point()
    }


def _state_dict(content: object) -> Mapping[str, torch.Tensor] | None:
    """Find the mapping of names to tensors."""
    if not isinstance(content, Mapping):
        return None
    plain = [
        isinstance(value, torch.Tensor) and value.layout == torch.strided
        for value in content.values()
    ]
    if content and all(plain) and all(isinstance(name, str) for name in content):
        return content
    found = (_state_dict(content[place]) for place in _PLACES if place in content)
    return next((state for state in found if state is not None), None)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
