"""Networks that take several images at a time, as a second stage does."""

import numpy as np
import pytest

from strokeseg.engines.choice import open_engine
from strokeseg.engines.footprint import window_bytes
from strokeseg.engines.scan import scan_logits
from strokeseg.engines.windows import plan_windows
from strokeseg.errors import ModelFormatError
from strokeseg.network.half_spec import HalfSpec
from strokeseg.network.mesh_spec import MeshSpec
from strokeseg.network.spec import NetworkSpec
from strokeseg.network.state import read_spec
from tests.networks import ENGINES, closeness, random_image, random_state, spec_of

IMAGES = 3
SPECS = {
    "unet": NetworkSpec.from_config(spec_of().to_config() | {"in_channels": IMAGES}, IMAGES),
    "half": HalfSpec(3, (4, 6), (1, 1), (1,), in_channels=IMAGES),
}


def opened(spec, engine):
    return open_engine(spec, random_state(spec), engine=engine, device="cpu", threads=1)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_engine_sees_all_of_them(spec):
    images = random_image((IMAGES, 8, 12, 16))
    said = [opened(spec, engine).logits(images) for engine in ENGINES]
    assert said[0].shape == (spec.out_channels, 8, 12, 16)
    for other in said[1:]:
        assert closeness(other, said[0]) < 1e-4
    for image in range(IMAGES):
        changed = images.copy()
        changed[image] *= -1
        assert closeness(opened(spec, ENGINES[0]).logits(changed), said[0]) > 1e-2


@pytest.mark.parametrize("engine", ENGINES)
def test_windows_of_several_images_are_stitched_as_those_of_one(engine):
    spec = SPECS["half"]
    images, plan = random_image((IMAGES, 16, 12, 10)), plan_windows((16, 12, 10), 8, 0.5, 4)
    runner = opened(spec, engine)
    said = scan_logits(runner, images, plan, ((),)).mean
    padded = np.zeros((IMAGES, *plan.padded_shape), np.float32)
    inside = [slice(b, b + n) for b, n in zip(plan.pad_before, images.shape[1:], strict=True)]
    padded[:, *inside] = images
    total, weight = np.zeros_like(said), np.zeros(said.shape[1:], np.float32)
    for start, part in zip(plan.starts, plan.overlaps, strict=True):
        box = [slice(s, s + e) for s, e in zip(start, plan.window, strict=True)]
        logits = runner.logits(np.ascontiguousarray(padded[:, *box]))
        total[:, *part.image] += (logits * plan.weights)[:, *part.window]
        weight[part.image] += plan.weights[part.window]
    assert closeness(said, total / weight) < 1e-5


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_spec_is_read_for_as_many_images_as_it_takes_alone(spec):
    config = spec.to_config()
    assert read_spec(config, IMAGES) == spec
    with pytest.raises(ModelFormatError, match=r"in_channels is 3.*its stage has 2 channels"):
        read_spec(config, 2)
    with pytest.raises(ModelFormatError, match=r"in_channels is 3.*one image at a time"):
        read_spec(config)


def test_a_meshnet_takes_one_image():
    config = MeshSpec(2, 4, (1, 2)).to_config()
    assert read_spec(config) == MeshSpec(2, 4, (1, 2))
    with pytest.raises(ModelFormatError, match=r"architecture.*one image, not 3"):
        read_spec(config, IMAGES)


def test_more_images_take_more_memory():
    one = HalfSpec(3, (4, 6), (1, 1), (1,))
    sizes = [window_bytes("openvino", "fp32", spec, (32, 32, 32)) for spec in (one, SPECS["half"])]
    assert sizes[0] < sizes[1]
