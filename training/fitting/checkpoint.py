"""Checkpoints: everything that a run needs to go on, written so that none is ever half there."""

import io
import pickle  # nosec B403 # to name the error of torch.load; nothing is unpickled by it
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from strokeseg._version import __version__
from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.files.atomic import write_atomically

Tensors = dict[str, torch.Tensor]


@dataclass
class TrainState:
    """What changes while training, and what it belongs to.

    `model`, `average`: tensors by name. `optimiser`: its state dict, empty where the checkpoint
    was joined from exported weights. `random`: states of torch's generators by device.
    """

    step: int
    model: Tensors
    average: Tensors
    optimiser: dict[str, Any]
    config: dict[str, Any]
    random: Tensors = field(default_factory=dict)
    revision: str = ""


def save_checkpoint(path: Path, state: TrainState) -> None:
    """Write a checkpoint under its name only once it is whole.

    Raises
    ------
    CannotCreateError, ReadWriteError
        The folder cannot be written, or the disk is full.
    """
    buffer = io.BytesIO()
    torch.save(vars(state), buffer)
    write_atomically(path, [buffer.getvalue()])


def load_checkpoint(path: Path) -> TrainState:
    """Read a checkpoint (tensors and plain values alone, nothing that runs).

    Raises
    ------
    InputNotFoundError
        There is no such file.
    DataError
        It is no checkpoint, or damaged.
    """
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        # Not torch's own words: they advise to run whatever code the file holds.
        raise DataError(
            f"{path}: not a readable checkpoint: damaged, or not of strokeseg train"
        ) from error
    known = {entry.name for entry in fields(TrainState)}
    needed = known - {"random", "revision"}
    if not isinstance(content, dict) or not needed <= set(content):
        raise DataError(f"{path}: not a checkpoint of strokeseg train")
    return TrainState(**{name: content[name] for name in known & set(content)})


def random_states() -> Tensors:
    """Give the states of torch's generators, the CPU's and each GPU's."""
    states = {"cpu": torch.get_rng_state()}
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        states[f"cuda:{index}"] = torch.cuda.get_rng_state(index)
    return states


def restore_random_states(states: Tensors) -> None:
    """Set torch's generators as they were; those of devices that are not here are left alone."""
    for device, state in states.items():
        if device == "cpu":
            torch.set_rng_state(state)
        elif torch.cuda.is_available() and int(device[5:]) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, device)


def code_revision() -> str:
    """Name the code that is running: the version, and the git commit where it is a checkout."""
    for folder in Path(__file__).resolve().parents:
        if (folder / ".git").is_dir():
            commit = _commit(folder / ".git")
            return f"{__version__}+{commit}" if commit else __version__
    return __version__


def _commit(folder: Path) -> str:
    try:
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        loose = folder / name
        if loose.is_file():
            return loose.read_text().strip()
        packed = (folder / "packed-refs").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")
