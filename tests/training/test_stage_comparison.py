"""One stage against two: each case under both, and means by group with their n."""

import csv
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from strokeseg import Options, load_model, predict
from strokeseg.errors import UsageError
from strokeseg.evaluation.metrics.voxels import dice
from strokeseg.models.folder import read_model_folder
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import Heads, load_sources
from strokeseg.training.stage_comparison import (
    SUMMARY_COLUMNS,
    Compared,
    Trial,
    compared,
    main,
    summarise,
    try_models,
    write_comparison,
)
from strokeseg.training.stage_thresholds import (
    THRESHOLDS,
    Judged,
    Score,
    best_threshold,
    keep_threshold,
    threshold_rows,
)
from strokeseg.training.stage_two.settings import read_stage_two_config, samples_config
from strokeseg.training.synthesis.sample import build_sample
from strokeseg.training.validation.cases import draw_case
from tests.two_stages import FIRST, two_stage_model, without_second

CASES = (
    Compared(0, "T1w", "<5 ml", "up to 1.5 mm", 2.0, 0.2, 0.5, 0.25, 0.5, 1.0, 0.5, 2.0, 3.0),
    Compared(1, "FLAIR", ">20 ml", "over 4 mm", 30.0, 0.2, 0.5, 0.75, 0.5, 3.0, 1.5, 2.0, 4.0),
    Compared(2, "T1w", "none", "over 4 mm", 0.0, 0.2, 0.5, *[math.nan] * 2, 5.0, 0.0, 1.0, 1.0),
)


def judged(best, height=0.5, false_ml=1.0):
    """Scores that are `height` at one threshold and half as high elsewhere."""
    return Judged(
        tuple(
            Score(height if threshold == best else height / 2, false_ml) for threshold in THRESHOLDS
        )
    )


def trial(case, *models):
    return Trial(case, "T1w", "<5 ml", "up to 1.5 mm", 2.0, models, (1.0, 2.0))


@pytest.fixture(scope="module")
def one_stage(model):
    return load_model(str(model.model.folder), stages=1)


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


def test_a_case_is_measured_at_the_threshold_that_the_others_choose():
    trials = [
        trial(0, judged(0.2, 0.8), judged(0.5, 0.6)),
        trial(1, judged(0.3, 0.4), judged(0.5, 0.4)),
    ]
    first, second = compared(trials)
    assert (first.threshold_1, second.threshold_1) == (0.3, 0.2)
    assert (first.dice_1, second.dice_1) == (0.4, 0.2)
    assert (first.threshold_2, second.threshold_2) == (0.5, 0.5)
    assert (first.dice_2, second.dice_2) == (0.6, 0.4)
    assert compared(trials, 1, 0)[0].dice_1 == first.dice_2


def test_the_best_threshold_is_that_of_the_mean_and_the_lowest_without_lesions():
    none = Judged(tuple(Score(math.nan, 1.0) for _ in THRESHOLDS))
    assert best_threshold([judged(0.2, 0.2), judged(0.6, 0.8), none]) == 0.6
    assert best_threshold([none]) == best_threshold([]) == THRESHOLDS[0]


def test_scores_at_each_threshold_are_averaged_with_their_n():
    none = Judged(tuple(Score(math.nan, 4.0) for _ in THRESHOLDS))
    rows = threshold_rows([(judged(0.2), judged(0.5)), (none, none)])
    by = {(row[0], row[1]): row[2:] for row in rows}
    assert len(rows) == 2 * len(THRESHOLDS)
    assert by["1", "0.2"] == ("1", "0.5000", "2", "2.500")
    assert by["2", "0.2"] == ("1", "0.2500", "2", "2.500")


def test_the_chosen_threshold_is_kept_in_the_models_config(tmp_path):
    folder = two_stage_model(tmp_path / "two")
    before = read_model_folder(folder, name="two")
    keep_threshold(folder, 0.15)
    after = read_model_folder(folder, name="two")
    assert after.config.threshold == 0.15
    assert replace(after.config, threshold=before.config.threshold) == before.config


def test_tables_are_written_with_their_n(tmp_path):
    path = write_comparison(tmp_path / "out", CASES, [trial(0, judged(0.2), judged(0.5))])
    with path.open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert tuple(rows[0]) == SUMMARY_COLUMNS
    for by in ("sequence", "size", "thickness"):
        assert sum(int(row["n"]) for row in rows if row["by"] == by) == len(CASES)
    with (tmp_path / "out" / "cases.tsv").open() as stream:
        cases = list(csv.DictReader(stream, delimiter="\t"))
    assert [case["dice_1"] for case in cases] == ["0.2500", "0.7500", "n/a"]
    with (tmp_path / "out" / "thresholds.tsv").open() as stream:
        thresholds = list(csv.DictReader(stream, delimiter="\t"))
    assert len(thresholds) == 2 * len(THRESHOLDS)


def test_each_case_is_judged_as_the_product_decides(model, one_stage):
    run = samples_config(read_stage_two_config("smoke"))
    sources = load_sources(run.data, held_out=True)
    (case,) = try_models((one_stage, model), sources, run, 1)
    drawn = draw_case(0, sources, run)
    sample = build_sample(drawn, sources, run, Heads(sources.subjects, sample_device()))
    truth = sample.target.numpy() == LESION
    image = (sample.image.numpy(), np.diag([2.0, 2.0, 2.0, 1.0]))
    assert case.true_ml == pytest.approx(truth.sum() * 0.008)
    for threshold in THRESHOLDS:
        masks = [
            predict(
                {"image": image},
                model=model,
                options=Options(tta=False, threshold=threshold, stages=n),
            ).mask
            for n in (1, 2)
        ]
        found = [judged.at(threshold) for judged in case.judged]
        assert [one.dice for one in found] == pytest.approx([dice(mask, truth) for mask in masks])
        false_ml = [(mask & ~truth).sum() * 0.008 for mask in masks]
        assert [one.false_ml for one in found] == pytest.approx(false_ml)
    assert case.judged[0] != case.judged[1]


def sample_device():
    import torch

    return torch.device("cpu")


def test_a_model_of_one_stage_is_nothing_to_compare(model, tmp_path):
    one = without_second(model.model.folder, tmp_path / "one")
    with pytest.raises(UsageError, match="has one stage"):
        main([str(one), "smoke", "-o", str(tmp_path / "out")])


def test_the_command_prints_the_table_and_keeps_the_threshold(model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model.model.folder, folder)
    given = [str(folder), "smoke", "--first", str(folder), "-o", str(tmp_path / "out")]
    table = main([*given, "--cases", "1", "--edge", "32", "--keep-threshold"])
    assert table.startswith("by\tgroup\tn\t")
    assert read_model_folder(folder, name="model").config.threshold in THRESHOLDS
