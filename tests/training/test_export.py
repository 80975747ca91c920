import json
import tomllib

import numpy as np
import pytest
import torch

import strokeseg.prediction.pipeline
from strokeseg.engines.choice import open_engine
from strokeseg.errors import UsageError
from strokeseg.models.finding import load_model_files
from strokeseg.models.golden import check_golden
from strokeseg.models.loading import Hardware, load_model
from strokeseg.training import export
from strokeseg.training.export import ExportSettings, export_model, main
from strokeseg.training.fitting.checkpoint import load_checkpoint
from strokeseg.training.fitting.loop import Session, train
from strokeseg.training.validation.scaling import Scaling, with_scaling, write_scaling
from tests.training.heads import points_of


@pytest.fixture(scope="module")
def checkpoint(config, tmp_path_factory):
    torch.set_num_threads(1)
    return train(config, tmp_path_factory.mktemp("run"), Session(torch.device("cpu"), workers=0))


@pytest.fixture(scope="module")
def exported(checkpoint, held_out, tmp_path_factory):
    settings = ExportSettings(
        name="tiny",
        window=48,
        threshold=0.3,
        provenance={"hours": 0.1},
        sections={"Limits": "All."},
    )
    folder = tmp_path_factory.mktemp("model") / "tiny"
    return export_model(checkpoint, folder, settings, held_out=held_out, cases=10, engine="torch")


def test_the_folder_is_a_model_of_half_precision(exported, checkpoint):
    model = load_model_files(str(exported.folder))
    assert model.config.voxel_size_mm == 4
    assert model.config.window == 48
    assert model.config.normalisation == "foreground"
    assert model.config.threshold == 0.3
    assert model.config.class_names[-1] == "lesion"
    assert model.config.provenance["steps"] == 12
    assert model.config.provenance["hours"] == 0.1
    assert model.sha256 == exported.sha256
    average = load_checkpoint(checkpoint).average
    for name, value in model.state.items():
        np.testing.assert_array_equal(value, average[name].half().float().numpy())


def test_a_scaling_is_carried_by_the_weights(exported, checkpoint, tmp_path):
    scaling = Scaling((0.3, 0.7, 0.7, 0.8, 0.6, 0.25), (-1.0, 0.5, 0.0, 0.25, 0.5, -0.25))
    write_scaling(scaling, tmp_path / "scaling.json")
    arguments = [str(checkpoint), "-o", str(tmp_path / "m"), "--engine", "torch"]
    main([*arguments, "--scaling", str(tmp_path / "scaling.json")])
    image = np.random.default_rng(0).standard_normal((32, 32, 32)).astype(np.float32)
    before, after = (
        open_engine(model.config.spec, model.state, engine="torch", device="cpu").logits
        for model in (load_model_files(str(folder)) for folder in (exported.folder, tmp_path / "m"))
    )
    expected = with_scaling(before, scaling)(image)
    assert np.abs(expected - before(image)).max() > 0.5
    np.testing.assert_allclose(after(image), expected, atol=5e-3)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["strokeseg"]["training"]["scaling"]["factor"] == list(scaling.factor)


def test_the_golden_record_is_met_by_every_engine(exported):
    model = load_model_files(str(exported.folder))
    for engine in ("torch", "openvino"):
        opened = open_engine(
            model.config.spec, model.state, engine=engine, device="cpu", threads=1, precision="fp32"
        )
        assert check_golden(model, opened).passed


def test_parity_is_measured_and_stated(exported):
    assert exported.parity.cases == 10
    assert exported.parity.agreement > 0.95
    card = (exported.folder / "README.md").read_text()
    assert str(exported.parity) in card
    assert "## Limits" in card
    assert "| all |" in card
    assert (exported.folder / "validation.tsv").is_file()
    assert len((exported.folder / "validation-cases.tsv").read_text().splitlines()) == 11


def test_the_registry_entry_names_what_was_written(exported):
    entry = tomllib.loads(exported.registry_entry)["models"]["tiny"]
    assert entry["sha256"] == exported.sha256
    assert entry["size_bytes"] == (exported.folder / "model.safetensors").stat().st_size
    assert entry["classes"][-1] == "lesion"


def test_predict_uses_the_model(exported):
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    points = points_of((36, 44, 36), affine)
    image = (np.linalg.norm(points - [70, 86, 70], axis=-1) < 60).astype(np.float32) * 100
    image += np.random.default_rng(0).normal(0, 3, image.shape).astype(np.float32)
    model = load_model(str(exported.folder), Hardware(engine="torch", device="cpu", threads=1))
    result = strokeseg.prediction.pipeline.predict({"t1": (image, affine)}, model=model)
    assert result.mask.shape == image.shape


def test_two_classes_are_exported_too(make_config, tmp_path):
    config = make_config(top="lesion_only = true\n", optimiser="steps = 1\n")
    last = train(config, tmp_path / "run", Session(torch.device("cpu"), workers=0))
    made = export_model(last, tmp_path / "model", ExportSettings("two"), engine="torch")
    own = json.loads((made.folder / "config.json").read_text())["strokeseg"]
    assert own["class_names"] == ["background", "lesion"]
    assert own["brain_mask"] is False
    assert own["window"] == 48


def test_the_card_credits_the_runs_own_data_and_nobody_elses(exported):
    card = (exported.folder / "README.md").read_text()
    assert "- `maps` (label_maps): say here whose they are, and under which licence." in card
    assert "SynthSeg" not in card


def test_the_licence_is_the_makers_and_never_ours_by_default(exported, checkpoint, tmp_path):
    assert (exported.folder / "README.md").read_text().startswith("---\nlicense: other\n")
    assert 'licence = "other"' in exported.registry_entry
    arguments = [str(checkpoint), "-o", str(tmp_path / "m"), "--licence", "CC-BY-4.0"]
    assert 'licence = "CC-BY-4.0"' in export.main([*arguments, "--engine", "torch"])
    assert "license: cc-by-4.0\n" in (tmp_path / "m" / "README.md").read_text()


def test_an_engine_that_is_not_here_leaves_no_half_of_a_model(checkpoint, tmp_path):
    with pytest.raises(UsageError, match="engine 'abacus'"):
        export_model(checkpoint, tmp_path / "m", ExportSettings(), engine="abacus")
    assert not (tmp_path / "m").exists()


def test_a_window_that_the_network_cannot_take_is_refused(checkpoint, tmp_path):
    with pytest.raises(UsageError, match="window is 50"):
        export_model(checkpoint, tmp_path, ExportSettings(window=50), engine="torch")


def test_the_command_exports(checkpoint, tmp_path):
    arguments = [str(checkpoint), "-o", str(tmp_path / "m"), "--name", "mine", "--engine", "torch"]
    assert "[models.mine]" in main(arguments)
    assert load_model_files(str(tmp_path / "m")).config.window == 48
