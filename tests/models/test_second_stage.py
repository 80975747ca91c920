"""A model's folder with two networks: read, refused by name, carried and verified."""

import json

import numpy as np
import pytest
from safetensors.numpy import save

from strokeseg.cli.show.models import described
from strokeseg.engines.choice import available_engines, open_engine
from strokeseg.errors import ModelFormatError, WeightsUnavailableError
from strokeseg.models.carrying import export_checked, import_checked
from strokeseg.models.config import ModelConfig
from strokeseg.models.diagnosis import check_engine
from strokeseg.models.finding import locate_model
from strokeseg.models.folder import names_second_stage, read_model_folder
from strokeseg.models.golden import GOLDEN_FILE, SECOND, check_second_golden, make_golden
from strokeseg.models.hub_settings import hub_settings
from strokeseg.models.registry import load_registry
from strokeseg.models.second_stage import SecondStage, image_count
from strokeseg.models.tensors import SECOND_FILE
from strokeseg.models.verification import verify_model
from tests.tiny_models import OWN, isolate, tiny_files, write_files
from tests.two_stages import PARTS, second_of, two_stage_files, two_stage_model

CHANNELS = ("scan", "lesion", "tissues", "place")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return two_stage_model(tmp_path_factory.mktemp("two") / "model", channels=CHANNELS)


def read(folder):
    return read_model_folder(folder, name="two")


def test_a_folder_with_two_networks_is_read(folder):
    model = read(folder)
    second = model.config.second
    assert second.parts == PARTS
    assert second.channels == CHANNELS
    assert second.spec.in_channels == 1 + 1 + 4 + 3 == image_count(CHANNELS, 6)
    assert set(model.second_state) > {"head.weight", "head.bias"}
    assert names_second_stage(folder)


def test_what_is_read_is_what_was_written():
    second, _ = second_of(CHANNELS, most_crops=7, voxel_size_mm=1.5)
    own = json.loads(json.dumps({"stages": [second.to_config()]}))
    assert SecondStage.read(own, ModelConfig.from_config(first()).class_names, "zscore") == second


def test_a_model_of_one_network_has_no_second(tmp_path):
    model = read(write_files(tmp_path / "one", tiny_files()))
    assert model.config.second is None
    assert model.second_state == {}
    assert not names_second_stage(model.folder)


def first():
    return json.loads(tiny_files()["config.json"])


def network(**changes):
    return {"network": second_of()[0].spec.to_config() | changes}


REFUSED = {
    "unknown": ({"extra": 1}, r"unknown setting strokeseg\.stages\.extra"),
    "file": ({"file": "../x.safetensors"}, r"strokeseg\.stages\.file"),
    "sha256": ({"sha256": "0" * 63}, r"strokeseg\.stages\.sha256"),
    "no network": ({"network": None}, r"strokeseg\.stages\.network must be a table"),
    "images": (network(in_channels=3), r"stages\.network: in_channels is 3.*has 2 channels"),
    "classes": ({"class_names": ["background", "core"]}, r"stages: 2 different class names for 3"),
    "channels": ({"channels": ["lesion", "scan"]}, r"stages\.channels is .*in this order"),
    "no channels": ({"channels": []}, r"stages\.channels"),
    "voxel size": ({"voxel_size_mm": 0}, r"stages\.voxel_size_mm"),
    "crop": ({"crop": 4}, r"stages\.crop"),
    "crops": ({"most_crops": 0}, r"stages\.most_crops"),
    "threshold": ({"threshold": 1.0}, r"stages\.threshold"),
    "normalisation": ({"normalisation": "none"}, r"stages\.normalisation"),
    "corrects": ({"channels": ["scan"], **network(in_channels=1), "corrects": True}, r"corrects"),
    "mesh": (
        {
            "channels": ["scan"],
            "network": {
                "architecture": "meshnet",
                "in_channels": 1,
                "out_channels": 3,
                "channels": 4,
                "dilations": [1],
            },
        },
        r"stages\.network is no U-Net",
    ),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_a_second_stage_that_cannot_be_run_is_refused_by_name(tmp_path, change, message):
    with pytest.raises(ModelFormatError, match=message) as error:
        read(write_files(tmp_path / "two", two_stage_files(change=change)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stages", ["two", [1], {"file": SECOND_FILE}])
def test_stages_are_a_list_of_tables(tmp_path, stages):
    with pytest.raises(ModelFormatError, match=r"strokeseg\.stages must be a list of tables"):
        read(write_files(tmp_path / "two", tiny_files(OWN | {"stages": stages})))


def test_more_than_two_networks_are_refused(tmp_path):
    table = second_of()[0].to_config()
    with pytest.raises(ModelFormatError, match="names 2 networks beside the first"):
        read(write_files(tmp_path / "two", tiny_files(OWN | {"stages": [table, table]})))


def test_brains_are_not_looked_at_again(tmp_path):
    own = {**OWN, "finds": "brain", "class_names": [*OWN["class_names"][:-1], "brain"]}
    with pytest.raises(ModelFormatError, match="only lesions are looked at again"):
        read(write_files(tmp_path / "two", two_stage_files(own=own)))


def test_a_file_that_is_missing_another_or_of_another_network_is_told(tmp_path):
    files = two_stage_files()
    gone = {name: content for name, content in files.items() if name != SECOND_FILE}
    with pytest.raises(ModelFormatError, match=f"has no {SECOND_FILE}"):
        read(write_files(tmp_path / "gone", gone))
    _, other = second_of(seed=1)
    with pytest.raises(WeightsUnavailableError, match=rf"{SECOND_FILE}: sha256 is"):
        read(write_files(tmp_path / "other", files | {SECOND_FILE: save(other)}))
    wide = two_stage_files(channels=("scan",))
    narrow, _ = second_of(("scan", "lesion"))
    table = json.loads(wide["config.json"])
    table["strokeseg"]["stages"][0]["network"] = narrow.spec.to_config()
    table["strokeseg"]["stages"][0]["channels"] = ["scan", "lesion"]
    wide["config.json"] = json.dumps(table).encode()
    with pytest.raises(ModelFormatError, match=rf"{SECOND_FILE}: .*has shape"):
        read(write_files(tmp_path / "wide", wide))


def with_golden(folder, target):
    model = read(folder)
    specs = {None: (model.config.spec, model.state)}
    specs[SECOND] = model.config.second.spec, model.second_state
    golden = {}
    for key, (spec, state) in specs.items():
        engine = open_engine(spec, state, engine="onnxruntime", device="cpu")
        made = make_golden(engine.logits, spec, seed=1, edge_vox=16)
        golden |= made if key is None else {key: made}
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return write_files(target, files | {GOLDEN_FILE: json.dumps(golden).encode()})


def test_both_networks_are_verified(folder, tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    whole = with_golden(folder, tmp_path / "whole")
    found = locate_model(str(whole), hub_settings(), load_registry())
    verdict = verify_model(found, engine="openvino")
    assert verdict.error is None
    assert verdict.golden.passed
    golden = json.loads((whole / GOLDEN_FILE).read_text())
    golden[SECOND]["format"]["fp32"]["lesion_margin"] += 1.0
    (whole / GOLDEN_FILE).write_text(json.dumps(golden))
    verdict = verify_model(found, engine="openvino")
    assert verdict.golden.worst == "lesion_margin of its second stage"
    assert "second stage" in str(verdict.error)


def test_doctor_checks_the_second_stage_too(folder, tmp_path):
    whole = with_golden(folder, tmp_path / "whole")
    (info,) = (one for one in available_engines() if one.name == "onnxruntime")
    assert check_engine(read(whole), info, "cpu")["passed"]
    golden = json.loads((whole / GOLDEN_FILE).read_text())
    golden[SECOND]["format"]["fp32"]["lesion_margin"] += 1.0
    (whole / GOLDEN_FILE).write_text(json.dumps(golden))
    outcome = check_engine(read(whole), info, "cpu")
    assert not outcome["passed"]
    assert outcome["problem"] == "lesion_margin of its second stage differs"


def test_a_golden_record_of_other_images_is_refused(folder, tmp_path):
    whole = with_golden(folder, tmp_path / "whole")
    golden = json.loads((whole / GOLDEN_FILE).read_text())
    golden[SECOND]["input_shape"] = golden[SECOND]["input_shape"][1:]
    (whole / GOLDEN_FILE).write_text(json.dumps(golden))
    model = read(whole)
    engine = open_engine(model.config.second.spec, model.second_state, device="cpu")
    with pytest.raises(ModelFormatError, match="its input has"):
        check_second_golden(model, engine)


def test_what_is_shown_of_a_model_tells_its_second_stage(folder, tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    told = described(locate_model(str(folder), hub_settings(), load_registry()))["second_stage"]
    assert told["tells"] == "core rim"
    assert told["sees"] == " ".join(CHANNELS)
    assert told["sha256"] == read(folder).config.second.sha256
    one = write_files(tmp_path / "one", tiny_files())
    assert "second_stage" not in described(locate_model(str(one), hub_settings(), load_registry()))


def test_a_second_stage_is_carried_along(folder, tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    settings, registry = hub_settings(), load_registry()
    found = locate_model(str(folder), settings, registry)
    carried = export_checked(found, tmp_path / "out")
    assert (carried / SECOND_FILE).read_bytes() == (folder / SECOND_FILE).read_bytes()
    manifest, kept = import_checked(carried, settings, registry, name="mine")
    assert SECOND_FILE in manifest.checksums
    again = read(kept)
    for name, tensor in read(folder).second_state.items():
        assert np.array_equal(again.second_state[name], tensor)
