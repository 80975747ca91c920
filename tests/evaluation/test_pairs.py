from pathlib import Path

import pytest

from strokeseg.errors import UsageError
from strokeseg.evaluation.finding import Found, Item
from strokeseg.evaluation.mask_names import case_name, entities_of
from strokeseg.evaluation.pairs import Leftover, pair


def found(source, *stems, absent=None, single=False):
    items = []
    for stem in stems:
        name = case_name(stem)
        items.append(Item(name, Path(source) / stem, frozenset({name}), entities_of(stem)))
    return Found(Path(source), tuple(items), absent or {}, single=single)


def pairs(predictions, truths):
    result = pair(found("p", *predictions), found("t", *truths))
    return {p.prediction.path.name: p.truth.path.name for p in result.pairs}


def test_names_that_are_the_same_pair():
    assert pairs(("p1_mask", "p2_mask"), ("p2_truth", "p1")) == {
        "p1_mask": "p1",
        "p2_mask": "p2_truth",
    }


def test_other_entities_than_sub_ses_and_run_are_ignored():
    one = "sub-01_ses-1_acq-hi_run-1_label-L_mask"
    assert pairs((one,), ("sub-01_ses-1_space-MNI_run-01_mask",)) == {
        one: "sub-01_ses-1_space-MNI_run-01_mask"
    }


def test_sessions_and_runs_are_kept_apart():
    two = ("sub-01_ses-1_mask", "sub-01_ses-2_mask")
    assert pairs(two, two) == dict(zip(two, two, strict=True))
    result = pair(
        found("p", "sub-01_ses-2_mask", "sub-02_mask"),
        found("t", "sub-01_ses-1_mask", "sub-02_mask"),
    )
    assert [p.name for p in result.pairs] == ["sub-02"]
    assert result.without_truth == (Leftover("sub-01_ses-2", "p/sub-01_ses-2_mask"),)
    assert result.without_prediction == (Leftover("sub-01_ses-1", "t/sub-01_ses-1_mask"),)


def test_a_session_that_one_side_does_not_name_is_open():
    assert pairs(("sub-01_ses-1_mask",), ("sub-01_mask",)) == {"sub-01_ses-1_mask": "sub-01_mask"}


def test_an_exact_name_goes_before_an_open_one():
    assert pairs(("sub-01_mask", "sub-01_ses-1_mask"), ("sub-01_mask",)) == {
        "sub-01_mask": "sub-01_mask"
    }


def test_acquisitions_settle_what_sub_ses_and_run_do_not():
    stems = ("sub-01_acq-a_mask", "sub-01_acq-b_mask")
    assert pairs(stems, stems) == dict(zip(stems, stems, strict=True))
    wider = tuple(stem.replace("_mask", "_dir-x_mask") for stem in stems)
    assert pairs(stems, wider) == dict(zip(stems, wider, strict=True))


@pytest.mark.parametrize(
    ("predictions", "truths", "message"),
    [
        (
            ("sub-01_mask",),
            ("sub-01_ses-1_mask", "sub-01_ses-2_mask"),
            "p/sub-01_mask could belong to 2 truths: t/sub-01_ses-1_mask, t/sub-01_ses-2_mask",
        ),
        (
            ("sub-01_ses-1_mask", "sub-01_ses-2_mask"),
            ("sub-01_mask",),
            "t/sub-01_mask could belong to 2 predictions: p/sub-01_ses-1_mask, p/sub-01_ses-2",
        ),
        (("p1_mask",), ("p1_truth", "p1_seg"), "2 truths"),
        (("p1_mask", "p1_seg"), ("p1",), "2 predictions"),
    ],
)
def test_what_is_ambiguous_shows_its_candidates(predictions, truths, message):
    with pytest.raises(UsageError, match=message):
        pairs(predictions, truths)


def test_no_pair_at_all_shows_what_there_is():
    with pytest.raises(UsageError, match="predictions p1 and truths q1, q2, q3, q4 and 1 more"):
        pairs(("p1",), ("q1", "q2", "q3", "q4", "q5"))


def test_two_files_are_a_pair_whatever_they_are_called():
    result = pair(found("p", "a", single=True), found("t", "b", single=True))
    assert [(p.name, p.truth.name) for p in result.pairs] == [("a", "b")]


def test_a_case_that_failed_is_told_where_its_truth_is():
    result = pair(
        found("p", "p1", absent={"p2": "it failed: no"}),
        found("t", "p1", "p2", "p3", absent={"p9": "the table names no truth"}),
    )
    assert result.without_prediction == (
        Leftover("p2", "it failed: no"),
        Leftover("p3", "t/p3"),
    )
