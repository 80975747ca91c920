"""The half-resolution network: one function in every engine, and refusals by name."""

import json

import numpy as np
import onnx
import pytest

from strokeseg.engines.choice import open_engine
from strokeseg.engines.footprint import window_bytes
from strokeseg.errors import ModelFormatError
from strokeseg.network.half_graph import unfold_head, unfold_stem
from strokeseg.network.half_spec import HalfSpec
from strokeseg.network.state import build_onnx, check_state, parameter_shapes, read_spec
from tests.networks import ENGINES, closeness, needs_torch, random_image, random_state, spec_of

SMALL = HalfSpec(3, (4, 6, 8), (2, 1, 2), (1, 2))
SPECS = {
    "small": SMALL,
    "two levels, two classes": HalfSpec(2, (5, 7), (1, 1), (1,)),
    "one unit everywhere": HalfSpec(6, (8, 8, 8, 8), (1, 1, 1, 1), (1, 1, 1)),
    "many units": HalfSpec(6, (8, 12), (3, 4), (3,)),
    "three images": HalfSpec(3, (4, 6, 8), (1, 2, 1), (1, 1), in_channels=3),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_engine_gives_the_same_logits(spec):
    state = random_state(spec)
    edges = [3 * spec.stride_product[0], 2 * spec.stride_product[1], 4 * spec.stride_product[2]]
    image = random_image(edges if spec.in_channels == 1 else (spec.in_channels, *edges))
    logits = [
        open_engine(spec, state, engine=name, device="cpu", threads=1).logits(image)
        for name in ENGINES
    ]
    assert logits[0].shape == (spec.out_channels, *edges)
    assert logits[0].std() > 0
    for other in logits[1:]:
        assert closeness(other, logits[0]) < 1e-4


@needs_torch
def test_packing_and_unpacking_undo_each_other():
    import torch

    from strokeseg.network.torch_half import pack, unpack

    volumes = torch.arange(2 * 3 * 4 * 6 * 8, dtype=torch.float32).reshape(2, 3, 4, 6, 8)
    packed = pack(volumes)
    assert packed.shape == (2, 24, 2, 3, 4)
    assert torch.equal(unpack(packed), volumes)
    assert packed[0, :8, 0, 0, 0].tolist() == volumes[0, 0, :2, :2, :2].reshape(-1).tolist()


@needs_torch
def test_the_stem_and_the_head_are_plain_convolutions_of_stride_two():
    import torch
    from torch.nn import functional

    from strokeseg.network.torch_half import pack, unpack

    rng = np.random.default_rng(0)
    stem = rng.normal(size=(5, 8, 3, 3, 3)).astype(np.float32)
    image = torch.tensor(rng.normal(size=(1, 1, 8, 12, 10)).astype(np.float32))
    expected = functional.conv3d(pack(image), torch.tensor(stem), padding=1)
    plain = functional.conv3d(image, torch.tensor(unfold_stem(stem)), stride=2, padding=2)
    torch.testing.assert_close(plain, expected, rtol=1e-4, atol=1e-4)
    head = rng.normal(size=(24, 7, 1, 1, 1)).astype(np.float32)
    features = torch.tensor(rng.normal(size=(1, 7, 3, 4, 5)).astype(np.float32))
    expected = unpack(functional.conv3d(features, torch.tensor(head)))
    plain = functional.conv_transpose3d(features, torch.tensor(unfold_head(head, 3)), stride=2)
    torch.testing.assert_close(plain, expected, rtol=1e-4, atol=1e-4)


@needs_torch
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_torch_twin_has_the_tensors_that_the_spec_names(spec):
    from strokeseg.network.torch_half import HalfUNet

    state = HalfUNet(spec).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == parameter_shapes(spec)
    coarse = set(HalfUNet(spec, depths=1).state_dict()) - set(state)
    assert coarse == {"aux.0.weight", "aux.0.bias"}


@needs_torch
def test_a_batch_of_two_gives_what_each_image_gives_alone():
    import torch

    from strokeseg.network.torch_half import HalfUNet

    torch.manual_seed(0)
    network = HalfUNet(SMALL).eval()
    images = torch.randn(2, 1, 16, 16, 24)
    with torch.inference_mode():
        together = network(images)
        apart = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_config_gives_the_spec_again(spec):
    assert read_spec(json.loads(json.dumps(spec.to_config())), spec.in_channels) == spec


def test_a_config_without_architecture_is_a_unet():
    plain = spec_of()
    assert read_spec(plain.to_config()) == plain


REFUSED = {
    "architecture": ({"architecture": "transformer"}, "only unet, half-resolution-unet, meshnet"),
    "no channels": ({"channels": None}, "channels is None"),
    "one level": ({"channels": [8]}, "2 to 8 levels"),
    "too many levels": ({"channels": [8] * 9}, "2 to 8 levels"),
    "a channel of no number": ({"channels": [8, True, 8]}, "a whole number"),
    "units of another depth": ({"encoder_units": [1, 1]}, "an entry for each level"),
    "units on the way up": ({"decoder_units": [1, 1, 1]}, "each level but one"),
    "no unit": ({"decoder_units": [1, 0]}, "a whole number from 1"),
    "one class": ({"out_channels": 1}, "a whole number from 2"),
    "no classes": ({"out_channels": None}, "has no out_channels"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_built_is_refused_by_name(change, message):
    with pytest.raises(ModelFormatError, match=message):
        read_spec(SMALL.to_config() | change)


def test_tensors_of_another_network_are_refused():
    state = random_state(SMALL)
    with pytest.raises(ModelFormatError, match=r"lack the tensor head\.bias"):
        check_state(SMALL, {name: v for name, v in state.items() if name != "head.bias"})
    with pytest.raises(ModelFormatError, match="no place for"):
        check_state(SMALL, state | {"aux.0.bias": np.zeros(3, np.float32)})


def test_the_graph_is_valid_onnx_and_the_same_for_half_precision():
    halves = {name: value.astype(np.float16) for name, value in random_state(SMALL).items()}
    singles = {name: value.astype(np.float32) for name, value in halves.items()}
    graph = build_onnx(SMALL, halves)
    assert graph == build_onnx(SMALL, singles)
    onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)


def test_a_window_takes_less_memory_than_the_papers_network_does():
    paper = spec_of(channels=[32, 64, 128, 256, 320, 320], strides=[2] * 5)
    half = HalfSpec(6, (32, 64, 128, 256, 320), (1, 2, 2, 2, 2), (2, 2, 2, 1))
    shape = (96, 96, 96)
    assert (
        0
        < window_bytes("openvino", "fp32", half, shape)
        < window_bytes("openvino", "fp32", paper, shape)
    )
