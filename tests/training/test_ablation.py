import json
from pathlib import Path

import pytest
import torch

from strokeseg.errors import DataError, InputNotFoundError, UsageError
from strokeseg.training.ablation import ablation_table, measure_variant, read_variants
from strokeseg.training.fitting.loop import Session
from tests.training.heads import config_text

SESSION = Session(torch.device("cpu"), workers=0)


@pytest.fixture
def written(data_folder, tmp_path):
    """Write an ablation of the tiny configuration with the given variants."""

    def write(variants, steps=4):
        base = tmp_path / "base.toml"
        base.write_text(config_text(data_folder, validation="cases = 7\n"))
        path = tmp_path / "ablation.toml"
        path.write_text(f'base = "{base}"\nsteps = {steps}\n{variants}')
        return path

    return write


def test_a_variant_is_the_base_with_its_change(written):
    plain, tversky = read_variants(
        written("[variants.plain]\n[variants.tversky.loss]\ntversky = [0.7, 0.3]\n")
    )
    assert plain.config.optimiser.steps == tversky.config.optimiser.steps == 4
    assert plain.change == "-"
    assert tversky.change == "loss.tversky = [0.7, 0.3]"
    assert tversky.config.loss.tversky == (0.7, 0.3)
    assert tversky.config.loss.lesion_weight == plain.config.loss.lesion_weight
    assert tversky.config.spatial == plain.config.spatial


def test_what_is_common_changes_every_variant_and_the_variant_may_change_it_again(written):
    text = "[common.loss]\ntversky = [0.6, 0.4]\nlesion_weight = 2.0\n[variants.plain]\n"
    plain, other = read_variants(written(text + "[variants.other.loss]\nlesion_weight = 5.0\n"))
    assert plain.config.loss.tversky == other.config.loss.tversky == (0.6, 0.4)
    assert (plain.config.loss.lesion_weight, other.config.loss.lesion_weight) == (2.0, 5.0)
    assert (plain.change, other.change) == ("-", "loss.lesion_weight = 5.0")


def test_variants_are_measured_on_one_set_each_normalised_as_it_learnt(written):
    text = "[variants.plain]\n[variants.unfaded.lesion]\nfade_share = 0.0\n"
    plain, unfaded, equalised = read_variants(
        written(text + '[variants.equalised.intensity]\nnormalisation = "histogram"\n')
    )
    assert unfaded.config.lesion.fade_share == 0
    assert unfaded.measured == plain.measured
    assert equalised.measured.intensity.normalisation == "histogram"
    assert equalised.measured.lesion == plain.measured.lesion


def test_the_ablation_of_the_bundled_model_can_be_read():
    variants = read_variants(Path(__file__).parents[2] / "training" / "ablation.toml")
    assert {v.config.data.voxel_size_mm for v in variants} == {3.0}
    assert {v.config.optimiser.steps for v in variants} == {400}
    assert len({v.config.start_from for v in variants}) == 1


def test_a_variant_is_trained_measured_and_kept(written, tmp_path):
    variants = '[variants.a]\n[variants.b.intensity]\nnormalisation = "histogram"\n'
    scores = [
        measure_variant(variant, tmp_path / variant.name, SESSION)
        for variant in read_variants(written(variants))
    ]
    assert [score.steps for score in scores] == [4, 4]
    assert scores[0].tissue_dice != scores[1].tissue_dice
    table = ablation_table(scores)
    assert '| b | intensity.normalisation = "histogram" | 4 | ' in table
    before = (tmp_path / "a" / "last.pt").stat().st_mtime_ns
    variant = read_variants(written(variants))[0]
    kept = measure_variant(variant, tmp_path / "a", SESSION)
    assert ablation_table([kept]) == ablation_table(scores[:1])
    assert (tmp_path / "a" / "last.pt").stat().st_mtime_ns == before
    assert json.loads((tmp_path / "a" / "score.json").read_text())["change"] == "-"
    with pytest.raises(DataError, match="another variant"):
        measure_variant(read_variants(written(variants))[1], tmp_path / "a", SESSION)


def test_a_variant_that_ran_out_of_time_has_no_score(written, tmp_path):
    (variant,) = read_variants(written("[variants.a]\n"))
    short = Session(torch.device("cpu"), workers=0, limit_s=0.0)
    assert measure_variant(variant, tmp_path / "a", short) is None
    assert measure_variant(variant, tmp_path / "a", SESSION).steps == 4


def test_what_is_no_ablation_is_refused(written, tmp_path):
    with pytest.raises(InputNotFoundError, match="cannot be read"):
        read_variants(tmp_path / "none.toml")
    for variants, words in (
        ("", "a table"),
        ("other = 1\n[variants.a]\n", "'other'"),
        ("[variants.a.loss]\ntverski = 1\n", "tverski"),
        ('[variants."../a"]\n', "its name a file's"),
        ("[variants.a.loss]\ntversky = [1]\n", "expected 2 values"),
    ):
        with pytest.raises(UsageError, match=words):
            read_variants(written(variants))
    broken = tmp_path / "broken.toml"
    broken.write_text("= 1")
    with pytest.raises(UsageError, match="not TOML"):
        read_variants(broken)
