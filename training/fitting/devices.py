"""Where training runs: the CPU, or one CUDA device."""

import torch

from strokeseg.engines.choice import plain_device
from strokeseg.errors import EngineError, UsageError


def choose_device(name: str) -> torch.device:
    """Turn a name into a device that is here.

    Raises
    ------
    EngineError
        There is none of that name.
    """
    name = plain_device(name)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device is {name!r}: give auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device is {name!r}: training runs on cpu and cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineError(f"--device is {name!r} and torch sees no such GPU; use --device cpu")
    return device
