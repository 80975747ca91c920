"""Two models made one: what the folder holds, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from strokeseg.engines.choice import available_engines, open_engine
from strokeseg.errors import UsageError
from strokeseg.models.diagnosis import check_engine
from strokeseg.models.finding import FoundModel, load_model_files
from strokeseg.models.verification import verify_model
from strokeseg.network.planar_spec import PlanarSpec
from strokeseg.training.command_line import exit_code_of
from strokeseg.training.export import ExportSettings
from strokeseg.training.join import join_models, main
from strokeseg.training.validation.scaling import (
    Scaling,
    fold_scaling,
    with_scaling,
    write_scaling,
)
from tests.networks import closeness, random_image, random_state
from tests.tiny_models import OWN, tiny_files, write_files

PLANAR = PlanarSpec(6, (4, 6, 8))


def planar_files(**own):
    state = {name: value.astype(np.float16) for name, value in random_state(PLANAR).items()}
    config = PLANAR.to_config() | {"strokeseg": OWN | {"threshold": 0.2} | own}
    return {"config.json": json.dumps(config).encode(), "model.safetensors": save(state)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    unet = write_files(folder / "unet", tiny_files(dtype=np.float16))
    return unet, write_files(folder / "planes", planar_files())


@pytest.fixture(scope="module")
def joined(folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joined") / "both"
    entry = main([*map(str, folders), "-o", str(folder), "--name", "both", "--engine", "openvino"])
    return folder, entry


def logits_of(model, image):
    engine = open_engine(model.config.spec, model.state, engine="onnxruntime", threads=1)
    return engine.logits(image)


def test_the_logits_are_the_mean_of_the_models(folders, joined):
    image = random_image((16, 8, 24))
    alone = [logits_of(load_model_files(str(folder)), image) for folder in folders]
    found = logits_of(load_model_files(str(joined[0])), image)
    assert closeness(found, np.mean(alone, axis=0)) < 1e-5
    assert closeness(alone[0], alone[1]) > 0.1


def test_it_is_one_model_with_one_record(joined):
    folder, entry = joined
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "model.safetensors", "golden.json", "README.md"),
    }
    model = load_model_files(str(folder))
    assert f'sha256 = "{model.sha256}"' in entry
    assert "[models.both]" in entry
    assert model.config.threshold == OWN["threshold"]
    assert model.config.class_names == tuple(OWN["class_names"])
    assert model.config.provenance["networks"] == [OWN["training"]] * 2
    assert all(
        v.dtype == np.float16 for v in load((folder / "model.safetensors").read_bytes()).values()
    )
    for name in ("onnxruntime", "torch"):
        verdict = verify_model(FoundModel("both", folder, "folder"), engine=name, device="cpu")
        assert verdict.error is None
        assert verdict.golden.passed
    assert "mean of the logits of" in (folder / "README.md").read_text()


@pytest.mark.parametrize("number", [0, 1])
def test_its_record_tells_of_a_fault_in_any_of_its_networks(joined, number):
    model = load_model_files(str(joined[0]))
    (info,) = (one for one in available_engines() if one.name == "onnxruntime")
    assert check_engine(model, info, "cpu")["passed"]
    spoilt = {
        name: tensor * np.float32(1.05 if name.startswith(f"networks.{number}.") else 1)
        for name, tensor in model.state.items()
    }
    outcome = check_engine(replace(model, state=spoilt), info, "cpu")
    assert not outcome["passed"]
    assert outcome["problem"].endswith("differs")


def test_a_scaling_is_carried_by_every_network(joined):
    model = load_model_files(str(joined[0]))
    scaling = Scaling((0.5, 0.7, 0.7, 0.8, 0.6, 1.4), (-1.0, 0.5, 0.0, 0.25, 0.5, -0.25))
    image = random_image((16, 8, 8))
    scaled = replace(model, state=fold_scaling(model.state, scaling))
    expected = with_scaling(lambda each: logits_of(model, each), scaling)(image)
    assert closeness(logits_of(scaled, image), expected) < 1e-5
    with pytest.raises(UsageError, match="the scaling is of 3 classes, the network of 6"):
        fold_scaling(random_state(PLANAR), Scaling((1.0,) * 3, (0.0,) * 3))


def test_a_scaling_a_decision_and_sections_of_the_card_are_taken_from_files(
    folders, joined, tmp_path
):
    scaling = Scaling((0.5, 0.7, 0.7, 0.8, 0.6, 1.4), (-1.0, 0.5, 0.0, 0.25, 0.5, -0.25))
    write_scaling(scaling, tmp_path / "scaling.json")
    (tmp_path / "decision.json").write_text(
        '{"threshold": 0.3, "min_volume_ml": 0.2, "lesion_offsets": {"t1": 1.0, "t2": 0.5}}'
    )
    (tmp_path / "sections.toml").write_text('"What it is" = "A pair."')
    names = ("scaling.json", "decision.json", "sections.toml")
    arguments = [f"--{name.split('.')[0]}={tmp_path / name}" for name in names]
    main([*map(str, folders), "-o", str(tmp_path / "both"), "--engine", "openvino", *arguments])
    made, plain = one_of(tmp_path / "both"), one_of(joined[0])
    image = random_image((16, 8, 8))
    expected = with_scaling(lambda each: logits_of(plain, each), scaling)(image)
    assert closeness(logits_of(made, image), expected) < 5e-3
    assert (made.config.threshold, made.config.min_volume_ml) == (0.3, 0.2)
    assert made.config.lesion_offsets == {"t1": 1.0, "t2": 0.5}
    card = (tmp_path / "both" / "README.md").read_text()
    assert "A pair." in card
    assert "the lesion's logit is raised in scans of t1 by 1, t2 by 0.5." in card


def test_shares_make_it_a_weighted_mean(folders, tmp_path):
    main([*map(str, folders), "-o", str(tmp_path / "both"), "--shares", "3", "1"])
    image = random_image((16, 8, 8))
    alone = [logits_of(one_of(folder), image) for folder in folders]
    expected = np.average(alone, axis=0, weights=(3, 1))
    assert closeness(logits_of(one_of(tmp_path / "both"), image), expected) < 5e-3


@pytest.mark.parametrize("shares", [(1,), (1, 0), (1, 2, 3)])
def test_shares_that_fit_no_models_are_refused(folders, shares, tmp_path):
    with pytest.raises(UsageError, match="give 2 numbers above 0"):
        join_models([*map(one_of, folders)], tmp_path / "both", ExportSettings(), shares=shares)


UNLIKE = {
    "voxels": {"voxel_size_mm": 1.0},
    "intensities": {"normalisation": "histogram"},
    "classes": {"class_names": ["background", "WM", "GM/WM", "GM", "CSF", "lesion"]},
}


@pytest.mark.parametrize("own", UNLIKE.values(), ids=UNLIKE)
def test_models_that_see_a_scan_otherwise_are_refused_in_one_line(folders, own, tmp_path, capsys):
    other = write_files(tmp_path / "other", planar_files(**own))
    arguments = [str(folders[0]), str(other), "-o", str(tmp_path / "both")]
    assert exit_code_of(main, arguments) == UsageError.exit_code
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"its {next(iter(own))} is" in said
    assert not (tmp_path / "both").exists()


def test_what_is_no_pair_of_single_networks_is_refused(folders, joined, tmp_path):
    one, both = (load_model_files(str(folder)) for folder in (folders[0], joined[0]))
    with pytest.raises(UsageError, match="name at least two"):
        join_models([one], tmp_path, ExportSettings())
    with pytest.raises(UsageError, match="is an ensemble itself"):
        join_models([one, both], tmp_path, ExportSettings())
    with pytest.raises(UsageError, match="multiple of the networks' stride 8"):
        join_models([one, one_of(folders[1])], tmp_path, ExportSettings(window=44))


def one_of(folder):
    return load_model_files(str(folder))
