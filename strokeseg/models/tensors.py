"""Read model.safetensors into NumPy: every size is checked before anything is allocated.

The format is eight bytes (little-endian length of the header), a JSON header that gives each
tensor's type, shape and byte range, and the bytes (https://github.com/huggingface/safetensors).
Nothing in it can run. Formats that can, which are pickles, are recognised and refused unread.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError, safe_open

from strokeseg.arrays import FloatArray
from strokeseg.errors import ModelFormatError, ReadWriteError

WEIGHTS_FILE = "model.safetensors"
# Of a second stage, where a model has one.
SECOND_FILE = "stage2.safetensors"
PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".pth.tar"})

_MAX_HEADER_BYTES = 25_000_000
_ITEM_BYTES = {"F16": 2, "F32": 4, "F64": 8}
_REMEDY = "save the weights as safetensors, in float32 or float16"


@dataclass(frozen=True)
class TensorEntry:
    """One tensor as the header describes it; `begin` and `end` count from the first data byte."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_tensors(path: Path) -> dict[str, FloatArray]:
    """Read every tensor as float32, without torch.

    Parameters
    ----------
    path
        A safetensors file of F16, F32 or F64 tensors.

    Returns
    -------
    dict of str to FloatArray
        By the names that the file gives; float16 and float64 are converted.

    Raises
    ------
    ModelFormatError
        The file is no whole safetensors file, is a pickle, or holds other types.
    ReadWriteError
        The file system failed.
    """
    names = read_header(path)
    state: dict[str, FloatArray] = {}
    try:
        with safe_open(path, framework="numpy") as file, np.errstate(over="ignore"):
            for name in names:
                state[name] = np.asarray(file.get_tensor(name), dtype=np.float32, order="C")
    except (SafetensorError, ValueError) as error:
        raise ModelFormatError(
            f"{path}: not a valid safetensors file ({error}); fetch it again"
        ) from error
    except OSError as error:
        raise ReadWriteError(f"{path}: cannot be read ({error.strerror or error})") from error
    return state


def write_tensors(state: Mapping[str, FloatArray]) -> bytes:
    """Write tensors as a safetensors file, the same bytes for the same tensors wherever it is done.

    Parameters
    ----------
    state
        Tensors by name; they are stored as float32, in the order of their names.
    """
    header, pieces, at = {}, [], 0
    for name in sorted(state):
        content = np.ascontiguousarray(state[name], "<f4").tobytes()
        shape = list(state[name].shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(content)]}
        pieces.append(content)
        at += len(content)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *pieces])


def read_header(path: Path) -> dict[str, TensorEntry]:
    """Read and check the header alone.

    Parameters
    ----------
    path
        A safetensors file.

    Raises
    ------
    ModelFormatError
        The file is a pickle, is cut short, or its header contradicts itself or the file's size.
    ReadWriteError
        The file system failed.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
            length = struct.unpack("<Q", start[:8])[0] if len(start) == 9 else -1
            if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8) or start[8:] != b"{":
                _refuse_start(path, start, size)
            text = start[8:] + file.read(length - 1)
    except OSError as error:
        raise ReadWriteError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        header = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path}: its safetensors header is no JSON; fetch it again") from (
            error
        )
    data_bytes = size - 8 - length
    header.pop("__metadata__", None)
    entries = {name: _entry(path, name, value, data_bytes) for name, value in header.items()}
    if not entries:
        raise ModelFormatError(f"{path}: holds no tensors; fetch it again")
    return entries


def starts_as_pickle(start: bytes) -> bool:
    """Tell by its first bytes whether a file is a pickle, bare or in a zip as torch writes it."""
    bare = start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return bare or start[:4] == b"PK\x03\x04"


def _refuse_start(path: Path, start: bytes, size: int) -> NoReturn:
    if starts_as_pickle(start):
        raise ModelFormatError(
            f"{path}: is a pickle (a PyTorch checkpoint), which can run code and is never read; "
            f"{_REMEDY}"
        )
    if start == b"version h":
        raise ModelFormatError(
            f"{path}: is a git-lfs pointer, not the weights; run `git lfs pull` where it came from"
        )
    if len(start) == 9 and start[8:] == b"{":
        raise ModelFormatError(
            f"{path}: its header claims {struct.unpack('<Q', start[:8])[0]} bytes and the file "
            f"has {size}; it is cut short or damaged, fetch it again"
        )
    raise ModelFormatError(f"{path}: is not a safetensors file ({size} bytes); {_REMEDY}")


def _entry(path: Path, name: str, value: Mapping[str, Any], data_bytes: int) -> TensorEntry:
    """Turn one value of the header into a checked entry."""
    try:
        dtype = str(value["dtype"])
        shape = tuple(value["shape"])
        begin, end = value["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise ModelFormatError(
            f"{path}: tensor {name} has no valid entry in the header; fetch it again"
        ) from error
    whole = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    if not whole:
        raise ModelFormatError(f"{path}: tensor {name} has no valid shape or offsets")
    if dtype not in _ITEM_BYTES:
        raise ModelFormatError(
            f"{path}: tensor {name} is of type {dtype}; F32, F16 and F64 can be read: {_REMEDY}"
        )
    if end > data_bytes:
        raise ModelFormatError(
            f"{path}: is cut short: tensor {name} ends at byte {end} and {data_bytes} bytes of "
            "data are there; fetch it again"
        )
    if end - begin != math.prod(shape) * _ITEM_BYTES[dtype]:
        raise ModelFormatError(
            f"{path}: tensor {name} of shape {shape} and type {dtype} does not fill its "
            f"{end - begin} bytes; the file is damaged"
        )
    return TensorEntry(dtype, shape, begin, end)
