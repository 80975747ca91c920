"""MeshNets: one function in every engine, from random and from published weights."""

import json
from itertools import permutations, product
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import load

from strokeseg.engines.choice import open_engine
from strokeseg.engines.footprint import window_bytes
from strokeseg.engines.onnxruntime import OnnxRuntimeEngine
from strokeseg.engines.scan import scan_logits
from strokeseg.engines.windows import plan_for
from strokeseg.errors import ModelFormatError, UsageError
from strokeseg.models.conversion import convert, meshnet_names
from strokeseg.models.tensors import read_tensors
from strokeseg.network.mesh_spec import MeshSpec
from strokeseg.network.state import build_onnx, check_state, parameter_shapes, read_spec
from strokeseg.network.turning import turned_to_ras
from tests.networks import (
    ENGINES,
    closeness,
    needs_torch,
    random_image,
    random_state,
    spec_of,
)

MODELS = Path(__file__).resolve().parents[2].parent / "shared" / "models"
SMALL = MeshSpec(2, 5, (1, 2, 4))
SPECS = {
    "batch norm, ReLU": SMALL,
    "batch norm, no bias, ELU": MeshSpec(3, 4, (1, 3), "BATCH", "ELU", bias=False),
    "instance norm, GELU": MeshSpec(2, 5, (4, 2, 1), "INSTANCE", "GELU", bias=False),
    "no norm": MeshSpec(2, 3, (1, 1), "NONE", "RELU"),
    "three networks of one training": MeshSpec(2, 4, (1, 2), members=3),
}


def mesh_state(spec, seed=0):
    state = random_state(spec, seed)
    rng = np.random.default_rng(seed)
    for name in state:
        if name.endswith("running_var"):
            state[name] = rng.uniform(0.2, 2.0, state[name].shape).astype(np.float32)
    return state


def all_logits(spec, state, image):
    return [
        open_engine(spec, state, engine=name, device="cpu", threads=1).logits(image)
        for name in ENGINES
    ]


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_engine_gives_the_same_logits(spec):
    logits = all_logits(spec, mesh_state(spec), random_image((13, 9, 11)))
    assert logits[0].shape == (spec.out_channels, 13, 9, 11)
    assert logits[0].std() > 0
    for other in logits[1:]:
        assert closeness(other, logits[0]) < 1e-4


def published_arc():
    files = [MODELS / "meshnet-arc-t2" / f"restart-{n}.safetensors" for n in range(3)]
    state = {}
    for number, file in enumerate(files):
        renamed = meshnet_names(in_order(read_tensors(file)))
        state |= {f"member.{number}.{name}": value for name, value in renamed.items()}
    spec = MeshSpec(2, 26, (1, 2, 4, 8, 16, 16, 8, 4, 2), members=3)
    return spec, state


def in_order(tensors):
    """Safetensors come by name: layers of one digit, so that is the order of the network."""
    return dict(sorted(tensors.items()))


@pytest.mark.skipif(not MODELS.is_dir(), reason="other people's models are not here")
def test_the_published_lesion_networks_are_the_same_in_every_engine():
    spec, state = published_arc()
    image = np.abs(random_image((24, 20, 28)))
    logits = all_logits(spec, state, image / image.max())
    assert all(closeness(other, logits[0]) < 1e-3 for other in logits[1:])


@pytest.mark.skipif(not MODELS.is_dir(), reason="other people's models are not here")
def test_the_published_brain_network_is_the_same_in_every_engine():
    spec = MeshSpec(2, 15, (16, 8, 4, 2, 1) * 5, "INSTANCE", "GELU", bias=False)
    files = [MODELS / "mindgrab" / name for name in ("model.bin", "model.json")]
    document = spec.to_config() | {"strokeseg": {"finds": "brain"}}
    weights = convert("brainchop", files, document, "mindgrab")["model.safetensors"]
    image = np.clip(random_image((40, 33, 36)), 0, 1)
    logits = all_logits(spec, load(weights), image)
    assert all(closeness(other, logits[0]) < 1e-3 for other in logits[1:])


@needs_torch
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_torch_twin_has_the_tensors_that_the_spec_names(spec):
    from strokeseg.network.torch_mesh import MeshNet

    state = MeshNet(spec).state_dict()
    shapes = {n: tuple(t.shape) for n, t in state.items() if not n.endswith("batches_tracked")}
    assert shapes == parameter_shapes(spec)


@needs_torch
def test_the_graph_is_what_plain_torch_makes_of_the_layers():
    import torch
    from torch import nn

    spec = MeshSpec(2, 4, (1, 2), "BATCH", "ELU")
    state = {name: torch.tensor(value) for name, value in mesh_state(spec).items()}
    image = torch.tensor(random_image((1, 1, 9, 8, 10)))
    features = image
    for number, dilation in enumerate(spec.dilations):
        stem = f"layers.{number}"
        weight, bias = state[f"{stem}.conv.weight"], state[f"{stem}.conv.bias"]
        features = nn.functional.conv3d(features, weight, bias, padding=dilation, dilation=dilation)
        norm = [
            state[f"{stem}.norm.{n}"] for n in ("running_mean", "running_var", "weight", "bias")
        ]
        features = nn.functional.elu(nn.functional.batch_norm(features, *norm))
    expected = nn.functional.conv3d(features, state["head.weight"], state["head.bias"])[0].numpy()
    found = open_engine(spec, mesh_state(spec), engine="onnxruntime").logits(image[0, 0].numpy())
    assert closeness(found, expected) < 1e-5


# --- windows ---


@pytest.mark.parametrize("window", [15, 16, 19, 30])
@pytest.mark.parametrize("least", [(1, 1, 1), (40, 26, 24)])
def test_windows_that_overlap_by_what_the_network_looks_at_change_nothing(window, least):
    spec = SMALL
    engine = open_engine(spec, mesh_state(spec), engine="onnxruntime", threads=1)
    image = random_image((31, 22, 19))
    whole = plan_for(spec, image.shape, 1024, 0.5, least)
    plan = plan_for(spec, image.shape, window, 0.5, least)
    assert len(whole.starts) == 1
    assert len(plan.starts) > 1
    assert spec.reach_vox == 7
    once = scan_logits(engine, image, whole, ((),)).mean
    np.testing.assert_allclose(scan_logits(engine, image, plan, ((),)).mean, once, atol=1e-5)
    kept = scan_logits(engine, image, plan, ((),), kept_bytes=0).mean
    np.testing.assert_allclose(kept, once, atol=1e-5)


@needs_torch
def test_the_torch_engine_stitches_exact_windows_alike():
    engine = open_engine(SMALL, mesh_state(SMALL), engine="torch", threads=1)
    image = random_image((31, 22, 19))
    scans = [
        scan_logits(engine, image, plan_for(SMALL, image.shape, edge, 0.5), ((), (0,)))
        for edge in (17, 1024)
    ]
    np.testing.assert_allclose(scans[0].mean, scans[1].mean, atol=1e-5)
    np.testing.assert_allclose(
        scans[0].per_flip[1].log_odds, scans[1].per_flip[1].log_odds, atol=1e-5
    )


def test_exact_windows_cover_every_voxel_once():
    plan = plan_for(SMALL, (50, 41, 16), 20, 0.5)
    count = np.zeros(plan.image_shape, int)
    for part in plan.overlaps:
        count[part.image] += 1
    assert (count == 1).all()
    assert max(plan.window) <= 20


def test_windows_over_nothing_but_padding_say_nothing():
    engine = open_engine(SMALL, mesh_state(SMALL), engine="onnxruntime", threads=1)
    image = random_image((6, 5, 4))
    once, many = (
        scan_logits(engine, image, plan_for(SMALL, image.shape, edge, 0.5, (50, 50, 50)), ((),))
        for edge in (1024, 20)
    )
    np.testing.assert_allclose(many.mean, once.mean, atol=1e-5)


def test_a_network_with_instance_norms_has_one_window_whatever_is_asked():
    spec = SPECS["instance norm, GELU"]
    plan = plan_for(spec, (30, 20, 10), 16, 0.5, (24, 24, 24))
    assert (plan.starts, plan.window) == (((0, 0, 0),), (30, 24, 24))


def test_a_window_within_the_reach_is_refused():
    with pytest.raises(UsageError, match="looks 7 voxels to every side, so give 15 or more"):
        plan_for(SMALL, (40, 40, 40), 14, 0.5)


def test_the_published_network_looks_61_voxels_to_every_side():
    assert MeshSpec(2, 26, (1, 2, 4, 8, 16, 16, 8, 4, 2)).reach_vox == 61


# --- axes ---


ALL_AXES = [
    "".join(letters) for order in permutations(("RL", "AP", "SI")) for letters in product(*order)
]


@pytest.mark.parametrize("axes", ALL_AXES)
def test_turned_kernels_see_ras_as_plain_ones_see_their_own_axes(axes):
    spec = MeshSpec(2, 2, (1, 2), "NONE", "RELU")
    state, image = mesh_state(spec), random_image((7, 6, 5))
    turned = open_engine(spec, turned_to_ras(state, axes), engine="onnxruntime", threads=1)
    plain = open_engine(spec, state, engine="onnxruntime", threads=1)
    order = [next(i for i, pair in enumerate(("RL", "AP", "SI")) if a in pair) for a in axes]
    back = [axis for axis, letter in enumerate(axes) if letter in "LPI"]
    own = np.flip(image.transpose(order), back)
    logits = plain.logits(np.ascontiguousarray(own))
    expected = np.flip(logits, [axis + 1 for axis in back])
    expected = expected.transpose(0, *(axis + 1 for axis in np.argsort(order)))
    np.testing.assert_allclose(turned.logits(image), expected, atol=1e-5)


# --- configs and tensors ---


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_config_gives_the_spec_again(spec):
    assert read_spec(json.loads(json.dumps(spec.to_config()))) == spec


REFUSED = {
    "no channels": ({"channels": None}, "has no channels"),
    "channels of a U-Net": ({"channels": [8, 16]}, "a whole number"),
    "no layer": ({"dilations": []}, "1 to 100 layers"),
    "no dilation": ({"dilations": [1, 0]}, "a whole number from 1"),
    "a dilation beyond any head": ({"dilations": [1, 1000]}, "at most 128"),
    "a norm of another kind": ({"norm": "GROUP"}, "only BATCH, INSTANCE, NONE"),
    "an activation of another kind": ({"act": "PRELU"}, "only RELU, ELU, GELU"),
    "one class": ({"out_channels": 1}, "a whole number from 2"),
    "four images at once": ({"in_channels": 4}, "one image at a time"),
    "a thousand networks": ({"members": 1000}, "at most 16"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_built_is_refused_by_name(change, message):
    with pytest.raises(ModelFormatError, match=message):
        read_spec(SMALL.to_config() | change)


def test_tensors_of_another_network_are_refused():
    state = mesh_state(SMALL)
    with pytest.raises(ModelFormatError, match=r"lack the tensor head\.bias"):
        check_state(SMALL, {name: v for name, v in state.items() if name != "head.bias"})
    with pytest.raises(ModelFormatError, match="variances below 0"):
        check_state(SMALL, state | {"layers.1.norm.running_var": np.full(5, -1, np.float32)})
    with pytest.raises(ModelFormatError, match="no place for"):
        check_state(SMALL, state | {"layers.3.conv.bias": np.zeros(5, np.float32)})


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_graph_is_valid_onnx(spec):
    onnx.checker.check_model(onnx.load_from_string(build_onnx(spec, mesh_state(spec))))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_an_odd_number_of_features_becomes_even_by_one_that_is_0(spec):
    state, image = mesh_state(spec), random_image((9, 8, 10))
    plain, even = (build_onnx(spec, state, even=even) for even in (False, True))
    assert (even == plain) == (spec.channels % 2 == 0)
    kernels = [t for t in onnx.load_from_string(even).graph.initializer if len(t.dims) == 5]
    assert {t.dims[1] % 2 for t in kernels if t.name.endswith("head.weight")} == {0}
    found, expected = (
        OnnxRuntimeEngine(graph, spec.out_channels, "cpu", 1).logits(image)
        for graph in (even, plain)
    )
    assert closeness(found, expected) < 1e-6


def test_a_window_of_a_meshnet_takes_memory_for_its_features():
    head, published = (192, 192, 192), MeshSpec(2, 26, (1, 2, 4, 8, 16, 16, 8, 4, 2))
    taken = window_bytes("openvino", "fp32", published, head)
    assert taken > 2 * 26 * 4 * 192**3
    assert taken > window_bytes("openvino", "fp32", spec_of(), head)
