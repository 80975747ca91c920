import json

import pytest

from strokeseg.cohort.cases.entities import (
    EntityFilter,
    is_ignored,
    read_filter,
    read_ignored,
)
from strokeseg.cohort.cases.find import find_cases
from strokeseg.errors import DataError, UsageError
from tests.cohort.trees import found, tree

MPRAGE = "sub-01/anat/sub-01_acq-mprage_T1w.nii.gz"
SPACE = "sub-01/anat/sub-01_acq-space_T1w.nii.gz"
PLAIN = "sub-01/anat/sub-01_T1w.nii.gz"
FLAIR = "sub-01/anat/sub-01_FLAIR.nii.gz"


def test_entities_of_the_command_line_choose_among_scans(tmp_path):
    root = tree(tmp_path, MPRAGE, SPACE, PLAIN, FLAIR)
    with pytest.raises(DataError, match="more than one scan could be meant"):
        find_cases(root)
    for given, chosen in (("t1=mprage", MPRAGE), ("t1=acq-space", SPACE), ("none", PLAIN)):
        cohort = find_cases(root, entities=read_filter(None, {"acq": [given]}))
        assert found(cohort)["sub-01"] == {"t1": chosen, "flair": FLAIR}
    (note,) = cohort.notes
    assert note.startswith("scans without the wanted entities were left out: sub-01_acq-")


def test_an_entity_for_every_contrast_leaves_out_those_without_it(tmp_path):
    root = tree(tmp_path, MPRAGE, FLAIR)
    cohort = find_cases(root, entities=read_filter(None, {"acq": ["mprage"]}))
    assert found(cohort)["sub-01"] == {"t1": MPRAGE}


def test_scans_in_a_template_are_left_out_by_space_none(tmp_path):
    in_mni = "sub-01/anat/sub-01_space-MNI152_T1w.nii.gz"
    root = tree(tmp_path, PLAIN, in_mni)
    cohort = find_cases(root, entities=read_filter(None, {"space": ["none"]}))
    assert found(cohort)["sub-01"] == {"t1": PLAIN}


def test_a_filter_file_is_read_as_fmriprep_has_it(tmp_path):
    root = tree(tmp_path / "raw", MPRAGE, SPACE, PLAIN, FLAIR)
    path = tmp_path / "filter.json"
    for rules, chosen in (
        ({"datatype": "anat", "acquisition": "mprage", "suffix": "T1w"}, MPRAGE),
        ({"acquisition": None}, PLAIN),
        ({"acq": ["space", "other"]}, SPACE),
    ):
        path.write_text(json.dumps({"t1w": rules, "bold": {"task": "rest"}}))
        cohort = find_cases(root, entities=read_filter(path, {}))
        assert found(cohort)["sub-01"] == {"t1": chosen, "flair": FLAIR}
    assert EntityFilter({"t1": {"acq": ("*",)}}).keeps("t1", SPACE)
    assert not EntityFilter({"t1": {"acq": ("*",)}}).keeps("t1", PLAIN)


@pytest.mark.parametrize("rules", [{"t1w": []}, {"t1w": {"a-b": "x"}}, {"t1w": {"acq": []}}])
def test_a_filter_file_that_says_nothing_is_refused(tmp_path, rules):
    path = tmp_path / "filter.json"
    path.write_text(json.dumps(rules))
    with pytest.raises(UsageError, match=r"filter\.json"):
        read_filter(path, {})
    with pytest.raises(UsageError, match="--acq t9=x: give LABEL"):
        read_filter(None, {"acq": ["t9=x"]})


def test_of_several_runs_the_first_is_taken_and_told_and_another_can_be_asked_for(tmp_path):
    runs = [f"sub-01/anat/sub-01_run-{run}_T1w.nii.gz" for run in ("10", "02", "3")]
    root = tree(tmp_path, *runs)
    cohort = find_cases(root)
    assert found(cohort)["sub-01"] == {"t1": runs[1]}
    assert cohort.notes == ("of several runs the first was taken: sub-01_run-02_T1w.nii.gz of 3",)
    cohort = find_cases(root, entities=read_filter(None, {"run": ["03"]}))
    assert found(cohort)["sub-01"] == {"t1": runs[2]}


def test_what_bidsignore_names_is_left_out_and_told(tmp_path):
    root = tree(tmp_path, PLAIN, MPRAGE, FLAIR, "sub-02/anat/sub-02_T1w.nii.gz")
    (root / ".bidsignore").write_text("# why\n*_acq-mprage_*\n/sub-02/\n")
    cohort = find_cases(root)
    assert found(cohort) == {"sub-01": {"t1": PLAIN, "flair": FLAIR}}
    assert ".bidsignore leaves out: sub-01_acq-mprage_T1w.nii.gz, sub-02_T1w.nii.gz" in cohort.notes


@pytest.mark.parametrize(
    ("line", "path", "ignored"),
    [
        ("*.nii.gz", "sub-1/anat/a.nii.gz", True),
        ("/*.nii.gz", "sub-1/anat/a.nii.gz", False),
        ("sub-*/extra/", "sub-1/extra/deep/a.nii", True),
        ("**/anat/*_T1w.nii", "sub-1/anat/x_T1w.nii", True),
        ("anat", "sub-1/anat/x_T1w.nii", True),
        ("sub-1/*.nii", "sub-1/anat/x.nii", False),
        ("x?.nii", "x.nii", False),
    ],
)
def test_lines_of_bidsignore_mean_what_they_mean_to_git(tmp_path, line, path, ignored):
    (tmp_path / ".bidsignore").write_text(line)
    assert is_ignored(path, read_ignored(tmp_path)) is ignored
    (tmp_path / ".bidsignore").write_text(f"{line}\n!{line}")
    assert not is_ignored(path, read_ignored(tmp_path))
    assert read_ignored(tmp_path / "nowhere") == ()
