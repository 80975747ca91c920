"""Malformed configs, weights, golden records and registries."""

import json
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from strokeseg.errors import ModelFormatError
from strokeseg.models.config import ModelConfig
from strokeseg.models.folder import read_model_folder
from strokeseg.models.golden import check_golden
from strokeseg.models.registry import load_registry
from strokeseg.models.tensors import read_tensors
from strokeseg.network.spec import NetworkSpec
from tests.fuzz import trial as trials
from tests.fuzz.seeds import mix, seeds
from tests.tiny_models import CONFIG, OWN, tiny_files, write_files, write_registry

MEGABYTE = 1_000_000


def refusal_of_config(**changes):
    with pytest.raises(ModelFormatError) as caught:
        ModelConfig.from_config(CONFIG | changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("out_channels", 10**9),
        ("num_res_units", 10**9),
        ("channels", [1] * 400_000),
        ("strides", [10**6, 10**6]),
        ("strides", [10**400, 2]),
        ("kernel_size", 10**400 * 2),
        ("dropout", 10**400),
        ("act", "x" * 900_000),
    ],
)
def test_a_network_that_only_fills_memory_is_refused_before_it_is_laid_out(field, value):
    """A config of a few bytes must not ask for a billion class names, levels or voxels."""
    started = time.perf_counter()
    tracemalloc.start()
    try:
        message = refusal_of_config(**{field: value})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert message.startswith(f"config.json: {field} is ")
    assert len(message) < 300, "a long value is cut"
    assert peak < 20 * MEGABYTE
    assert time.perf_counter() - started < trials.LONGEST_S


@pytest.mark.parametrize("value", [10**400, -(10**400), float("nan"), float("inf")])
def test_numbers_that_no_float_holds_are_refused(value):
    for name in ("voxel_size_mm", "min_volume_ml", "min_peak", "threshold"):
        assert f"strokeseg.{name} is " in refusal_of_config(strokeseg=OWN | {name: value})


@pytest.mark.parametrize("name", ["", "a\nb", "\ud800", "\x1b[31m", "x" * 101])
def test_class_names_that_cannot_be_written_are_refused(name):
    names = [name, "GM", "GM/WM", "WM", "CSF", "lesion"]
    message = refusal_of_config(strokeseg=OWN | {"class_names": names})
    assert "is not 1 to 100 printable characters" in message
    assert message.isprintable()


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(
    levels=st.lists(st.tuples(st.integers(1, 64), st.integers(1, 4)), min_size=1, max_size=5),
    units=st.integers(0, 3),
    kernel=st.sampled_from([1, 3, 5, [3, 3, 1]]),
    ordering=st.sampled_from(["NDA", "AN", "", "DAN"]),
)
def test_every_network_that_can_be_read_is_written_as_it_was(levels, units, kernel, ordering):
    channels, strides = zip(*levels, strict=True)
    config = CONFIG | {"channels": [*channels, 8], "strides": list(strides)}
    config |= {"num_res_units": units, "kernel_size": kernel, "adn_ordering": ordering}
    spec = NetworkSpec.from_config(config)
    assert NetworkSpec.from_config(json.loads(json.dumps(spec.to_config()))) == spec


def test_a_scalar_tensor_stays_a_scalar(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({"a": np.array(2.5, np.float32), "b": np.zeros((0, 3), np.float32)}))
    tensors = read_tensors(path)
    assert tensors["a"].shape == ()
    assert tensors["b"].shape == (0, 3)


def test_doubles_beyond_float32_are_refused_without_a_warning(tmp_path):
    state = {"a": np.array([1e300])}
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(state))
    assert np.isinf(read_tensors(path)["a"]).all()


GOLDEN = json.loads(seeds("golden")[0])
FP32 = GOLDEN["format"]["fp32"]


@pytest.mark.parametrize(
    "changes",
    [
        {"input_shape": [2**31, 12, 12]},
        {"input_shape": [100_000, 100_000, 100_000]},
        {"input_shape": [-4, 4, 4]},
        {"input_shape": [13, 12, 12]},
        {"input_shape": [float("inf"), 12, 12]},
        {"input_seed": float("inf")},
        {"input_first": []},
        {"input_first": [0.0] * 9},
        {"input_first": [10**400]},
        {"format": {"fp32": FP32 | {"largest": 10**400}}},
        {"format": {"fp32": FP32 | {"mean": [10**400] * 3}}},
    ],
)
def test_a_golden_record_that_asks_for_too_much_or_for_nonsense_is_refused(changes, tmp_path):
    files = tiny_files({**OWN, "class_names": ["a", "b", "lesion"]}, out_channels=3)
    folder = write_files(tmp_path / "m", files)
    (folder / "golden.json").write_text(json.dumps(GOLDEN | changes))
    model = read_model_folder(folder, name="m")
    engine = type("Engine", (), {"logits": staticmethod(mix), "precision": "fp32"})()
    with pytest.raises(ModelFormatError, match=r"golden\.json"):
        check_golden(model, engine)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000])
def test_a_golden_record_nested_without_end_is_refused(content, tmp_path):
    folder = write_files(tmp_path / "m", tiny_files())
    (folder / "golden.json").write_text(content)
    with pytest.raises(ModelFormatError, match=r"golden\.json: cannot be read"):
        check_golden(read_model_folder(folder, name="m"), None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("note", 5),
        ("repository", True),
        ("repository", "../../etc"),
        ("repository", "a/b/c"),
        ("size_bytes", "many"),
        ("classes", ["background", 1, "lesion"]),
        ("sha256", int("1" * 64)),
    ],
)
def test_a_registry_entry_of_another_type_is_refused(field, value, tmp_path):
    path = write_registry(tmp_path, {"one": {"repository": "lab/one", field: value}}, "one")
    with pytest.raises(ModelFormatError, match=f"model one: {field}"):
        load_registry(path)
