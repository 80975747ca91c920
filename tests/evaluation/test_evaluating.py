import numpy as np
import pytest

from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.evaluation import Terms, evaluate
from tests.evaluation.masks_on_disk import SHAPE, affine, boxes, file_case, write

LESION = boxes(((4, 4, 4), 5))
SHIFTED = boxes(((5, 4, 4), 5))


@pytest.fixture
def cohort(tmp_path):
    """Three cases of a batch, one with a map, and their truths."""
    probability = np.zeros(SHAPE)
    probability[SHIFTED] = 0.8
    file_case(tmp_path / "out", "sub-01", "sub-01", LESION)
    file_case(tmp_path / "out", "sub-02", "sub-02", SHIFTED, probability)
    file_case(tmp_path / "out", "sub-03", "sub-03", boxes())
    for name in ("sub-01", "sub-02", "sub-03"):
        write(tmp_path / "truth" / f"{name}_label-L_mask.nii.gz", LESION)
    return tmp_path


def test_every_case_is_measured_in_order_and_told_of(cohort):
    told = []
    found = evaluate(cohort / "out", str(cohort / "truth"), on_case=lambda *a: told.append(a))
    assert [case.name for case in found.cases] == ["sub-01", "sub-02", "sub-03"]
    assert told == [(1, 3, "sub-01"), (2, 3, "sub-02"), (3, 3, "sub-03")]
    assert [case.metrics.dice for case in found.cases] == pytest.approx([1, 0.8, 0])
    assert found.name == "out"
    assert found.failures == ()
    assert {row.n for row in found.summary if row.metric == "hd95_mm"} == {2}


def test_the_map_of_a_case_gives_its_pr_auc(cohort):
    found = evaluate(cohort / "out", cohort / "truth")
    first, second, _ = (case.metrics for case in found.cases)
    assert np.isnan(first.pr_auc)
    assert second.pr_auc == pytest.approx(0.8 * 0.8 + 0.2 * 125 / np.prod(SHAPE))


def test_a_case_that_cannot_be_read_does_not_stop_the_others(cohort):
    (cohort / "out" / "sub-02" / "sub-02_label-L_mask.nii.gz").write_bytes(b"no image")
    (cohort / "truth" / "sub-03_label-L_mask.nii.gz").unlink()
    table = cohort / "truths.tsv"
    table.write_text(
        "case\ttruth\n"
        + "".join(f"sub-0{n}\ttruth/sub-0{n}_label-L_mask.nii.gz\n" for n in (1, 2, 3))
    )
    found = evaluate(cohort / "out", table)
    assert [case.metrics is None for case in found.cases] == [False, True, True]
    assert isinstance(found.cases[1].error, DataError)
    assert isinstance(found.cases[2].error, InputNotFoundError)
    assert len(found.metrics) == 1
    assert {row.n for row in found.summary if row.metric == "dice"} == {1}


def test_a_prediction_on_another_grid_is_resampled_and_says_so(cohort):
    coarse = boxes(((2, 2, 2), 3), shape=(12, 12, 12))
    matrix = affine((4.0, 4.0, 4.0))
    matrix[:3, 3] = 1.0
    write(cohort / "out" / "sub-01" / "sub-01_label-L_mask.nii.gz", coarse, matrix)
    case = evaluate(cohort / "out", cohort / "truth").cases[0]
    assert case.how == "resampled"
    assert case.metrics.prediction_ml == pytest.approx(216 * 8 / 1000)
    assert case.metrics.sensitivity == 1


def test_the_papers_protocol_measures_the_same_on_finer_voxels(cohort):
    native, paper = (
        evaluate(cohort / "out", cohort / "truth", Terms(protocol)).cases[1]
        for protocol in ("native", "paper")
    )
    assert paper.how == "1 mm"
    assert paper.metrics.dice == pytest.approx(native.metrics.dice, abs=0.05)
    assert paper.metrics.truth_ml == pytest.approx(native.metrics.truth_ml, rel=0.25)


def test_labels_are_chosen_for_truths_and_predictions(tmp_path):
    truth = LESION * 3 + boxes(((15, 15, 15), 4)) * 1
    write(tmp_path / "truth" / "p1.nii", truth.astype(np.uint8))
    write(tmp_path / "flat" / "p1.nii", truth.astype(np.uint8))
    write(tmp_path / "other" / "p1.nii", (LESION * 2).astype(np.uint8))
    file_case(tmp_path / "batch", "p1", "p1", LESION)
    for predictions, terms in (
        ("flat", Terms(label=3)),
        ("other", Terms(label=3, prediction_label=2)),
        ("batch", Terms(label=3)),
    ):
        found = evaluate(tmp_path / predictions, tmp_path / "truth", terms)
        assert found.cases[0].metrics.dice == 1
    (case,) = evaluate(tmp_path / "flat", tmp_path / "truth").cases
    assert "several labels (1, 3)" in str(case.error)


def test_an_empty_mask_with_another_label_is_noted(tmp_path):
    write(tmp_path / "a" / "p1.nii", LESION)
    write(tmp_path / "b" / "p1.nii", (LESION * 3).astype(np.uint8))
    (case,) = evaluate(tmp_path / "a", tmp_path / "b", Terms(label=3)).cases
    assert case.notes == ("prediction: no voxel has the label 3 (there are 1)",)
    assert case.metrics.dice == 0


@pytest.mark.parametrize("word", ["lesion-free", "Lesion free"])
def test_a_truth_without_lesion_may_be_a_word_in_the_table(cohort, word):
    table = cohort / "truths.tsv"
    table.write_text(
        f"case\ttruth\nsub-01\ttruth/sub-01_label-L_mask.nii.gz\nsub-02\t{word}\nsub-03\t{word}\n"
    )
    found = evaluate(cohort / "out", table)
    first, second, third = found.cases
    assert first.metrics.dice == 1
    assert (second.metrics.dice, second.metrics.truth_ml) == (0, 0)
    assert second.metrics.prediction_ml > 0
    assert third.metrics.dice == 1
    assert "truth: lesion-free, as its table says" in second.notes
    assert {row.group for row in found.summary} >= {"all", "none"}
