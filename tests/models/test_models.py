import io
import json
import pickle
import re
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save

from strokeseg.errors import ModelFormatError, UsageError, WeightsUnavailableError
from strokeseg.files.checksums import sha256
from strokeseg.models import loading
from strokeseg.models import registry as registry_module
from strokeseg.models.config import ModelConfig
from strokeseg.models.finding import find_model, load_model_files
from strokeseg.models.golden import check_golden, make_golden
from strokeseg.models.loading import Hardware, load_model
from tests.tiny_models import (
    CONFIG,
    isolate,
    raw_safetensors,
    tiny_files,
    tiny_state,
    write_files,
    write_registry,
)


@pytest.fixture(autouse=True)
def _own_home(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path / "home")


@pytest.fixture
def folder(tmp_path):
    return write_files(tmp_path / "tiny", tiny_files())


def use_registry(monkeypatch, path):
    monkeypatch.setattr(registry_module, "registry_path", lambda: path)


# --- reading a folder ---


def test_a_folder_gives_config_tensors_and_checksum(folder):
    model = load_model_files(str(folder))
    assert (model.name, model.folder, model.revision) == ("tiny", folder, None)
    assert model.sha256 == sha256(folder / "model.safetensors")
    config = model.config
    assert (config.voxel_size_mm, config.window, config.normalisation) == (2.0, 96, "zscore")
    assert (config.threshold, config.min_volume_ml, config.brain_mask) == (0.4, 0.05, True)
    assert config.provenance == {"steps": 10}
    expected = tiny_state()
    assert set(model.state) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(model.state[name], values)


def test_a_published_config_takes_the_published_chain(tmp_path):
    model = load_model_files(str(write_files(tmp_path / "p", tiny_files(own=None))))
    config = model.config
    assert (config.voxel_size_mm, config.window, config.normalisation) == (1.0, 192, "histogram")
    assert (config.threshold, config.min_volume_ml, config.brain_mask) == (None, 0.0, True)
    assert config.class_names == ("background", "GM", "GM/WM", "WM", "CSF", "lesion")


def test_two_classes_know_no_brain_and_other_counts_have_numbered_names():
    two = ModelConfig.from_config(CONFIG | {"out_channels": 2})
    assert (two.class_names, two.brain_mask) == (("background", "lesion"), False)
    four = ModelConfig.from_config(CONFIG | {"out_channels": 4})
    assert four.class_names == ("background", "class 1", "class 2", "lesion")


def test_float16_and_the_prefix_unet_are_read_as_float32_under_plain_names(tmp_path):
    folder = write_files(tmp_path / "half", tiny_files(dtype=np.float16, prefix="unet."))
    state = load_model_files(str(folder)).state
    assert {values.dtype for values in state.values()} == {np.dtype(np.float32)}
    for name, values in tiny_state(dtype=np.float16).items():
        np.testing.assert_array_equal(state[name], values.astype(np.float32))


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"voxel_size_mm": 0}, "strokeseg.voxel_size_mm is 0, outside 0.1 to 10"),
        ({"voxel_size_mm": "1"}, "strokeseg.voxel_size_mm is '1', not a number"),
        ({"voxel_size_mm": True}, "strokeseg.voxel_size_mm is True, not a number"),
        ({"window": 1.5}, "strokeseg.window is 1.5"),
        ({"window": 4}, "strokeseg.window is 4"),
        ({"normalisation": "rank"}, "strokeseg.normalisation is 'rank', not one of"),
        ({"axes": "RAR"}, "strokeseg.axes is 'RAR', not three letters"),
        ({"axes": "LIA"}, "strokeseg.axes is LIA, and a network with strides sees RAS alone"),
        ({"padding": "mirror"}, "strokeseg.padding is 'mirror', not one of zero, darkest"),
        ({"least_size": 64}, "strokeseg.least_size is of no use"),
        ({"least_size": [1, 2]}, "strokeseg.least_size is [1, 2], not one or three"),
        ({"quantiles": [0.9, 0.1]}, "strokeseg.quantiles is [0.9, 0.1], not two rising shares"),
        ({"sequences": "t2"}, "strokeseg.sequences must be a list of names"),
        ({"finds": "tumour"}, "strokeseg.finds is 'tumour', not one of lesion, brain"),
        ({"flips": 8}, "strokeseg.flips is 8, not true or false"),
        ({"class_names": ["a", "b"]}, "2 different class names for 6 output channels"),
        ({"class_names": "abcdef"}, "strokeseg.class_names must be a list"),
        ({"threshold": 1.5}, "strokeseg.threshold is 1.5, outside 0.0001 to 0.9999"),
        ({"threshold": 0}, "strokeseg.threshold is 0, outside 0.0001 to 0.9999"),
        ({"threshold": 1.0}, "strokeseg.threshold is 1.0, outside 0.0001 to 0.9999"),
        ({"min_volume_ml": -1}, "strokeseg.min_volume_ml is -1, outside"),
        ({"min_peak": 1.5}, "strokeseg.min_peak is 1.5, outside"),
        ({"brain_mask": "yes"}, "strokeseg.brain_mask is 'yes', not true or false"),
        ({"training": []}, "strokeseg.training must be a table"),
        ({"treshold": 0.5}, "unknown setting strokeseg.treshold"),
        ([], "strokeseg must be a table"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_and_folder(tmp_path, own, message):
    folder = write_files(tmp_path / "m", tiny_files(own=own))
    with pytest.raises(ModelFormatError, match=re.escape(message)) as caught:
        load_model_files(str(folder))
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_four_input_channels_are_refused_clearly(tmp_path):
    files = tiny_files()
    files["config.json"] = json.dumps(CONFIG | {"in_channels": 4}).encode()
    with pytest.raises(ModelFormatError, match="in_channels is 4") as caught:
        load_model_files(str(write_files(tmp_path / "four", files)))
    assert caught.value.exit_code == 65


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe", b"", b"[" * 100_000])
def test_a_config_that_is_no_json_object_is_refused(folder, content):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"config\.json"):
        load_model_files(str(folder))


def test_an_enormous_config_is_refused_unread(folder):
    with (folder / "config.json").open("wb") as file:
        file.truncate(2_000_000)
    with pytest.raises(ModelFormatError, match="over 1 MB"):
        load_model_files(str(folder))


# --- damaged and foreign weights ---


class Bomb:
    """A pickle of this writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def bombs(path):
    """Give a bare pickle and a PyTorch-like zip that would both create `path` when unpickled."""
    bare = pickle.dumps(Bomb(path))
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w") as file:
        file.writestr("archive/data.pkl", bare)
    return {"bare": bare, "zip": box.getvalue(), "protocol 2": pickle.dumps(Bomb(path), 2)}


@pytest.mark.parametrize("kind", ["bare", "zip", "protocol 2"])
def test_a_pickle_called_safetensors_is_refused_unread(folder, tmp_path, kind):
    (folder / "model.safetensors").write_bytes(bombs(tmp_path / "bang")[kind])
    with pytest.raises(ModelFormatError, match="is a pickle") as caught:
        load_model_files(str(folder))
    assert caught.value.exit_code == 65
    assert not (tmp_path / "bang").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "best.pt", "model.pth", "last.ckpt"])
def test_a_folder_with_a_pickle_alone_is_refused_unread(folder, tmp_path, name):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(bombs(tmp_path / "bang")["zip"])
    with pytest.raises(ModelFormatError, match=rf"holds {name}, a pickle"):
        load_model_files(str(folder))
    with pytest.raises(ModelFormatError, match="is a pickle"):
        load_model_files(str(folder / name))
    assert not (tmp_path / "bang").exists()


def test_weights_that_are_no_pickle_are_not_called_one(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.bin").write_bytes(np.arange(8, dtype="<f4").tobytes())
    for given, said in ((folder, "holds model.bin, no safetensors"), (folder / "model.bin", "is")):
        with pytest.raises(ModelFormatError, match=rf"{said}.*save the weights") as caught:
            load_model_files(str(given))
        assert "pickle" not in str(caught.value)
    (folder / "model.json").write_text('{"weightsManifest": []}')
    with pytest.raises(
        ModelFormatError, match=r"holds model\.bin, bare numbers that model\.json"
    ) as (caught):
        load_model_files(str(folder))
    assert "weights download mindgrab" in str(caught.value)
    assert "pickle" not in str(caught.value)


def test_a_header_that_starts_like_a_pickle_is_read_all_the_same(folder):
    content = tiny_files()["model.safetensors"]
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].rstrip()
    low = {b"\x80" + bytes([i]) for i in (2, 3, 4, 5)}
    padded = header + b" " * ((0x0580 - len(header)) % 0x10000)
    rebuilt = raw_safetensors(padded, content[8 + length :])
    assert rebuilt[:2] in low
    (folder / "model.safetensors").write_bytes(rebuilt)
    assert load_model_files(str(folder)).state


@pytest.mark.parametrize("kept", [0, 5, 8, 9, 300, -1, -1000])
def test_truncated_weights_are_refused(folder, kept):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:kept])
    with pytest.raises(ModelFormatError, match=r"model\.safetensors"):
        load_model_files(str(folder))


def test_a_header_longer_than_the_file_is_refused_before_it_is_read(folder):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    for claimed in (len(content), 2**40, 2**63):
        path.write_bytes(claimed.to_bytes(8, "little") + content[8:])
        with pytest.raises(ModelFormatError, match=f"header claims {claimed} bytes"):
            load_model_files(str(folder))


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": F32 | {"shape": [3]}}, "tensor a of shape (3,)"),
        ({"a": F32 | {"shape": [2**62]}}, "tensor a of shape"),
        ({"a": F32 | {"data_offsets": [0, 80]}}, "tensor a ends at byte 80"),
        ({"a": F32 | {"data_offsets": [8, 0]}}, "tensor a of shape"),
        ({"a": F32 | {"data_offsets": [-8, 0]}}, "tensor a has no valid shape"),
        ({"a": F32 | {"dtype": "I64"}}, "tensor a is of type I64"),
        ({"a": F32 | {"dtype": "BF16"}}, "tensor a is of type BF16"),
        ({"a": {"dtype": "F32"}}, "tensor a has no valid entry"),
        ({"a": 1}, "tensor a has no valid entry"),
        ({"a": F32, "b": F32}, "not a valid safetensors file"),
        ({}, "holds no tensors"),
        ({"__metadata__": {"format": "pt"}}, "holds no tensors"),
        (b"{nonsense}", "no JSON"),
        (b"{" * 50_000, "no JSON"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(folder, header, message):
    (folder / "model.safetensors").write_bytes(raw_safetensors(header, bytes(8)))
    with pytest.raises(ModelFormatError, match=re.escape(message)):
        load_model_files(str(folder))


def test_a_git_lfs_pointer_says_so(folder):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    (folder / "model.safetensors").write_bytes(pointer)
    with pytest.raises(ModelFormatError, match="git lfs pull"):
        load_model_files(str(folder))


def test_tensors_of_another_network_are_refused_by_name(folder):
    state = tiny_state()
    name = sorted(state)[0]
    for changed in (
        {key: value for key, value in state.items() if key != name},
        state | {name: np.zeros((1, 2, 3), np.float32)},
        state | {name: np.full_like(state[name], np.nan)},
    ):
        (folder / "model.safetensors").write_bytes(save(changed))
        with pytest.raises(ModelFormatError, match=re.escape(name)) as caught:
            load_model_files(str(folder))
        assert str(folder) in str(caught.value)
    (folder / "model.safetensors").write_bytes(save(state | {"extra": np.zeros(1, np.float32)}))
    with pytest.raises(ModelFormatError, match="extra"):
        load_model_files(str(folder))


# --- finding by name ---


def test_an_unknown_name_lists_the_known_ones(monkeypatch, tmp_path):
    use_registry(monkeypatch, write_registry(tmp_path, {"one": {"folder": "one"}}, "one"))
    for name in ("two", "./two", ""):
        with pytest.raises(WeightsUnavailableError, match="one of one") as caught:
            find_model(name)
        assert caught.value.exit_code == 69


def test_the_default_is_bundled_and_checked_against_the_registry(monkeypatch, tmp_path):
    folder = write_files(tmp_path / "one", tiny_files())
    digest = sha256(folder / "model.safetensors")
    fields = {"folder": "one", "sha256": digest}
    use_registry(monkeypatch, write_registry(tmp_path, {"one": fields}, "one"))
    model = load_model_files(offline=True)
    assert (model.name, model.sha256) == ("one", digest)
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsUnavailableError, match=f"expected {digest}.*install strokeseg"):
        load_model_files(offline=True)


def test_a_registry_name_wins_over_a_folder_unless_written_as_a_path(monkeypatch, tmp_path):
    write_files(tmp_path / "bundle" / "one", tiny_files())
    path = write_registry(tmp_path / "bundle", {"one": {"folder": "one"}}, "one")
    use_registry(monkeypatch, path)
    here = write_files(tmp_path / "work" / "one", tiny_files(seed=1))
    monkeypatch.chdir(tmp_path / "work")
    assert find_model("one").origin == "bundled"
    found = find_model("./one")
    assert (found.origin, found.folder.resolve(), found.name) == ("folder", here, "one")


def test_a_bundled_model_whose_folder_is_gone_says_so(monkeypatch, tmp_path):
    use_registry(monkeypatch, write_registry(tmp_path, {"one": {"folder": "one"}}, "one"))
    with pytest.raises(WeightsUnavailableError, match="missing; install strokeseg again"):
        load_model_files()


# --- the golden record ---


def mix(patch, gain=1.0):
    """A stand-in for a network: six different, direction-dependent functions of a patch."""
    ramp = np.linspace(0, 1, patch.shape[2], dtype=np.float32)
    return np.stack([gain * (channel - 2) * patch * ramp for channel in range(6)])


def with_golden(folder, golden):
    (folder / "golden.json").write_text(json.dumps(golden))
    return load_model_files(str(folder))


def engine(function, precision="fp32"):
    return SimpleNamespace(logits=function, precision=precision)


def test_golden_passes_on_what_made_it_and_is_rounded_to_the_stride(folder):
    model = load_model_files(str(folder))
    golden = make_golden(mix, model.config.spec, 3, edge_vox=18)
    assert golden["input_shape"] == [20, 20, 20]
    model = with_golden(folder, golden)
    result = check_golden(model, engine(mix))
    assert result is not None
    assert result.passed
    assert result.worst_difference == 0.0
    assert result.tolerance == 1e-3


def test_golden_fails_on_a_small_gain_and_bf16_is_allowed_more(folder):
    spec = load_model_files(str(folder)).config.spec
    model = with_golden(folder, make_golden(mix, spec, 3, edge_vox=16))
    wrong = check_golden(model, engine(lambda patch: mix(patch, 1.01)))
    assert not wrong.passed
    assert wrong.worst_difference == pytest.approx(0.01, rel=0.05)
    rough = check_golden(model, engine(lambda patch: mix(patch, 1.01), "bf16"))
    assert rough.passed
    assert rough.tolerance == 5e-2


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_golden_fails_on_logits_that_are_flipped(folder, axis):
    spec = load_model_files(str(folder)).config.spec
    model = with_golden(folder, make_golden(mix, spec, 3, edge_vox=16))
    assert not check_golden(model, engine(lambda patch: np.flip(mix(patch), axis))).passed


def test_golden_fails_on_logits_with_two_axes_swapped(folder):
    spec = load_model_files(str(folder)).config.spec
    model = with_golden(folder, make_golden(mix, spec, 3, edge_vox=16))
    assert not check_golden(model, engine(lambda p: mix(p).swapaxes(1, 2))).passed


def test_a_model_without_golden_has_no_verdict(folder):
    assert check_golden(load_model_files(str(folder)), engine(mix)) is None


def test_a_golden_record_that_is_broken_or_of_another_generator_is_refused(folder):
    spec = load_model_files(str(folder)).config.spec
    golden = make_golden(mix, spec, 3, edge_vox=16)
    for changed, message in (
        ({}, "no golden record"),
        ([], "no JSON object"),
        (golden | {"input_seed": 4}, "draws other numbers"),
        (golden | {"format": {}}, "no golden record"),
        (golden | {"format": {"fp32": golden["format"]["fp32"] | {"mean": [0.0]}}}, "its mean"),
        (golden | {"tolerance": {"fp32": float("nan")}}, "no positive number"),
    ):
        with pytest.raises(ModelFormatError, match=message):
            check_golden(with_golden(folder, changed), engine(mix))


def test_a_limit_that_the_model_breaks_alone_is_refused_before_it_is_opened(tmp_path, monkeypatch):
    folder = write_files(tmp_path / "m", tiny_files())

    def opened(*_others, **_named):
        raise AssertionError("the engine was opened")

    monkeypatch.setattr(loading, "open_engine", opened)
    with pytest.raises(UsageError, match=r"0\.05 GB, and to open the model alone takes 0\.0"):
        load_model(str(folder), Hardware(max_memory_bytes=50_000_000))
    with pytest.raises(AssertionError, match="was opened"):
        load_model(str(folder), Hardware(max_memory_bytes=500_000_000))
