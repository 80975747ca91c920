"""The golden check: an engine computes, here, what the model computed where it was made.

A model carries `golden.json`: a seed, the statistics of the logits that the network gives on noise
drawn from that seed, and logits at single voxels, which also tell axes and directions apart.
The idea is bioimage.io's: a model ships a test input, its output and a tolerance per format.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from strokeseg.arrays import AnyArray, FloatArray
from strokeseg.errors import EngineError, ModelFormatError
from strokeseg.models.folder import Model
from strokeseg.network.state import Spec

GOLDEN_FILE = "golden.json"
# Where it holds the record of a second stage.
SECOND = "second"
EDGE_VOX = 64
TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}

_PROBES_PER_AXIS = 3
_INPUT_VALUES = 8


class _Computes(Protocol):
    """The part of an engine that is needed here."""

    @property
    def precision(self) -> str:
        """Name of the number format that it computes in."""

    def logits(self, patch: FloatArray) -> FloatArray:
        """Give logits (C, I, J, K) of a patch (I, J, K), or of several images of it."""


@dataclass(frozen=True)
class GoldenResult:
    """How far an engine is from the model's own record.

    Attributes
    ----------
    passed
        Whether every statistic is within the tolerance.
    worst_difference
        The largest difference, as a fraction of the largest recorded logit.
    tolerance
        What is allowed for the engine's precision.
    worst
        Name of the statistic that differs most.
    """

    passed: bool
    worst_difference: float
    tolerance: float
    worst: str


def make_golden(
    logits_fn: Callable[[FloatArray], FloatArray],
    spec: Spec,
    seed: int,
    *,
    edge_vox: int = EDGE_VOX,
) -> dict[str, Any]:
    """Record what a network gives, for `golden.json`.

    Parameters
    ----------
    logits_fn
        Turns a patch (I, J, K), of a network of several images (images, I, J, K), into logits
        (C, I, J, K), in float32.
    spec
        The network, whose stride the patch's edges are rounded up to.
    seed
        For the noise.
    edge_vox
        Wished edge of the patch, at most `EDGE_VOX`.

    Returns
    -------
    dict
        Ready for `json.dumps`.

    Raises
    ------
    ModelFormatError
        The logits have another shape, or are not finite.
    """
    edges = (-(-edge_vox // stride) * stride for stride in spec.stride_product)
    patch = golden_input(seed, (*_images(spec), *edges))
    statistics = _statistics(_run(logits_fn, patch, spec.out_channels))
    return {
        "input_seed": seed,
        "input_shape": list(patch.shape),
        "input_first": [float(value) for value in patch.ravel()[:_INPUT_VALUES]],
        "format": {"fp32": statistics},
        "tolerance": dict(TOLERANCE),
    }


def _images(spec: Spec) -> tuple[int, ...]:
    return () if spec.in_channels == 1 else (spec.in_channels,)


def golden_input(seed: int, shape: tuple[int, ...]) -> FloatArray:
    """Draw the input: standard normal noise, float32, in C order.

    Parameters
    ----------
    seed
        Of NumPy's default generator.
    shape
        Edges (I, J, K) in voxels, and how many images before them where there are several.
    """
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def check_golden(model: Model, engine: _Computes) -> GoldenResult | None:
    """Compare an engine's logits with the model's record.

    Parameters
    ----------
    model
        Its folder may hold `golden.json`.
    engine
        An engine opened on the same model.

    Returns
    -------
    GoldenResult or None
        None where the model has no record.

    Raises
    ------
    ModelFormatError
        The record cannot be read, or says nothing about the model's network.
    EngineError
        The engine gives logits of another shape or that are not finite.
    """
    path = model.folder / GOLDEN_FILE
    if not path.is_file():
        return None
    return _check(_read(path), model, model.config.spec, engine)


def check_second_golden(model: Model, engine: _Computes) -> GoldenResult | None:
    """Compare an engine opened on a model's second stage with the model's record of that.

    Parameters, result and errors are those of `check_golden`.
    """
    path = model.folder / GOLDEN_FILE
    golden = _read(path).get(SECOND) if path.is_file() else None
    if golden is None or model.config.second is None:
        return None
    if not isinstance(golden, dict):
        raise ModelFormatError(f"{path}: its {SECOND} is no golden record; fetch it again")
    return _check(golden, model, model.config.second.spec, engine)


def _check(golden: Mapping[str, Any], model: Model, spec: Spec, engine: _Computes) -> GoldenResult:
    path = model.folder / GOLDEN_FILE
    try:
        patch = golden_input(int(golden["input_seed"]), _shape(golden, spec))
        first = np.asarray(golden["input_first"], dtype=np.float64)
        expected: Mapping[str, Any] = golden["format"]["fp32"]
        scale = float(expected["largest"])
        tolerance = float(golden["tolerance"].get(engine.precision, TOLERANCE["fp32"]))
        recorded = {name: np.asarray(expected[name], dtype=np.float64) for name in expected}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelFormatError(f"{path}: is no golden record ({error}); fetch it again") from error
    if first.shape != (_INPUT_VALUES,):
        raise ModelFormatError(f"{path}: its input_first does not fit the model; fetch it again")
    if not np.allclose(patch.ravel()[: first.size], first, rtol=1e-5, atol=1e-6):
        raise ModelFormatError(
            f"{path}: this NumPy ({np.__version__}) draws other numbers from seed "
            f"{golden['input_seed']}, so the record cannot be compared"
        )
    try:
        found = _statistics(_run(engine.logits, patch, spec.out_channels))
    except ModelFormatError as error:
        raise EngineError(
            f"{model.name}: the engine failed on the golden input: {error}"
        ) from error
    return _compare(path, recorded, found, scale=scale, tolerance=tolerance)


def _shape(golden: Mapping[str, Any], spec: Spec) -> tuple[int, ...]:
    """Read the patch's edges: whole strides of the network, at most `EDGE_VOX` rounded up."""
    *images, i, j, k = (int(edge) for edge in golden["input_shape"])
    if tuple(images) != _images(spec):
        raise ValueError(f"its input has {images} images")
    for edge, stride in zip((i, j, k), spec.stride_product, strict=True):
        if edge < 1 or edge % stride or edge > -(-EDGE_VOX // stride) * stride:
            raise ValueError(f"its input_shape is {i} x {j} x {k} voxels")
    return (*images, i, j, k)


def _read(path: Path) -> dict[str, Any]:
    try:
        golden = json.loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path}: cannot be read ({error}); fetch it again") from error
    if not isinstance(golden, dict):
        raise ModelFormatError(f"{path}: is no JSON object; fetch it again")
    return golden


def _run(
    logits_fn: Callable[[FloatArray], FloatArray], patch: FloatArray, classes: int
) -> FloatArray:
    logits = logits_fn(patch)
    if logits.shape != (classes, *patch.shape[-3:]):
        raise ModelFormatError(
            f"logits of shape {logits.shape} for a patch {patch.shape} and {classes} classes"
        )
    if not np.isfinite(logits).all():
        raise ModelFormatError("logits that are not finite")
    return logits


def _statistics(logits: FloatArray) -> dict[str, Any]:
    """Sum logits up per class, and give those of a few voxels, all in float64."""
    flat = logits.reshape(logits.shape[0], -1)
    lesion_margin = flat[-1] - flat[:-1].max(axis=0)
    return {
        "mean": [float(value) for value in flat.mean(axis=1, dtype=np.float64)],
        "std": [float(value) for value in flat.std(axis=1, dtype=np.float64)],
        "lesion_margin": float(lesion_margin.mean(dtype=np.float64)),
        "largest": float(np.abs(flat).max()),
        "probes": [[float(value) for value in values] for values in _probes(logits)],
    }


def _probes(logits: FloatArray) -> FloatArray:
    """Give the logits (27, C) of a lattice of voxels that no flip or swap maps to itself."""
    lattice = [
        [(2 * step + 1) * edge // (2 * _PROBES_PER_AXIS + 1 + axis) for step in range(3)]
        for axis, edge in enumerate(logits.shape[1:])
    ]
    i, j, k = np.meshgrid(*lattice, indexing="ij")
    return np.ascontiguousarray(logits[:, i.ravel(), j.ravel(), k.ravel()].T)


def _compare(
    path: Path,
    recorded: Mapping[str, AnyArray],
    found: Mapping[str, Any],
    *,
    scale: float,
    tolerance: float,
) -> GoldenResult:
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(tolerance) and tolerance > 0):
        raise ModelFormatError(f"{path}: its largest logit or tolerance is no positive number")
    differences: dict[str, float] = {}
    for name, value in found.items():
        expected = recorded.get(name)
        here = np.asarray(value, dtype=np.float64)
        if expected is None or expected.shape != here.shape:
            raise ModelFormatError(f"{path}: its {name} does not fit the model; fetch it again")
        differences[name] = float(np.abs(here - expected).max()) / scale
    worst = max(differences, key=lambda name: differences[name])
    # A difference that is no number fails too: it is smaller than nothing.
    passed = all(difference <= tolerance for difference in differences.values())
    return GoldenResult(passed, differences[worst], tolerance, worst)
