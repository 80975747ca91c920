"""One stage against two: each case under both, and means by group with their n."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest

from strokeseg import Options, load_model, predict
from strokeseg.errors import UsageError
from strokeseg.evaluation.metrics.voxels import dice
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import Heads, load_sources
from strokeseg.training.stage_comparison import (
    SUMMARY_COLUMNS,
    Compared,
    compare_stages,
    main,
    summarise,
    write_comparison,
)
from strokeseg.training.stage_two.settings import read_stage_two_config, samples_config
from strokeseg.training.synthesis.sample import build_sample
from strokeseg.training.validation.cases import draw_case
from tests.two_stages import FIRST, two_stage_model

CASES = (
    Compared(0, "T1w", "<5 ml", "up to 1.5 mm", 2.0, 0.25, 0.5, 1.0, 0.5, 2.0, 3.0),
    Compared(1, "FLAIR", ">20 ml", "over 4 mm", 30.0, 0.75, 0.5, 3.0, 1.5, 2.0, 4.0),
    Compared(2, "T1w", "none", "over 4 mm", 0.0, math.nan, math.nan, 5.0, 0.0, 1.0, 1.0),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two") / "model"
    own = FIRST | {"voxel_size_mm": 4.0}
    return load_model(
        str(two_stage_model(folder, own=own, voxel_size_mm=2.0, threshold=0.33, most_crops=4))
    )


def test_means_are_of_the_cases_that_have_a_lesion_and_false_volume_of_all():
    rows = {row[:2]: dict(zip(SUMMARY_COLUMNS, row, strict=True)) for row in summarise(CASES)}
    whole = rows["all", "all"]
    assert (whole["n"], whole["n_with_lesion"]) == ("3", "2")
    assert (whole["dice_1"], whole["dice_2"], whole["dice_gain"]) == ("0.500", "0.500", "0.000")
    assert (whole["false_ml_1"], whole["false_ml_2"]) == ("3.00", "0.67")
    assert rows["sequence", "T1w"]["n"] == "2"
    assert rows["sequence", "T1w"]["dice_gain"] == "0.250"
    assert rows["thickness", "over 4 mm"]["n_with_lesion"] == "1"
    assert rows["size", "none"]["dice_1"] == "n/a"


def test_tables_are_written_with_their_n(tmp_path):
    path = write_comparison(tmp_path / "out", CASES)
    with path.open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert tuple(rows[0]) == SUMMARY_COLUMNS
    for by in ("sequence", "size", "thickness"):
        assert sum(int(row["n"]) for row in rows if row["by"] == by) == len(CASES)
    with (tmp_path / "out" / "cases.tsv").open() as stream:
        cases = list(csv.DictReader(stream, delimiter="\t"))
    assert [case["dice_1"] for case in cases] == ["0.2500", "0.7500", "n/a"]


def test_each_case_is_predicted_with_one_stage_and_with_two(model):
    run = samples_config(read_stage_two_config("smoke"))
    sources = load_sources(run.data, held_out=True)
    (case,) = compare_stages((model, model), sources, run, 1)
    drawn = draw_case(0, sources, run)
    sample = build_sample(drawn, sources, run, Heads(sources.subjects, sample_device()))
    truth = sample.target.numpy() == LESION
    image = (sample.image.numpy(), np.diag([2.0, 2.0, 2.0, 1.0]))
    masks = [
        predict({"image": image}, model=model, options=Options(tta=False, stages=n)).mask
        for n in (1, 2)
    ]
    assert case.true_ml == pytest.approx(truth.sum() * 0.008)
    assert [case.dice_1, case.dice_2] == pytest.approx([dice(mask, truth) for mask in masks])
    false_ml = [(mask & ~truth).sum() * 0.008 for mask in masks]
    assert [case.false_ml_1, case.false_ml_2] == pytest.approx(false_ml)
    assert not np.array_equal(*masks)


def sample_device():
    import torch

    return torch.device("cpu")


def test_a_model_of_one_stage_is_nothing_to_compare(model):
    with pytest.raises(UsageError, match="has one stage"):
        next(compare_stages((model, replace(model, second=None)), None, None, 1))


def test_the_command_prints_the_table(model, tmp_path):
    folder = str(model.model.folder)
    given = [folder, "smoke", "--first", folder, "-o", str(tmp_path / "out"), "--cases", "1"]
    assert main([*given, "--edge", "32"]).startswith("by\tgroup\tn\t")
