import numpy as np
import onnx
import pytest
import torch
from monai.networks.nets import UNet as MonaiUNet

from strokeseg.engines.choice import open_engine
from strokeseg.errors import ModelFormatError
from strokeseg.network.blueprint import parameter_shapes
from strokeseg.network.spec import NetworkSpec
from strokeseg.network.state import build_onnx, check_state, strip_prefix
from strokeseg.network.torch_unet import UNet
from tests.networks import closeness, random_image, random_state, spec_of

PAPER = {"channels": [32, 64, 128, 256, 320, 320], "strides": [2] * 5, "dropout": 0.2}
ARCHITECTURES = {
    "two classes": {"out_channels": 2},
    "six classes": {"out_channels": 6},
    "no residual units": {"num_res_units": 0},
    "no residual units, two classes": {"num_res_units": 0, "out_channels": 2},
    "two residual units": {"num_res_units": 2},
    "three residual units": {"num_res_units": 3, "channels": [4, 6]},
    "two levels": {"channels": [4, 8], "strides": [2]},
    "four levels": {"channels": [4, 4, 8, 6], "strides": [2, 2, 2]},
    "strides of 1 and 3": {"channels": [4, 4, 8, 6], "strides": [1, 3, 2]},
    "a stride per axis": {"strides": [[2, 2, 1], [1, 2, 2]]},
    "strides of 4": {"channels": [4, 8], "strides": [4]},
    "strides left over": {"strides": [2, 2, 2, 2]},
    "no bias": {"bias": False},
    "no bias, no residual units": {"bias": False, "num_res_units": 0},
    "kernels of 5": {"kernel_size": 5, "up_kernel_size": 5},
    "kernels of 1": {"kernel_size": 1, "up_kernel_size": 1},
    "a kernel per axis": {"kernel_size": [3, 1, 5], "up_kernel_size": [1, 5, 3]},
    "activation first": {"adn_ordering": "ADN"},
    "dropout first": {"adn_ordering": "DNA"},
    "norm alone": {"adn_ordering": "N"},
    "activation alone": {"adn_ordering": "A", "num_res_units": 2},
    "relu": {"act": "RELU"},
    "leaky relu": {"act": "leakyrelu", "norm": "instance"},
    "the same features throughout": {"channels": [6, 6, 6], "strides": [1, 1]},
}


def monai_of(spec, **changes):
    fields = spec.to_config()
    fields["strides"] = list(spec.strides)
    return MonaiUNet(**{**fields, **changes}).eval()


def with_state(network, state):
    network.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    return network.eval()


def run(network, image):
    with torch.inference_mode():
        return network(torch.from_numpy(image)[None, None])[0].numpy()


@pytest.mark.parametrize("fields", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_every_engine_gives_the_logits_of_monais_unet(fields):
    spec = spec_of(**fields)
    state = random_state(spec)
    monai = with_state(monai_of(spec), state)
    multiple = spec.stride_product
    engines = [
        open_engine(spec, state, engine=name, device="cpu", threads=1)
        for name in ("openvino", "onnxruntime", "torch")
    ]
    for times in ((4, 4, 4), (2, 5, 3)):
        image = random_image([m * t for m, t in zip(multiple, times, strict=True)])
        expected = run(monai, image)
        for engine in engines:
            assert closeness(engine.logits(image), expected) < 1e-3, engine.name


@pytest.mark.parametrize("classes", [2, 6])
@pytest.mark.parametrize("shape", [(64, 64, 64), (32, 96, 64)])
def test_every_engine_gives_the_logits_of_the_papers_network(classes, shape):
    spec = spec_of(out_channels=classes, **PAPER)
    state = random_state(spec)
    image = random_image(shape)
    expected = run(with_state(monai_of(spec), state), image)
    for name in ("openvino", "onnxruntime", "torch"):
        engine = open_engine(spec, state, engine=name, device="cpu", threads=1)
        assert closeness(engine.logits(image), expected) < 1e-3, name


@pytest.fixture(scope="module")
def large_window():
    """A network, a window of four million voxels, and its logits in double precision."""
    spec = spec_of(channels=[4, 4], strides=[2])
    state, image = random_state(spec), random_image((192, 160, 128))
    network = with_state(UNet(spec), state).double()
    with torch.inference_mode():
        expected = network(torch.from_numpy(image)[None, None].double())[0].numpy()
    return spec, state, image, expected


@pytest.mark.parametrize("name", ["openvino", "onnxruntime", "torch"])
def test_large_windows_lose_no_precision(name, large_window):
    # Single-precision sums over millions of voxels go astray unless they are taken in parts.
    spec, state, image, expected = large_window
    result = open_engine(spec, state, engine=name, device="cpu", threads=1).logits(image)
    assert closeness(result, expected) < 5e-4


def test_the_papers_network_has_its_18_6_million_parameters():
    shapes = parameter_shapes(spec_of(**PAPER))
    assert sum(np.prod(shape) for shape in shapes.values()) == pytest.approx(18.6e6, rel=0.01)
    assert spec_of(**PAPER).stride_product == (32, 32, 32)


@pytest.mark.parametrize("fields", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_tensors_are_named_and_shaped_as_monais(fields):
    spec = spec_of(**fields)
    shapes = {name: tuple(t.shape) for name, t in monai_of(spec).state_dict().items()}
    assert parameter_shapes(spec) == shapes
    assert {n: tuple(t.shape) for n, t in UNet(spec).state_dict().items()} == shapes


def test_dropout_acts_in_training_only():
    network = UNet(spec_of(dropout=0.5))
    image = torch.from_numpy(random_image((16, 16, 16)))[None, None]
    with torch.no_grad():
        network.train()
        assert not torch.equal(network(image), network(image))
        network.eval()
        assert torch.equal(network(image), network(image))


def test_a_spec_survives_the_way_through_config_json():
    for fields in ARCHITECTURES.values():
        spec = spec_of(**fields)
        assert NetworkSpec.from_config(spec.to_config()) == spec


def test_absent_fields_take_monais_defaults():
    config = {"in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
    spec = NetworkSpec.from_config(config)
    plain = MonaiUNet(3, 1, 2, [4, 8], [2])
    assert set(parameter_shapes(spec)) == set(plain.state_dict())


REFUSALS = {
    "spatial_dims": (2, "only 3 can be built"),
    "in_channels": (4, "only networks that take one image at a time"),
    "out_channels": (1, "a whole number from 2"),
    "channels": ([8], "at least two levels"),
    "strides": ([2], "a stride for each of the 2 steps down"),
    "kernel_size": (4, "kernels must be odd"),
    "up_kernel_size": ([3, 3], "one number or three"),
    "num_res_units": (-1, "a whole number from 0"),
    "act": ("SWISH", "only PRELU, RELU, LEAKYRELU can be built"),
    "norm": ("BATCH", "only INSTANCE can be built"),
    "dropout": (1.5, "a probability below 1"),
    "bias": ("yes", "true or false"),
    "adn_ordering": ("NXA", "only the letters N, D and A"),
}


@pytest.mark.parametrize("field", REFUSALS)
def test_what_cannot_be_built_is_refused_by_name(field):
    value, why = REFUSALS[field]
    with pytest.raises(ModelFormatError) as error:
        spec_of(**{field: value})
    message = str(error.value)
    assert message.startswith(f"config.json: {field} is {value!r}: ")
    assert why in message
    assert "\n" not in message
    assert error.value.exit_code == 65


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channels", "8, 16"),
        ("channels", [8, 0]),
        ("channels", [8, 2.5]),
        ("strides", [2, 0]),
        ("strides", [2, [2, 2]]),
        ("num_res_units", True),
        ("act", ["PRELU", {"init": 0.1}]),
        ("norm", None),
        ("adn_ordering", "NAN"),
        ("dropout", "0.2"),
    ],
)
def test_malformed_fields_are_refused_by_name(field, value):
    with pytest.raises(ModelFormatError, match=f"config.json.* {field}"):
        spec_of(**{field: value})


@pytest.mark.parametrize("field", ["in_channels", "out_channels", "channels", "strides"])
def test_fields_without_a_default_must_be_there(field):
    config = spec_of().to_config()
    del config[field]
    with pytest.raises(ModelFormatError, match=f"config.json.* {field}"):
        NetworkSpec.from_config(config)


def damaged(**changes):
    spec = spec_of()
    state = random_state(spec)
    for name, value in changes.items():
        if value is None:
            del state[name.replace("__", ".")]
        else:
            state[name.replace("__", ".")] = value
    return spec, state


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__0__residual__bias": None}, "weights lack the tensor model.0.residual.bias"),
        ({"model__9__weight": np.ones(3)}, "weights hold the tensor model.9.weight"),
        (
            {"model__0__residual__bias": np.ones(9, np.float32)},
            r"tensor model.0.residual.bias has shape \(9,\), config.json asks for \(8,\)",
        ),
        ({"model__0__residual__bias": np.ones(8, np.int64)}, "residual.bias is of type int64"),
        (
            {"model__0__residual__bias": np.full(8, np.nan, np.float32)},
            "model.0.residual.bias holds values that are not finite",
        ),
    ],
)
def test_tensors_of_another_network_are_refused_by_name(changes, message):
    spec, state = damaged(**changes)
    with pytest.raises(ModelFormatError, match=message) as error:
        check_state(spec, state)
    assert "\n" not in str(error.value)
    with pytest.raises(ModelFormatError, match=message):
        build_onnx(spec, state)


def test_the_prefix_of_the_published_weights_is_dropped():
    state = random_state(spec_of())
    assert strip_prefix({f"unet.{name}": value for name, value in state.items()}) == state
    assert strip_prefix(state) == state


def test_half_precision_weights_are_taken_as_they_are():
    spec = spec_of()
    halves = {name: value.astype(np.float16) for name, value in random_state(spec).items()}
    singles = {name: value.astype(np.float32) for name, value in halves.items()}
    assert build_onnx(spec, halves) == build_onnx(spec, singles)


@pytest.mark.parametrize("fields", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_the_graph_is_valid_onnx_with_a_free_window(fields):
    spec = spec_of(**fields)
    model = onnx.load_from_string(build_onnx(spec, random_state(spec)))
    onnx.checker.check_model(model, full_check=True)
    patch, logits = model.graph.input[0], model.graph.output[0]
    assert (patch.name, logits.name) == ("patch", "logits")
    dims = [d.dim_param or d.dim_value for d in patch.type.tensor_type.shape.dim]
    assert dims == [1, 1, "I", "J", "K"]
