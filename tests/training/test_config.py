from dataclasses import fields
from pathlib import Path

import pytest

from strokeseg.errors import InputNotFoundError, UsageError
from strokeseg.training.config import as_document, bundled_configs, from_document, read_config
from strokeseg.training.settings import TrainConfig


@pytest.mark.parametrize("name", bundled_configs())
def test_every_bundled_configuration_is_read_and_survives_a_checkpoint(name):
    config = read_config(name)
    assert from_document(as_document(config)) == config


def test_the_papers_configurations_are_there():
    wanted = {"baseline", "smoke", "synthstroke-released", "synthstroke-v1"}
    assert wanted <= set(bundled_configs())


def test_the_runs_follow_each_other():
    chain = ["synth-open-seen"]
    while before := read_config(chain[-1]).start_from:
        chain.append(Path(before).parent.name)
        assert read_config(chain[-1]).name in (chain[-1], "synth-open")
    assert len(chain) == 12


def test_the_papers_configuration_says_what_the_paper_says():
    config = read_config("synthstroke-v1")
    assert config.channels == (32, 64, 128, 256, 320, 320)
    assert config.spatial.crop_vox == (192, 192, 192)
    assert (config.optimiser.learning_rate, config.optimiser.steps) == (1e-4, 600_000)
    assert (config.optimiser.clip_norm, config.optimiser.dropout) == (12, 0.2)
    assert (config.lesion.erode, config.lesion.dilate, config.lesion.alpha) == (1, 1, 0.9)
    assert config.contrast.plausible_share == 0
    assert config.intensity.clip_percentiles == (1, 99)
    released = read_config("synthstroke-released")
    assert 0 < released.loss.l2_steps < released.optimiser.steps
    assert released.loss.lesion_weight == 2
    assert read_config("baseline").lesion_only


def test_a_document_older_than_a_field_takes_its_default():
    document = as_document(TrainConfig())
    del document["validation"], document["data"]["pairs"]
    assert from_document(document) == TrainConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = 1", "unknown key 'seeds'"),
        ("[optimiser]\nstep = 1", "unknown key 'step'"),
        ("seed = 1.5", "seed: expected int, got 1.5"),
        ("seed = true", "expected int, got True"),
        ("data = 3", "data must be a table"),
        ("[spatial]\ncrop_vox = [96, 96]", "expected 3 values, got 2"),
        ("[spatial]\ncrop_vox = [100, 96, 96]", "stride asks for multiples of 32"),
        ("[spatial]\ncanvas_vox = [64, 96, 96]", "smaller than the crop"),
        ("[data]\nreal_share = 1.5", "give a share from 0 to 1"),
        ("[data]\nheld_out_every = [1]", "one for each"),
        ("[data]\nvoxel_size_mm = -1", "must be above 0"),
        ("[optimiser]\nbatch = 0", "give 1 or more"),
        ("[lesion]\nfade_points = 1", "give 2 or more"),
        ('[optimiser]\nprecision = "fp16"', "must be bf16 or fp32"),
        ('[intensity]\nnormalisation = "minmax"', "must be one of"),
        ("[intensity]\nclip_percentiles = [99, 1]", "must rise"),
        ("[loss]\nsoft_target = true\n[data]\nreal_share = 0.5", "needs tissue maps"),
        ("[spatial]\nsmall_share = 0.5\nsmall_crop_vox = [64, 90, 64]", "small_crop_vox"),
        ("[slices]\nthin_share = 0.5\nthin_vox = 20", "thin_vox"),
        ("[slices]\nthin_share = 0.5\n[optimiser]\nbatch = 2", "need optimiser.batch of 1"),
        ("channels = [8]", "at least two"),
        ("seed =", "not TOML"),
        ("seed = -1", "seed is -1; give 0 or more"),
        ("validation_steps = -5", "validation_steps is -5; give 0 or more"),
        ("[spatial]\nrotation_deg = -5", "spatial.rotation_deg is -5; give 0 or more"),
        ("[spatial]\nzoom = 3", "spatial.zoom is 3; give less than 1"),
        ("[contrast]\njitter = -1", "contrast.jitter is -1; give 0 or more"),
        ("[lesion]\nvolume_ml = [150, 20]", "lesion.volume_ml must rise, got 150 to 20"),
        ("[lesion]\ncount_weights = []", "must hold a number above 0"),
        ("[intensity]\nsnr_minimum = 0", "snr_minimum must be above 0"),
        ("[intensity]\nsnr_minimum = 200", "snr_maximum no less; got 200 and 100"),
        ("[intensity]\nthickness_limit_vox = 0.5", "must be 1 or more"),
    ],
)
def test_a_bad_configuration_is_one_line_that_names_it(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message.replace("[", r"\[")) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_configuration_that_is_not_there_names_those_that_are(tmp_path):
    with pytest.raises(InputNotFoundError, match="synth-open"):
        read_config(tmp_path / "none.toml")


def test_every_field_has_a_default():
    assert all(field.name for field in fields(TrainConfig))
    TrainConfig()
