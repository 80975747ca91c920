"""How much memory an engine takes on a CPU: a model of it, held against measurements.

A network takes memory for its weights, in several forms, and for the tensors of one window. Most of
the latter are at full resolution: the patch, the logits, and the logits once more as the engine
lays them out, 16 features at a time; beside them are the two tensors that meet at the end of the
way up. Deeper levels are small and reuse what is there. Each engine's factors were set
by windows of 32 to 192 voxels, five architectures, fp32 and bf16 (OpenVINO 2026.2, ONNX Runtime
1.27 without its arena, torch 2.13). What a window takes varies by a tenth of a gigabyte from one
process to the next (two tenths with ONNX Runtime), with what the engine can use again of the memory
that it opened the network in; the sum of both was above every measurement
(``tests/benchmarks/MEMORY.md``).
"""

import math
from dataclasses import dataclass

from strokeseg.arrays import Shape3
from strokeseg.network.folding import LANES
from strokeseg.network.state import LOGIT_BYTES, Spec, bytes_at_once, parameter_shapes


@dataclass(frozen=True)
class _Engine:
    """What was measured of an engine.

    `library_bytes` is what it holds without a network; the weights are counted in float32, as often
    as they are in memory while the network is read, once it is read, and once more with the first
    window; `tensors` is by how much its tensors exceed those of the model.
    """

    library_bytes: int
    opening: float
    opened: float
    compiled: float
    tensors: float
    normed: int


_ENGINES = {
    "openvino": _Engine(60 << 20, 6.0, 3.2, 1.7, 1.15, 2),
    "onnxruntime": _Engine(60 << 20, 6.0, 4.0, 0.4, 1.75, 3),
    "torch": _Engine(220 << 20, 3.2, 2.4, 0.6, 1.25, 3),
}
_FIRST_WINDOW_BYTES = 20 << 20


@dataclass(frozen=True)
class Footprint:
    """What a network in an engine takes, in bytes.

    Parameters
    ----------
    library
        The engine without a network.
    opening
        At most, while the network is read.
    opened
        Once it is read.
    """

    library: int
    opening: int
    opened: int


def footprint(engine: str, spec: Spec) -> Footprint:
    """Give what a network takes before the first window.

    Parameters
    ----------
    engine
        openvino, onnxruntime or torch.
    spec
        The network.
    """
    taken, weights = _ENGINES[engine], _weights_bytes(spec)
    return Footprint(taken.library_bytes, int(weights * taken.opening), int(weights * taken.opened))


def window_bytes(engine: str, precision: str, spec: Spec, window: Shape3) -> int:
    """Give what an engine takes more, at most, while it runs a window and holds until released.

    Parameters
    ----------
    engine
        openvino, onnxruntime or torch.
    precision
        fp32 or bf16.
    spec
        The network.
    window : (I, J, K)
        Edges of the window; the patch and the logits of the caller are not counted.
    """
    taken = _ENGINES[engine]
    feature_bytes = 2 if precision == "bf16" and engine == "openvino" else 4
    laid_out = -(-spec.out_channels // LANES) * LANES
    given_and_told = LOGIT_BYTES * (spec.in_channels + spec.out_channels)
    at_once = bytes_at_once(spec, taken.normed, feature_bytes)
    per_voxel = given_and_told + feature_bytes * laid_out + at_once
    tensors = math.prod(window) * per_voxel * taken.tensors
    return int(tensors + _weights_bytes(spec) * taken.compiled) + _FIRST_WINDOW_BYTES


def _weights_bytes(spec: Spec) -> int:
    return 4 * sum(math.prod(shape) for shape in parameter_shapes(spec).values())
