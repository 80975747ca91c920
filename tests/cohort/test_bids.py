"""Cases of a BIDS dataset: one per subject and session, ambiguities shown before anything runs."""

import pytest

from strokeseg.cohort.cases.find import find_cases
from strokeseg.errors import DataError, InputNotFoundError, UsageError
from tests.cohort.trees import found, tree

ONE = "sub-01/anat/sub-01_T1w.nii.gz"


def test_a_case_per_subject_and_session(tmp_path):
    root = tree(
        tmp_path / "raw",
        "dataset_description.json",
        "participants.tsv",
        ONE,
        "sub-01/anat/sub-01_T1w.json",
        "sub-01/anat/sub-01_FLAIR.nii",
        "sub-02/ses-1/anat/sub-02_ses-1_T2w.nii.gz",
        "sub-02/ses-1/dwi/sub-02_ses-1_dwi.nii.gz",
        "sub-02/ses-2/dwi/sub-02_ses-2_adc.nii.gz",
        "sub-02/ses-2/dwi/sub-02_ses-2_trace.nii.gz",
        "sub-03/anat/sub-03_PDw.nii.gz",
        "sub-03/ct/sub-03_ct.nii.gz",
    )
    cohort = find_cases(root)
    assert (cohort.kind, cohort.root, cohort.notes) == ("bids", root, ())
    assert found(cohort) == {
        "sub-01": {"t1": ONE, "flair": "sub-01/anat/sub-01_FLAIR.nii"},
        "sub-02_ses-1": {
            "t2": "sub-02/ses-1/anat/sub-02_ses-1_T2w.nii.gz",
            "dwi": "sub-02/ses-1/dwi/sub-02_ses-1_dwi.nii.gz",
        },
        "sub-02_ses-2": {
            "dwi": "sub-02/ses-2/dwi/sub-02_ses-2_trace.nii.gz",
            "adc": "sub-02/ses-2/dwi/sub-02_ses-2_adc.nii.gz",
        },
        "sub-03": {"pd": "sub-03/anat/sub-03_PDw.nii.gz", "ct": "sub-03/ct/sub-03_ct.nii.gz"},
    }
    assert [(case.folder, case.prefix) for case in cohort.cases] == [
        ("sub-01/anat", "sub-01"),
        ("sub-02/ses-1/anat", "sub-02_ses-1"),
        ("sub-02/ses-2/dwi", "sub-02_ses-2"),
        ("sub-03/anat", "sub-03"),
    ]
    assert list(cohort.cases[0].images) == ["t1", "flair"]
    assert cohort.cases[2].sources == {
        "dwi": "bids:raw:sub-02/ses-2/dwi/sub-02_ses-2_trace.nii.gz",
        "adc": "bids:raw:sub-02/ses-2/dwi/sub-02_ses-2_adc.nii.gz",
    }
    assert all(case.truth is None for case in cohort.cases)


def test_results_go_where_the_reference_is(tmp_path):
    root = tree(tmp_path, ONE, "sub-01/dwi/sub-01_dwi.nii", "sub-02/anat/sub-02_T2w.nii")
    assert [c.folder for c in find_cases(root).cases] == ["sub-01/anat", "sub-02/anat"]
    chosen = find_cases(root, reference="dwi")
    assert [c.folder for c in chosen.cases] == ["sub-01/dwi", "sub-02/anat"]


def test_a_dataset_without_a_description_is_known_by_its_folders(tmp_path):
    assert find_cases(tree(tmp_path / "a", ONE)).kind == "bids"
    deeper = tree(tmp_path / "b", "sub-1/ses-1/dwi/sub-1_ses-1_dwi.nii")
    assert find_cases(deeper).kind == "bids"


def test_derivatives_sources_and_masks_are_no_cases(tmp_path):
    root = tree(
        tmp_path,
        ONE,
        "sub-01/anat/sub-01_label-L_mask.nii.gz",
        "sub-01/anat/sub-01_desc-brain_mask.nii.gz",
        "sub-01/anat/.sub-01_acq-x_T1w.nii.gz",
        "sub-01/anat/sub-01_T2starw.nii.gz",
        "sub-01/func/sub-01_task-rest_bold.nii.gz",
        "sub-01/perf/sub-01_T1w.nii.gz",
        "derivatives/fs/sub-01/anat/sub-01_desc-x_T1w.nii.gz",
        "sourcedata/sub-09/anat/sub-09_T1w.nii.gz",
        "code/sub-08/anat/sub-08_T1w.nii.gz",
        ".git/sub-07/anat/sub-07_T1w.nii.gz",
    )
    cohort = find_cases(root)
    assert found(cohort) == {"sub-01": {"t1": ONE}}
    assert cohort.cases[0].truth is None


def test_a_raw_diffusion_series_is_the_dwi_where_its_b_values_can_be_read(tmp_path):
    root = tree(
        tmp_path,
        ONE,
        "sub-01/dwi/sub-01_dwi.nii.gz",
        "sub-02/dwi/sub-02_dwi.nii.gz",
        "sub-03/dwi/sub-03_dwi.nii.gz",
    )
    for subject, values in (("01", "0 1000 1000"), ("02", "0 x"), ("03", "1000")):
        (root / f"sub-{subject}/dwi/sub-{subject}_dwi.bval").write_text(values)
    cohort = find_cases(root)
    assert found(cohort) == {
        "sub-01": {"t1": ONE, "dwi": "sub-01/dwi/sub-01_dwi.nii.gz"},
        "sub-03": {"dwi": "sub-03/dwi/sub-03_dwi.nii.gz"},
    }
    assert cohort.notes == (
        "left out, as no scan was recognised: sub-02 (a raw diffusion series alone)",
    )


def test_b_values_of_the_whole_dataset_hold_where_their_entities_fit(tmp_path):
    root = tree(
        tmp_path, ONE, "sub-01/dwi/sub-01_acq-x_dwi.nii.gz", "sub-02/dwi/sub-02_acq-y_dwi.nii.gz"
    )
    (root / "acq-x_dwi.bval").write_text("0 1000 1000")
    assert found(find_cases(root)) == {
        "sub-01": {"t1": ONE, "dwi": "sub-01/dwi/sub-01_acq-x_dwi.nii.gz"},
        "sub-02": {"dwi": "sub-02/dwi/sub-02_acq-y_dwi.nii.gz"},
    }


def test_scanner_made_maps_under_the_name_of_dwi_are_told_apart(tmp_path):
    names = ["rec-TRACE_dwi", "rec-ADC_dwi", "acq-b0_dwi", "sbref"]
    root = tree(tmp_path, *(f"sub-1/dwi/sub-1_{name}.nii.gz" for name in names))
    assert found(find_cases(root)) == {
        "sub-1": {
            "dwi": "sub-1/dwi/sub-1_rec-TRACE_dwi.nii.gz",
            "adc": "sub-1/dwi/sub-1_rec-ADC_dwi.nii.gz",
        }
    }


@pytest.mark.parametrize("entity", ["acq-high", "run-2", "echo-1", "desc-x", "space-MNI", "rec-n"])
def test_variants_are_ambiguous_and_all_are_shown(entity, tmp_path):
    root = tree(
        tmp_path,
        ONE,
        f"sub-01/anat/sub-01_{entity}_T1w.nii.gz",
        "sub-02/anat/sub-02_T1w.nii.gz",
        "sub-03/anat/sub-03_echo-1_FLAIR.nii.gz",
        "sub-03/anat/sub-03_echo-2_FLAIR.nii.gz",
    )
    faults = {case.name: case.fault for case in find_cases(root).cases}
    assert faults["sub-02"] is None, "it can be done all the same"
    assert "--pattern flair=" in str(faults["sub-03"])
    message = f"{faults['sub-01']}; {faults['sub-03']}"
    assert f"sub-01: t1 is anat/sub-01_T1w.nii.gz or anat/sub-01_{entity}_T1w.nii.gz; " in message
    assert "sub-03: flair is anat/sub-03_echo-1_FLAIR.nii.gz or anat/sub-03_echo-2" in message
    assert "sub-02" not in message
    assert "--pattern t1='*sub-??_T1w.nii.gz'" in message  # of the entity it would lose sub-02
    assert "\n" not in message
    assert faults["sub-01"].exit_code == 65


def test_many_ambiguous_cases_are_told_in_a_line_that_ends(tmp_path):
    names = [f"sub-{i:03}/anat/sub-{i:03}_echo-{j}_T1w.nii" for i in range(300) for j in range(9)]
    with pytest.raises(DataError, match=r"; and 290 more; choose by --pattern") as error:
        find_cases(tree(tmp_path, *names))
    assert "run-3_T1w.nii or and 5 more" not in str(error.value)
    assert len(str(error.value)) < 2500


def test_the_pattern_that_a_message_proposes_settles_it(tmp_path):
    variant = "sub-01/anat/sub-01_acq-high_T1w.nii.gz"
    root = tree(tmp_path, ONE, variant, "sub-02/anat/sub-02_T1w.nii.gz")
    cohort = find_cases(root, patterns={"t1": "*_acq-high_T1w.nii.gz"}, participants=["01"])
    assert found(cohort) == {"sub-01": {"t1": variant}}
    assert found(find_cases(root, patterns={"t1": "anat/sub-??_T1w*"})) == {
        "sub-01": {"t1": ONE},
        "sub-02": {"t1": "sub-02/anat/sub-02_T1w.nii.gz"},
    }


def test_a_case_that_a_pattern_does_not_fit_is_told(tmp_path):
    variant = "sub-01/anat/sub-01_acq-high_T1w.nii.gz"
    root = tree(tmp_path, variant, "sub-02/anat/sub-02_T1w.nii", "sub-02/anat/sub-02_T2w.nii")
    cohort = find_cases(root, patterns={"t1": "*acq-high*"})
    assert found(cohort)["sub-02"] == {"t2": "sub-02/anat/sub-02_T2w.nii"}
    assert cohort.notes == ("cases whose t1 --pattern t1='*acq-high*' does not fit: sub-02",)


def test_a_pattern_that_fits_nothing_of_the_chosen_subjects_is_told(tmp_path):
    root = tree(tmp_path, ONE, "sub-02/anat/sub-02_FLAIR.nii")
    cohort = find_cases(root, patterns={"flair": "*FLAIR*"}, participants=["01"])
    assert found(cohort) == {"sub-01": {"t1": ONE}}
    (note,) = cohort.notes
    assert note == ("patterns that fit no file of the chosen subjects: --pattern flair='*FLAIR*'")


def test_a_pattern_takes_files_of_any_folder_of_the_case(tmp_path):
    root = tree(tmp_path, ONE, "sub-01/perf/sub-01_asl.nii.gz")
    cohort = find_cases(root, patterns={"dwi": "perf/*_asl.nii.gz"})
    assert found(cohort)["sub-01"] == {"t1": ONE, "dwi": "sub-01/perf/sub-01_asl.nii.gz"}


def test_a_pattern_that_fits_twice_is_ambiguous_and_says_so(tmp_path):
    root = tree(tmp_path, ONE, "sub-01/anat/sub-01_acq-x_T1w.nii.gz")
    with pytest.raises(
        DataError, match=r"\(--pattern '\*T1w\*'\); narrow it to --pattern t1='\*sub-"
    ):
        find_cases(root, patterns={"t1": "*T1w*"})


@pytest.fixture
def two_sessions(tmp_path):
    names = [
        f"sub-{who}/ses-{when}/anat/sub-{who}_ses-{when}_T1w.nii"
        for who, when in (("01", "a"), ("01", "b"), ("02", "a"), ("03", "b"))
    ]
    return tree(tmp_path, *names, "sub-04/anat/sub-04_T1w.nii")


@pytest.mark.parametrize(
    ("participants", "sessions", "names"),
    [
        (["01", "sub-02"], [], "sub-01_ses-a sub-01_ses-b sub-02_ses-a"),
        ([], ["ses-a"], "sub-01_ses-a sub-02_ses-a"),
        (["sub-01"], ["b"], "sub-01_ses-b"),
        (["04", "04"], [], "sub-04"),
    ],
)
def test_labels_choose_cases(participants, sessions, names, two_sessions):
    cohort = find_cases(two_sessions, participants=participants, sessions=sessions)
    assert " ".join(case.name for case in cohort.cases) == names


def test_a_label_that_is_not_there_is_told_with_those_that_are(two_sessions):
    with pytest.raises(InputNotFoundError, match=r"no sub-9, sub-x; there is 01, 02, 03, 04") as e:
        find_cases(two_sessions, participants=["01", "9", "sub-x"])
    assert e.value.exit_code == 66
    with pytest.raises(InputNotFoundError, match=r"--session-label: no ses-b; there is a$"):
        find_cases(two_sessions, participants=["02"], sessions=["b"])
    with pytest.raises(UsageError, match="--participant-label is empty"):
        find_cases(two_sessions, participants=[""])


def test_a_subject_without_scans_does_not_stop_the_others(tmp_path):
    root = tree(tmp_path, ONE, "sub-02/func/sub-02_bold.nii.gz")
    (root / "sub-03").mkdir()
    cohort = find_cases(root)
    assert found(cohort) == {"sub-01": {"t1": ONE}}
    assert cohort.notes == ("left out, as no scan was recognised: sub-02, sub-03",)


def test_a_dataset_without_any_scan_is_refused(tmp_path):
    root = tree(tmp_path, "dataset_description.json", "sub-02/func/sub-02_bold.nii.gz")
    with pytest.raises(
        DataError, match=r"no scan in sub-\*/\[ses-\*/\]anat or dwi named _T1w, "
    ) as e:
        find_cases(root)
    assert "left out, as no scan was recognised: sub-02" in str(e.value)


def test_one_subject_or_a_folder_above_is_pointed_to_the_dataset(tmp_path):
    root = tree(tmp_path / "study" / "rawdata", ONE)
    with pytest.raises(UsageError, match=r"rawdata as INPUT, with --participant-label 01"):
        find_cases(root / "sub-01")
    with pytest.raises(UsageError, match=r"rawdata is a BIDS dataset \(sub-01\); give that folder"):
        find_cases(root.parent)
