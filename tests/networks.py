"""Small networks with random weights, and stand-ins for engines."""

from importlib.util import find_spec

import numpy as np
import pytest

from strokeseg.network.spec import NetworkSpec
from strokeseg.network.state import parameter_shapes

# The suite's leg of the oldest dependencies has no torch; the other engines are always here.
ENGINES = (
    ("openvino", "onnxruntime", "torch") if find_spec("torch") else ("openvino", "onnxruntime")
)
needs_torch = pytest.mark.skipif("torch" not in ENGINES, reason="torch is not installed")


def spec_of(**changes):
    fields = {
        "in_channels": 1,
        "out_channels": 6,
        "channels": [8, 12, 16],
        "strides": [2, 2],
        "num_res_units": 1,
        "act": "PRELU",
        "norm": "INSTANCE",
        "adn_ordering": "NDA",
    }
    return NetworkSpec.from_config({**fields, **changes})


def random_state(spec, seed=0):
    rng = np.random.default_rng(seed)
    state = {}
    for name, shape in parameter_shapes(spec).items():
        if name.endswith("adn.A.weight"):
            state[name] = rng.uniform(0.05, 0.5, shape).astype(np.float32)
        else:
            scale = 1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.5
            state[name] = rng.normal(0, scale, shape).astype(np.float32)
    return state


def random_image(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def closeness(result, expected):
    """Largest difference, as a fraction of the largest expected value."""
    assert result.shape == expected.shape
    return np.abs(result - expected).max() / np.abs(expected).max()


class PatternEngine:
    """Answers with functions of the patch and of the place in the window, as a network would."""

    name = "pattern"
    device = "cpu"
    precision = "fp32"

    def __init__(self, classes=3):
        self.classes = classes
        self.calls = []

    def logits(self, patch, out=None):
        assert patch.flags.c_contiguous
        assert patch.dtype == np.float32
        self.calls.append(patch.shape)
        if out is None:
            out = np.empty((self.classes, *patch.shape), np.float32)
        for index in range(self.classes):
            out[index] = self.answer(patch, index)
        return out

    def release(self):
        self.calls.append("release")

    @staticmethod
    def answer(patch, index):
        i, j, k = np.ogrid[tuple(slice(0, edge) for edge in patch.shape)]
        place = np.sin(0.3 * i + index) + np.cos(0.2 * j) * k / patch.shape[2]
        return ((index + 1) * patch + place).astype(np.float32)


class ConstantEngine(PatternEngine):
    """Answers with the class's index everywhere."""

    @staticmethod
    def answer(patch, index):
        return np.full(patch.shape, index, np.float32)
