"""The volumes that a case's viewer shows, as a script that holds them as text.

A page that is opened from disk can fetch nothing. What is written is for looking at: the scan in
256 grey levels and the probability in steps of 1/255, each with slope and intercept beside it.
"""

import base64
import gzip
import json
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from strokeseg.arrays import AnyArray, BoolArray, FloatArray, Shape3
from strokeseg.images.header import nifti_start, space_from_affine
from strokeseg.report.blocks import Blocks
from strokeseg.report.case_volumes import Stack
from strokeseg.results.page import HEAD_LEVEL
from strokeseg.space.grid import Grid

VARIABLE = "strokesegVolumes"

# What is left of the script without the letters of base64.
_BASE64 = (string.ascii_letters + string.digits + "+/=").encode()
_FRAME = re.compile(rb'\.\{"": ""(?:, "": "")*\};\n')
LEVELS = 255
OTHER = "scan-"
# What the mask holds where a lesion has no row in the table, or its number no room.
_UNNUMBERED = 255
_MEGABYTE = 1_000_000
_GZIP_LEVEL = 6
_SAMPLES = 400_000
_PLANES = 12
# A scan packs to about half a byte a voxel; grids far beyond the budget are not even tried.
_MOST_VOXELS_PER_BYTE = 4


@dataclass(frozen=True)
class Layers:
    """What the viewer shows of a case.

    Attributes
    ----------
    script : bytes
        Sets a variable to an object: layer to a packed NIfTI, base64.
    layers : tuple of mapping
        Name, slope and intercept of each, the lowest first.
    voxel_size_mm : (3,) tuple of float
        Of the viewer's grid.
    coarse : bool
        Whether that grid is coarser than the results'.
    """

    script: bytes
    layers: tuple[dict[str, Any], ...]
    voxel_size_mm: tuple[float, float, float]
    coarse: bool


def pack_layers(stack: Stack, seeds: Sequence[Shape3 | None], budget_mb: float) -> Layers:
    """Pack a case's volumes, coarser where the largest would be over the budget.

    Parameters
    ----------
    stack : Stack
        The volumes.
    seeds : sequence of voxel indices
        One of each lesion, which is drawn even where the lesion is smaller than half a block; None
        for a row of the table that the mask has not.
    budget_mb : float
        Largest size of one packed volume, in MB.
    """
    budget = budget_mb * _MEGABYTE
    blocks = _affordable(stack, budget)
    packed, layers = _pack(stack, blocks, seeds)
    while max(map(len, packed.values())) > budget and max(blocks.grid(stack.grid).shape) > 1:
        blocks = blocks.coarser(stack.grid)
        packed, layers = _pack(stack, blocks, seeds)
    text = json.dumps({name: base64.b64encode(data).decode() for name, data in packed.items()})
    return Layers(
        script=f"window.{VARIABLE}={text};\n".encode(),
        layers=layers,
        voxel_size_mm=blocks.grid(stack.grid).voxel_size_mm,
        coarse=not blocks.whole,
    )


def is_volume_script(content: bytes) -> bool:
    """Tell whether a script is what `pack_layers` makes: one object of base64, and no statement.

    A report may be somebody else's; what is taken over from it would run on a page of ours.
    """
    start, end = f'window.{VARIABLE}={{"'.encode(), b'"};\n'
    frame = content.translate(None, _BASE64)
    is_framed = content.startswith(start) and content.endswith(end)
    return is_framed and _FRAME.fullmatch(frame) is not None


def _affordable(stack: Stack, budget: float) -> Blocks:
    """Find blocks with which the scan is about within the budget, from a few of its planes."""
    blocks = Blocks()
    while np.prod(blocks.grid(stack.grid).shape) > budget * _MOST_VOXELS_PER_BYTE:
        blocks = blocks.coarser(stack.grid)
    if stack.scan is None:
        return blocks
    low, high = _window(stack.scan)
    while max(blocks.grid(stack.grid).shape) > 1:
        levels = _levels((blocks.mean(stack.scan) - low) * (LEVELS / (high - low)))
        planes = np.linspace(0, levels.shape[2] - 1, min(levels.shape[2], _PLANES)).astype(int)
        size = len(gzip.compress(levels[:, :, planes].tobytes(order="F"), _GZIP_LEVEL))
        excess = size * levels.shape[2] / len(planes) / budget
        if excess <= 1:
            break
        for _ in range(max(1, round(np.log2(excess)))):
            blocks = blocks.coarser(stack.grid)
    return blocks


def _pack(
    stack: Stack, blocks: Blocks, seeds: Sequence[Shape3 | None]
) -> tuple[dict[str, bytes], tuple[dict[str, Any], ...]]:
    """Pack every volume on the grid of the blocks."""
    grid = blocks.grid(stack.grid)
    packed: dict[str, bytes] = {}
    layers: list[dict[str, Any]] = []

    def add(name: str, data: AnyArray, slope: float = 1.0, inter: float = 0.0) -> None:
        packed[name] = _nifti(data, grid)
        layers.append({"name": name, "slope": slope, "inter": inter})

    if stack.scan is None:
        add("blank", np.zeros(grid.shape, np.uint8))
    else:
        low, high = _window(stack.scan)
        slope = (high - low) / LEVELS
        add("scan", _levels((blocks.mean(stack.scan) - low) / slope), slope, low)
    for modality, scan in stack.others.items():
        low, high = _window(scan)
        slope = (high - low) / LEVELS
        add(f"{OTHER}{modality}", _levels((blocks.mean(scan) - low) / slope), slope, low)
    if stack.tissue is not None:
        add("tissue", blocks.middle(stack.tissue))
    if stack.probability is not None:
        levels = _levels(blocks.mean(stack.probability) * LEVELS)
        add("probability", levels, 1.0 / LEVELS)
    if stack.uncertainty is not None:
        most = max(float(stack.uncertainty.max()), 1e-6)
        add("uncertainty", _levels(blocks.mean(stack.uncertainty) * (LEVELS / most)), most / LEVELS)
    if stack.truth is not None:
        add("truth", blocks.mask(stack.truth, []).astype(np.uint8))
    if stack.mask is not None:
        always = [seed for seed in seeds if seed is not None]
        add("mask", _numbered(blocks.mask(stack.mask, always), blocks, seeds))
    return packed, tuple(layers)


def _numbered(shown: BoolArray, blocks: Blocks, seeds: Sequence[Shape3 | None]) -> AnyArray:
    """Give each lesion of the viewer the number of its row; 255 where the table has none."""
    numbers = np.zeros(shown.shape, np.uint8)
    numbers[shown] = _UNNUMBERED
    labels, _ = ndimage.label(shown, np.ones((3, 3, 3)))
    for row, seed in enumerate(seeds, start=1):
        if seed is None or row >= _UNNUMBERED:
            continue
        i, j, k = (place // factor for place, factor in zip(seed, blocks.factors, strict=True))
        numbers[(labels == labels[i, j, k]) & shown] = row
    return numbers


def _window(scan: FloatArray) -> tuple[float, float]:
    """Give what is black and what is white: wider than in a picture, as contrast can be set."""
    stride = max(1, int(np.cbrt(scan.size / _SAMPLES)))
    sample = scan[::stride, ::stride, ::stride]
    low, high = (float(value) for value in np.percentile(sample, (0.5, 99.0)))
    head = sample[sample > low + HEAD_LEVEL * (high - low)]
    if head.size:
        high = float(np.percentile(head, 99.9))
    return low, high if high > low else low + 1.0


def _levels(data: AnyArray) -> AnyArray:
    return np.clip(np.rint(data), 0, LEVELS).astype(np.uint8)


def _nifti(data: AnyArray, grid: Grid) -> bytes:
    """Make a packed NIfTI file; sform and qform are one and the same affine."""
    start = nifti_start(space_from_affine(grid.affine), data.shape, data.dtype)
    return gzip.compress(start + data.tobytes(order="F"), _GZIP_LEVEL, mtime=0)
