"""Ensembles: the mean of several networks' logits, as one network of every engine."""

import json

import numpy as np
import onnx
import pytest

from strokeseg.engines.choice import open_engine
from strokeseg.engines.footprint import footprint, window_bytes
from strokeseg.errors import ModelFormatError
from strokeseg.network.ensemble_spec import EnsembleSpec, network_prefixes, tensors_of
from strokeseg.network.half_spec import HalfSpec
from strokeseg.network.mesh_spec import MeshSpec
from strokeseg.network.planar_spec import PlanarSpec
from strokeseg.network.state import build_onnx, check_state, parameter_shapes, read_spec
from tests.networks import ENGINES, closeness, needs_torch, random_image, random_state, spec_of

UNET = spec_of(out_channels=3, strides=[[3, 2, 2], 2])
PLANAR = PlanarSpec(3, (4, 6, 8))
HALF = HalfSpec(3, (4, 6), (1, 1), (1,))
SPECS = {
    "U-Net and three planes": EnsembleSpec((UNET, PLANAR)),
    "three planes twice": EnsembleSpec((PLANAR, PLANAR)),
    "all kinds": EnsembleSpec((HALF, UNET, PLANAR)),
}
BOTH = SPECS["U-Net and three planes"]
SHAPE = (24, 16, 8)


def logits_of(spec, state, image, engine="onnxruntime"):
    return open_engine(spec, state, engine=engine, device="cpu", threads=1).logits(image)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_logits_are_the_mean_of_the_networks_logits(spec, engine):
    state, image = random_state(spec), random_image(SHAPE)
    alone = [
        logits_of(network, tensors_of(prefix, state), image)
        for prefix, network in zip(network_prefixes(spec), spec.networks, strict=True)
    ]
    assert closeness(alone[1], alone[0]) > 0.1
    assert closeness(logits_of(spec, state, image, engine), np.mean(alone, axis=0)) < 1e-4


def test_networks_of_several_images_are_averaged_too():
    several = HalfSpec(3, (4, 6), (1, 1), (1,), in_channels=2)
    spec = EnsembleSpec((several, several))
    assert read_spec(spec.to_config(), 2) == spec
    image = random_image((2, 8, 12, 4))
    logits = [logits_of(spec, random_state(spec), image, name) for name in ENGINES]
    assert all(closeness(other, logits[0]) < 1e-4 for other in logits[1:])


def test_windows_suit_every_network():
    assert UNET.stride_product == (6, 4, 4)
    assert PLANAR.stride_product == (8, 8, 8)
    assert BOTH.stride_product == (24, 8, 8)
    assert BOTH.window_rule == "blended"


@needs_torch
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_torch_twin_has_the_tensors_that_the_spec_names(spec):
    from strokeseg.network.torch_modules import build_module

    state = build_module(spec).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == parameter_shapes(spec)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_config_gives_the_spec_again(spec):
    assert read_spec(json.loads(json.dumps(spec.to_config()))) == spec


def with_second(**changes):
    first, second = BOTH.to_config()["networks"]
    return {"networks": [first, second | changes]}


REFUSED = {
    "no networks": ({"networks": None}, "networks is None: it must be a list"),
    "one network": ({"networks": [PLANAR.to_config()]}, "a list of 2 to 16"),
    "a network of no fields": ({"networks": ["unet", "unet"]}, r"networks\[0\] is 'unet'"),
    "other classes": (with_second(out_channels=4), r"networks\[1\]\.out_channels is 4"),
    "classes of none": ({"out_channels": 5}, "out_channels is 5: the networks have 3 classes"),
    "a network that cannot be built": (
        with_second(gap_vox=0),
        r"networks\[1\]: gap_vox is 0",
    ),
    "an ensemble in an ensemble": (with_second(architecture="ensemble"), r"networks\[1\]: archit"),
    "exact windows": (
        {"networks": [PLANAR.to_config(), MeshSpec(3, 4, (1, 2)).to_config()]},
        r"networks\[1\]\.architecture is 'meshnet': only networks whose windows are blended",
    ),
    "windows beyond any head": (
        {
            "networks": [
                spec_of(out_channels=3, channels=[2, 2, 2], strides=[27, 1]).to_config(),
                PlanarSpec(3, (2,) * 6).to_config(),
            ]
        },
        "edges of over 1024 voxels",
    ),
    "four images at once": ({"in_channels": 4}, "in_channels is 4"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_built_is_refused_by_name(change, message):
    with pytest.raises(ModelFormatError, match=message):
        read_spec(BOTH.to_config() | change)


def test_tensors_of_another_ensemble_are_refused():
    state = random_state(BOTH)
    lacking = {n: v for n, v in state.items() if n != "networks.1.head.bias"}
    with pytest.raises(ModelFormatError, match=r"lack the tensor networks\.1\.head\.bias"):
        check_state(BOTH, lacking)
    with pytest.raises(ModelFormatError, match="no place for"):
        check_state(BOTH, state | {"networks.2.head.bias": np.zeros(3, np.float32)})


@pytest.mark.parametrize("folded", [False, True])
def test_the_graph_is_valid_onnx(folded):
    graph = build_onnx(BOTH, random_state(BOTH), folded=folded)
    onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_memory_is_that_of_all_weights_and_of_the_costliest_window(engine):
    window = (96, 96, 96)
    opened = [footprint(engine, spec).opened for spec in (UNET, PLANAR, BOTH)]
    assert opened[2] == pytest.approx(opened[0] + opened[1], abs=2)
    alone = [window_bytes(engine, "fp32", spec, window) for spec in (UNET, PLANAR)]
    assert max(alone) < window_bytes(engine, "fp32", BOTH, window) < sum(alone) + (1 << 26)
