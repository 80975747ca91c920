"""A run that begins with a model's weights: what the network says before the first step."""

from dataclasses import replace

import pytest
import torch

from strokeseg.engines.choice import open_engine
from strokeseg.errors import DataError, WeightsUnavailableError
from strokeseg.models.finding import load_model_files
from strokeseg.training.config import read_config
from strokeseg.training.data.layout import layout_of
from strokeseg.training.export import ExportSettings, export_model
from strokeseg.training.fitting.loop import Session, train
from strokeseg.training.fitting.run import build_network, start_run
from strokeseg.training.fitting.starting import settle_norms
from strokeseg.training.join import join_models
from strokeseg.training.model_card import data_credits
from strokeseg.training.validation.scoring import module_logits
from tests.networks import closeness, random_image

CPU = torch.device("cpu")
SESSION = Session(CPU, workers=0)
PLANES = 'architecture = "three-plane-unet"\n'
CASES = {"unet": "", "planes": PLANES, "half": 'architecture = "half-resolution-unet"\n'}


@pytest.fixture(scope="module")
def trained(make_config, tmp_path_factory):
    """For each architecture a configuration, and the folder of the model that came of it."""
    made = {}
    for kind, top in CASES.items():
        config = make_config(top=top, optimiser="steps = 3\nbatch = 2\n")
        if kind == "half":
            units = {"encoder_units": (1,) * 3, "decoder_units": (1,) * 2}
            config = replace(config, **units, loss=replace(config.loss, coarse_weight=0.5))
        folder = tmp_path_factory.mktemp(kind)
        checkpoint = train(config, folder / "run", SESSION)
        export_model(checkpoint, folder / "model", ExportSettings(kind), engine="torch")
        made[kind] = (config, folder / "model")
    return made


def said(network):
    return module_logits(network.eval(), CPU)(random_image((16, 16, 16)))


def begun(config, start, tmp_path):
    run = start_run(replace(config, start_from=str(start)), tmp_path, resume=False, device=CPU)
    assert run.step == 0
    return run


@pytest.mark.parametrize("kind", CASES)
def test_a_run_begins_by_saying_what_the_model_says(trained, kind, tmp_path):
    config, folder = trained[kind]
    run = begun(config, folder, tmp_path)
    untouched = said(build_network(config))
    model = load_model_files(str(folder))
    engine = open_engine(model.config.spec, model.state, engine="torch", threads=1)
    expected = engine.logits(random_image((16, 16, 16)))
    assert closeness(said(run.model), expected) < 1e-2
    assert closeness(untouched, expected) > 0.1


def test_of_a_joined_model_the_network_that_fits_is_taken(trained, tmp_path):
    models = [load_model_files(str(trained[kind][1])) for kind in ("unet", "planes")]
    joined = join_models(models, tmp_path / "joined", ExportSettings("joined"), engine="torch")
    for kind in ("unet", "planes"):
        config, folder = trained[kind]
        alone = said(begun(config, folder, tmp_path).model)
        of_both = said(begun(config, joined.folder, tmp_path).model)
        assert closeness(of_both, alone) < 1e-2


def test_norms_take_the_statistics_of_slices_and_say_the_same(trained, tmp_path):
    config, folder = trained["planes"]
    model = begun(config, folder, tmp_path).model
    before, slices = said(model), 40 + 9 * torch.randn(12, 3, 32, 32)
    norm = model.encoder[0].first.norm
    assert norm.running_mean.eq(0).all()
    settle_norms(model, slices)
    assert not norm.running_mean.eq(0).any()
    assert closeness(said(model), before) < 1e-3
    # With the statistics of a batch, as in training, these slices get the same answer, too.
    expected = model.of_slices(slices)
    torch.testing.assert_close(model.train().of_slices(slices), expected, rtol=1e-2, atol=1e-2)


def test_a_run_of_planes_goes_on_from_a_model(trained, tmp_path):
    config, folder = trained["planes"]
    gentle = replace(config.optimiser, learning_rate=1e-7, steps=2)
    config = replace(config, start_from=str(folder), optimiser=gentle)
    export_model(train(config, tmp_path / "run", SESSION), tmp_path / "m", ExportSettings("m"))
    first, second = (
        start_run(replace(config, start_from=str(path)), tmp_path, resume=False, device=CPU).model
        for path in (folder, tmp_path / "m")
    )
    assert closeness(said(first), said(second)) < 2e-2


def test_a_model_is_named_as_everywhere(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('start_from = "model:synth-open"\n')
    config = read_config(path)
    assert config.start_from == "model:synth-open"
    assert layout_of(config) == ()
    run = start_run(config, tmp_path, resume=False, device=CPU)
    state = load_model_files("synth-open").state
    name = "model.0.conv.unit0.conv.weight"
    weight = torch.from_numpy(state[f"networks.0.{name}"])
    assert run.model.state_dict()[name].equal(weight)
    with pytest.raises(WeightsUnavailableError, match="nobody"):
        begun(config, "model:nobody", tmp_path)


def test_a_model_of_other_networks_is_refused(trained, tmp_path):
    config, _ = trained["unet"]
    with pytest.raises(DataError, match="is not the configuration's; check architecture"):
        begun(config, trained["planes"][1], tmp_path)


def test_a_card_credits_the_model_that_a_run_began_with(config):
    of_model = data_credits(replace(config, start_from="model:synth-open"))
    assert of_model.splitlines()[0].startswith("- `synth-open`: the model that the training began")
    of_run = data_credits(replace(config, start_from="runs/before/last.pt"))
    assert of_model.splitlines()[1:] == of_run.splitlines()
