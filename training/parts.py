"""Weights that travel: a checkpoint without optimiser state, in parts that fit anywhere.

The averaged weights in half precision, as safetensors with the step and the configuration beside
them, cut into parts of 15 MB with a list of checksums. Joined again, they are a checkpoint that
`strokeseg train --resume` goes on from (its optimiser starts anew).
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from strokeseg.errors import CannotCreateError, DataError, InputNotFoundError
from strokeseg.files.atomic import write_atomically
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.fitting.checkpoint import TrainState, load_checkpoint, save_checkpoint

PART_BYTES = 15_000_000
LIST_FILE = "parts.json"


def export_parts(checkpoint: Path, folder: Path, part_bytes: int = PART_BYTES) -> tuple[Path, ...]:
    """Cut a checkpoint's averaged weights (float16) into parts.

    Parameters
    ----------
    checkpoint
        What `strokeseg train` wrote.
    folder
        Gets `weights.part-00` and so on, and `parts.json`.
    part_bytes
        The largest size of a part.

    Returns
    -------
    tuple of Path
        The parts, in order.
    """
    state = load_checkpoint(checkpoint)
    whole = save({name: value.half().contiguous() for name, value in state.average.items()})
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(f"{folder}: cannot be created ({error.strerror})") from error
    paths = []
    for number, start in enumerate(range(0, len(whole), part_bytes)):
        path = folder / f"weights.part-{number:02d}"
        write_atomically(path, [whole[start : start + part_bytes]])
        paths.append(path)
    facts = {
        "step": state.step,
        "revision": state.revision,
        "config": state.config,
        "sha256": hashlib.sha256(whole).hexdigest(),
        "parts": [path.name for path in paths],
    }
    write_atomically(folder / LIST_FILE, [json.dumps(facts, indent=1).encode()])
    return tuple(paths)


def join_parts(folder: Path, checkpoint: Path) -> TrainState:
    """Join parts into a checkpoint, once their checksum is right.

    Raises
    ------
    InputNotFoundError
        The list or a part is missing.
    DataError
        The list cannot be read, or a part is damaged.
    """
    listed = folder / LIST_FILE
    try:
        facts: dict[str, Any] = json.loads(listed.read_text())
        names = [Path(name).name for name in facts["parts"]]
        whole = b"".join((folder / name).read_bytes() for name in names)
        expected, step, config = facts["sha256"], int(facts["step"]), facts["config"]
    except FileNotFoundError as error:
        raise InputNotFoundError(f"{error.filename}: is missing; copy it here again") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{listed}: cannot be read ({error}); copy it here again") from error
    found = hashlib.sha256(whole).hexdigest()
    if found != expected:
        raise DataError(
            f"{folder}: the parts' sha256 is {found}, expected {expected}; copy them again"
        )
    try:
        half = load(whole)
    except SafetensorError as error:
        raise DataError(f"{folder}: the parts hold no safetensors ({error})") from error
    weights = {name: value.to(torch.float32) for name, value in half.items()}
    state = TrainState(
        step,
        weights,
        {k: v.clone() for k, v in weights.items()},
        {},
        config,
        revision=str(facts.get("revision", "")),
    )
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(checkpoint, state)
    return state


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.parts export|join FROM TO`."""
    parser = command_parser("parts", __doc__)
    parser.add_argument("what", choices=("export", "join"))
    parser.add_argument("source", type=Path, help="a checkpoint, or a folder of parts")
    parser.add_argument("target", type=Path, help="a folder for the parts, or a checkpoint")
    chosen = parser.parse_args(arguments)
    if chosen.what == "export":
        export_parts(chosen.source, chosen.target)
    else:
        join_parts(chosen.source, chosen.target)
    return str(chosen.target)


if __name__ == "__main__":
    run_command(main)
