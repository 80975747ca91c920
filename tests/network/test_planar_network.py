"""The three-plane network: one function in every engine, the same for the three planes."""

import json
from itertools import permutations

import numpy as np
import onnx
import pytest

from strokeseg.engines.choice import open_engine
from strokeseg.engines.footprint import window_bytes
from strokeseg.engines.scan import scan_logits
from strokeseg.engines.windows import plan_for
from strokeseg.errors import ModelFormatError
from strokeseg.network.planar_spec import PlanarSpec
from strokeseg.network.state import build_onnx, check_state, parameter_shapes, read_spec
from tests.networks import ENGINES, closeness, needs_torch, random_image, random_state

SMALL = PlanarSpec(3, (4, 6, 8), 1)
SPECS = {
    "small": SMALL,
    "two levels, two classes": PlanarSpec(2, (5, 7)),
    "the same features everywhere": PlanarSpec(6, (8, 8, 8), 3),
    "neighbours far away": PlanarSpec(3, (4, 5), 16),
    "every second slice": PlanarSpec(3, (4, 5), 1, 2),
}


def logits_of(spec, image, engine="onnxruntime", state=None):
    state = random_state(spec) if state is None else state
    return open_engine(spec, state, engine=engine, device="cpu", threads=1).logits(image)


def image_of(spec, *, cube=False):
    edge = spec.stride_product[0]
    return random_image((2 * edge,) * 3 if cube else (3 * edge, 2 * edge, 4 * edge))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_engine_gives_the_same_logits(spec):
    image = image_of(spec)
    logits = [logits_of(spec, image, name) for name in ENGINES]
    assert logits[0].shape == (spec.out_channels, *image.shape)
    assert logits[0].std() > 0
    for other in logits[1:]:
        assert closeness(other, logits[0]) < 1e-4


def test_windows_of_several_shapes_follow_each_other_in_one_engine():
    state = random_state(SMALL)
    for name in ENGINES:
        engine = open_engine(SMALL, state, engine=name, device="cpu", threads=1)
        for shape in ((8, 16, 24), (24, 8, 8)):
            image = random_image(shape)
            assert closeness(engine.logits(image), logits_of(SMALL, image)) < 1e-4


def plain_logits(spec, state, image):
    """The network written out in torch, slice by slice."""
    import torch
    from torch.nn import functional

    tensors = {name: torch.tensor(value) for name, value in state.items()}

    def conv(name, x, **how):
        return functional.conv2d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], **how)

    def block(name, x):
        inner = functional.leaky_relu(conv(f"{name}.first", x, padding=1), 0.01)
        fitted = conv(f"{name}.shortcut", x) if f"{name}.shortcut.bias" in tensors else x
        return functional.leaky_relu(fitted + conv(f"{name}.second", inner, padding=1), 0.01)

    def slice_logits(stack):
        x, skips = conv("stem", stack[None], stride=2, padding=1), []
        for level in range(len(spec.channels)):
            x = block(f"encoder.{level}", functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for level in reversed(range(len(spec.channels) - 1)):
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = block(f"decoder.{level}", torch.cat((x, skips[level]), 1))
        packed = conv("head", x)[0]
        classes, height, width = spec.out_channels, *packed.shape[1:]
        parts = packed.reshape(classes, 2, 2, height, width).permute(0, 3, 1, 4, 2)
        return parts.reshape(classes, 2 * height, 2 * width).numpy()

    total = np.zeros((spec.out_channels, *image.shape), np.float32)
    for axis in range(3):
        along = np.moveaxis(image, axis, 0)
        count = len(along)
        for place in range(0, count, spec.every_vox):
            ends = max(place - spec.gap_vox, 0), min(place + spec.gap_vox, count - 1)
            stack = np.stack([along[ends[0]], along[place], along[ends[1]]])
            shown = slice(place, place + spec.every_vox)
            np.moveaxis(total, axis + 1, 0)[shown] += slice_logits(torch.tensor(stack))
    return total / 3


@needs_torch
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_graph_is_the_mean_of_the_slices_of_three_planes(spec):
    image = image_of(spec)
    expected = plain_logits(spec, random_state(spec), image)
    assert closeness(logits_of(spec, image), expected) < 1e-4


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_planes_have_the_same_weights(order):
    """Symmetric kernels see a volume with its axes swapped as they see it: three planes alike."""
    state = random_state(SMALL)
    for name, value in state.items():
        if value.ndim == 4:
            state[name] = value + value.transpose(0, 1, 3, 2)
    # The four pixels that the head tells at once, in rows: the middle two change places.
    for name in ("head.weight", "head.bias"):
        four = state[name].reshape(3, 4, -1)
        state[name] = (four + four[:, [0, 2, 1, 3]]).reshape(state[name].shape)
    image = image_of(SMALL)
    turned = logits_of(SMALL, np.ascontiguousarray(image.transpose(order)), state=state)
    expected = logits_of(SMALL, image, state=state).transpose(0, *(1 + axis for axis in order))
    assert closeness(turned, expected) < 1e-5


@pytest.mark.parametrize("engine", ENGINES)
def test_averaged_over_the_flips_the_logits_flip_with_the_image(engine):
    opened = open_engine(SMALL, random_state(SMALL), engine=engine, device="cpu", threads=1)
    image = image_of(SMALL)
    flips = ((), (0,))
    plan = plan_for(SMALL, image.shape, max(image.shape), 0.5)
    plain = scan_logits(opened, image, plan, flips).mean
    mirrored = scan_logits(opened, np.ascontiguousarray(image[::-1]), plan, flips).mean
    assert closeness(mirrored[:, ::-1], plain) < 1e-5
    assert closeness(opened.logits(np.ascontiguousarray(image[::-1]))[:, ::-1], plain) > 1e-2


@needs_torch
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_torch_twin_has_the_tensors_that_the_spec_names(spec):
    from strokeseg.network.torch_planar import PlanarNet

    state = PlanarNet(spec).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == parameter_shapes(spec)


@needs_torch
def test_norms_that_training_has_are_folded_without_a_difference():
    import torch

    from strokeseg.network.batch_norms import fold_norms
    from strokeseg.network.torch_planar import PlanarNet

    torch.manual_seed(0)
    trained = PlanarNet(SMALL, normed=True)
    with torch.no_grad():
        for name, value in trained.state_dict().items():
            if ".norm." in name and value.is_floating_point():
                value.uniform_(0.5, 2.0)
    state = {name: value.numpy() for name, value in trained.state_dict().items()}
    folded = fold_norms(parameter_shapes(SMALL), state)
    check_state(SMALL, folded)
    image = image_of(SMALL)
    with torch.inference_mode():
        expected = trained.eval()(torch.tensor(image)[None, None])[0].numpy()
    assert closeness(logits_of(SMALL, image, state=folded), expected) < 1e-5


@needs_torch
def test_a_batch_of_two_gives_what_each_image_gives_alone():
    import torch

    from strokeseg.network.torch_planar import PlanarNet

    torch.manual_seed(0)
    network = PlanarNet(SMALL).eval()
    images = torch.randn(2, 1, 16, 40, 8)
    with torch.inference_mode():
        together = network(images)
        apart = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_config_gives_the_spec_again(spec):
    assert read_spec(json.loads(json.dumps(spec.to_config()))) == spec


REFUSED = {
    "no channels": ({"channels": None}, "channels is None"),
    "one level": ({"channels": [8]}, "2 to 8 levels"),
    "too many levels": ({"channels": [8] * 9}, "2 to 8 levels"),
    "a channel of no number": ({"channels": [8, True, 8]}, "a whole number"),
    "no gap": ({"gap_vox": 0}, "gap_vox is 0: it must be a whole number from 1"),
    "a gap of no number": ({"gap_vox": "2"}, "gap_vox is '2'"),
    "a gap beyond any head": ({"gap_vox": 17}, "gap_vox is 17: at most 16"),
    "a third of the slices": ({"every_vox": 3}, "every_vox is 3: it must be a power of two"),
    "one class": ({"out_channels": 1}, "a whole number from 2"),
    "no classes": ({"out_channels": None}, "has no out_channels"),
    "four images at once": ({"in_channels": 4}, "one image at a time"),
    "two dimensions": ({"spatial_dims": 2}, "only 3 can be built"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_built_is_refused_by_name(change, message):
    with pytest.raises(ModelFormatError, match=message):
        read_spec(SMALL.to_config() | change)


def test_several_images_at_a_time_are_refused():
    with pytest.raises(ModelFormatError, match="it takes one image, not 3"):
        read_spec(SMALL.to_config(), 3)


def test_tensors_of_another_network_are_refused():
    state = random_state(SMALL)
    with pytest.raises(ModelFormatError, match=r"lack the tensor head\.bias"):
        check_state(SMALL, {name: v for name, v in state.items() if name != "head.bias"})
    with pytest.raises(ModelFormatError, match="no place for"):
        check_state(SMALL, state | {"encoder.0.first.norm.bias": np.zeros(4, np.float32)})


def test_the_graph_is_valid_onnx_the_same_for_half_precision_and_holds_each_kernel_once():
    halves = {name: value.astype(np.float16) for name, value in random_state(SMALL).items()}
    singles = {name: value.astype(np.float32) for name, value in halves.items()}
    graph = build_onnx(SMALL, halves)
    assert graph == build_onnx(SMALL, singles)
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model, full_check=True)
    kernels = [tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 4]
    assert sorted(kernels) == sorted(name for name, v in halves.items() if v.ndim == 4)


def test_a_window_takes_memory_for_the_features_of_one_plane():
    spec, window = PlanarSpec(6, (32, 64, 128, 192, 256)), (96, 96, 96)
    finest_bytes = 4 * (3 * 32 + 64) * 96**3 // 4
    assert finest_bytes < window_bytes("openvino", "fp32", spec, window) < 3 * finest_bytes
