"""Checkpoints: everything that a run needs to go on, written so that a cut leaves the last good one."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from strokeseg.errors import DataError


@dataclass
class TrainState:
    """What changes while training: the model's and its average's tensors, optimiser, and step."""

    step: int
    model: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor]
    optimiser: dict[str, Any]
    config: dict[str, Any]


def save_checkpoint(path: Path, state: TrainState) -> None:
    """Write a checkpoint under its name only once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    with temporary.open("wb") as stream:
        torch.save(vars(state), stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path) -> TrainState:
    """Read a checkpoint (tensors and plain values alone, nothing that runs)."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError) as error:
        raise DataError(f"{path}: not a readable checkpoint: {error}") from error
    return TrainState(**content)
