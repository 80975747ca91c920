"""Other people's files become model folders: brainchop's manifest, torch's checkpoints.

What is taken from them is tensors. They are brought in the order in which they are run under the
names of this project, and checked against the network that a config describes, in number, shape
and value.
"""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from strokeseg.arrays import FloatArray
from strokeseg.errors import InputNotFoundError, ModelFormatError, WeightsUnavailableError
from strokeseg.models.config import ModelConfig
from strokeseg.models.tensors import WEIGHTS_FILE, write_tensors
from strokeseg.network.batch_norms import BATCH_TENSORS
from strokeseg.network.mesh_spec import MeshSpec, member_prefixes
from strokeseg.network.state import check_state

KERNEL_AXES = 5
READERS = ("brainchop", "torch")

_MOST_BYTES = 500_000_000
_MOST_MANIFEST_BYTES = 5_000_000
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class _Names:
    """The parts of one convolution's name: where it stands, and what its tensors are called."""

    stem: str
    mark: str


def convert(
    reader: str, files: Sequence[Path], document: Mapping[str, Any], name: str
) -> dict[str, bytes]:
    """Make the files of a model folder.

    Parameters
    ----------
    reader
        ``brainchop`` (its ``model.bin`` and ``model.json``, in any order) or ``torch`` (a
        checkpoint for each of the network's members).
    files
        What to read.
    document
        The content of the folder's config.json.
    name
        What it is called in messages.

    Returns
    -------
    dict
        Content of model.safetensors by that name.

    Raises
    ------
    ModelFormatError
        A file cannot be read, or is of another network.
    WeightsUnavailableError
        Reading it takes torch, which is not installed.
    """
    spec = ModelConfig.from_config(document).spec
    if not isinstance(spec, MeshSpec):
        raise ModelFormatError(f"{name}: only a MeshNet can be made from other people's files")
    members = [_brainchop(files)] if reader == "brainchop" else [_torch(file) for file in files]
    if len(members) != spec.members:
        raise ModelFormatError(
            f"{name}: {len(members)} networks were given, config.json asks for {spec.members}"
        )
    state: dict[str, FloatArray] = {}
    for prefix, tensors in zip(member_prefixes(spec), members, strict=True):
        state |= {prefix + key: value for key, value in meshnet_names(tensors).items()}
    try:
        check_state(spec, state)
    except ModelFormatError as error:
        raise ModelFormatError(f"{name}: {error}") from error
    return {WEIGHTS_FILE: write_tensors(state)}


def require_torch(name: str) -> None:
    """Refuse, where torch is missing, what cannot be read without it.

    Raises
    ------
    WeightsUnavailableError
        torch is not installed.
    """
    if find_spec("torch") is None:
        raise WeightsUnavailableError(
            f"{name} is published as a torch checkpoint, which torch alone can read: install "
            "'strokeseg[torch]' for this once, or on a machine that has it run `strokeseg weights "
            f"export {name} DIR`, copy DIR here and run `strokeseg weights import DIR`"
        )


def meshnet_names(tensors: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Give the tensors of one MeshNet the names of `strokeseg.network.mesh_spec`.

    Kernels are taken in the order in which they come, the last is the one that tells the classes;
    so are the norms, known by their running statistics.
    """
    kernels = [_named(name) for name, value in tensors.items() if value.ndim == KERNEL_AXES]
    norms = [_named(name) for name in tensors if name.rpartition(".")[2] == "running_mean"]
    renamed: dict[str, FloatArray] = {}
    taken = set()
    for number, conv in enumerate(kernels):
        last = number == len(kernels) - 1
        target = "head" if last else f"layers.{number}.conv"
        for source, ending in ((conv.mark, "weight"), ("bias", "bias")):
            if conv.stem + source in tensors:
                renamed[f"{target}.{ending}"] = tensors[conv.stem + source]
                taken.add(conv.stem + source)
    for number, norm in enumerate(norms):
        for ending in BATCH_TENSORS:
            if norm.stem + ending in tensors:
                renamed[f"layers.{number}.norm.{ending}"] = tensors[norm.stem + ending]
                taken.add(norm.stem + ending)
    # What has no place keeps its name, so that the check refuses it by that.
    return renamed | {name: value for name, value in tensors.items() if name not in taken}


def _named(name: str) -> _Names:
    at = max(name.rfind("."), name.rfind("/")) + 1
    return _Names(name[:at], name[at:])


def _torch(file: Path) -> dict[str, FloatArray]:
    require_torch(file.name)
    content = _read(file, _MOST_BYTES)
    if content[: len(_ZIP)] != _ZIP:
        raise ModelFormatError(f"{file}: is no checkpoint as torch writes them; save it again")
    from strokeseg.network.torch_checkpoint import read_checkpoint

    try:
        return read_checkpoint(io.BytesIO(content))
    except ModelFormatError as error:
        raise ModelFormatError(f"{file}: {error}") from error


def _brainchop(files: Sequence[Path]) -> dict[str, FloatArray]:
    """Read brainchop's (TensorFlow.js's) manifest and the bytes that it describes."""
    contents = {_is_json(content): content for content in (_read(f, _MOST_BYTES) for f in files)}
    if set(contents) != {True, False} or len(contents[True]) > _MOST_MANIFEST_BYTES:
        raise ModelFormatError("give brainchop's model.bin and model.json, one of each")
    data = contents[False]
    tensors: dict[str, FloatArray] = {}
    at = 0
    try:
        (group,) = json.loads(contents[True].decode("utf-8"))["weightsManifest"]
        for entry in group["weights"]:
            shape = tuple(int(size) for size in entry["shape"])
            tensors[str(entry["name"])] = _tensor(str(entry["dtype"]), shape, data, at)
            at += 4 * math.prod(shape)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelFormatError(
            f"model.json is no manifest of model.bin ({error}); fetch both again"
        ) from error
    if at != len(data):
        raise ModelFormatError(f"model.bin has {len(data)} bytes, its manifest describes {at}")
    return tensors


def _tensor(dtype: str, shape: tuple[int, ...], data: bytes, at: int) -> FloatArray:
    """Read one tensor, checked against what is there."""
    end = at + 4 * math.prod(shape)
    if dtype != "float32" or min(shape) < 1 or end > len(data):
        raise ValueError(f"{dtype} of {shape} at byte {at} of {len(data)}")
    value = np.frombuffer(data, "<f4", math.prod(shape), at).reshape(shape)
    # (k, k, k, in, out) there, (out, in, k, k, k) here.
    moved = value.transpose(4, 3, 0, 1, 2) if value.ndim == KERNEL_AXES else value
    return np.array(moved, np.float32, order="C")


def _is_json(content: bytes) -> bool:
    return content.lstrip()[:1] == b"{"


def _read(file: Path, most: int) -> bytes:
    try:
        if file.stat().st_size > most:
            raise ModelFormatError(f"{file}: is over {most / 1e6:.0f} MB, which no MeshNet is")
        return file.read_bytes()
    except OSError as error:
        raise InputNotFoundError(f"{file}: cannot be read ({error.strerror or error})") from error
