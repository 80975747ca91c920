"""A network that sees a head whole is compiled for any shape, and takes less memory for it."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from strokeseg.engines.choice import open_engine
from strokeseg.engines.kept_networks import KeptNetworks
from strokeseg.engines.openvino import OpenVINOEngine
from strokeseg.network.mesh_spec import MeshSpec
from strokeseg.network.state import build_onnx
from tests.networks import closeness, random_image, random_state

# Of four layers a fixed shape takes three at once, by the order in which they are placed.
SPEC = MeshSpec(2, 15, (4, 3, 2, 1), "INSTANCE", "GELU", bias=False)
STATE = random_state(SPEC)
EDGE = 80
PEAK = """
import re
from pathlib import Path
import numpy as np
from tests.engines.test_any_shape import EDGE, SPEC, STATE, opened
engine = opened(threads=1)
engine.logits(np.ones((8, 8, 8), np.float32))
image, out = np.ones((EDGE,) * 3, np.float32), np.ones((2, *(EDGE,) * 3), np.float32)
def peak():  # ru_maxrss would begin with what the process that started this one has held
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
engine.logits(image, out)
print(peak() - before)
"""


def opened(**choices):
    return open_engine(SPEC, STATE, engine="openvino", **choices)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells the peak")
def test_a_row_of_layers_takes_two_of_them_at_once():
    run = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    layer = 4 * SPEC.channels * EDGE**3
    assert 1.5 * layer < int(run.stdout) < 2.75 * layer


def test_threads_change_no_byte_and_the_shape_hardly_a_bit():
    write_graph = partial(build_onnx, SPEC, STATE, folded=True)
    image = random_image((21, 18, 25))
    fixed = OpenVINOEngine(write_graph, SPEC.out_channels, 1, "fp32").logits(image)
    one, two = (opened(threads=threads).logits(image) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)
    assert closeness(one, fixed) < 1e-5


def test_it_is_compiled_once_for_all_shapes(tmp_path):
    kept = KeptNetworks(tmp_path, "weights 0")
    images = [random_image(shape) for shape in ((16, 16, 16), (9, 20, 17))]
    plain = [opened().logits(image) for image in images]
    for _ in range(2):
        engine = opened(kept=kept)
        for image, expected in zip(images, plain, strict=True):
            np.testing.assert_array_equal(engine.logits(image), expected)
    assert len(list(tmp_path.glob("*"))) == 1
