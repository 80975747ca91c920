"""Cases of a folder: a folder each, or files whose names are the same but for the modality."""

import os

import pytest

from strokeseg.cohort.cases.find import find_cases
from strokeseg.errors import DataError, InputNotFoundError, UsageError
from tests.cohort.trees import found, tree


def test_a_folder_per_case(tmp_path):
    root = tree(
        tmp_path / "cases",
        "p1/T1.nii.gz",
        "p1/t2_flair.nii",
        "p1/notes.txt",
        "p2/series/P2_dwi_b1000.nii.gz",
        "p2/series/P2_dwi_adc.nii.gz",
        "p 3/VSD.Brain.XX.O.MR_T2.12/VSD.Brain.XX.O.MR_T2.12.nii",
    )
    cohort = find_cases(root)
    assert (cohort.kind, cohort.root, cohort.notes) == ("folder", root, ())
    assert found(cohort) == {
        "p1": {"t1": "p1/T1.nii.gz", "flair": "p1/t2_flair.nii"},
        "p2": {"dwi": "p2/series/P2_dwi_b1000.nii.gz", "adc": "p2/series/P2_dwi_adc.nii.gz"},
        "p 3": {"t2": "p 3/VSD.Brain.XX.O.MR_T2.12/VSD.Brain.XX.O.MR_T2.12.nii"},
    }
    assert [(case.folder, case.prefix) for case in cohort.cases] == [
        ("p 3", "p 3"),
        ("p1", "p1"),
        ("p2", "p2"),
    ]
    assert all(not case.sources for case in cohort.cases)


def test_files_side_by_side_are_grouped_by_what_is_left_of_their_names(tmp_path):
    root = tree(
        tmp_path,
        "P01_T1_mprage_3d.nii.gz",
        "P01_t2_flair_tra.nii.gz",
        "P01_lesion.nii.gz",
        "dwi_P02.nii",
        "P02-ADC.hdr",
        "P02-ADC.img",
        "sub-03_acq-x_T2w.nii.gz",
        "sub-03_FLAIR.nii.gz",
        "sub-03_label-L_mask.nii.gz",
        "readme.txt",
    )
    cohort = find_cases(root)
    assert found(cohort) == {
        "P01": {"t1": "P01_T1_mprage_3d.nii.gz", "flair": "P01_t2_flair_tra.nii.gz"},
        "P02": {"dwi": "dwi_P02.nii", "adc": "P02-ADC.img"},
        "sub-03": {"flair": "sub-03_FLAIR.nii.gz", "t2": "sub-03_acq-x_T2w.nii.gz"},
    }
    truths = [case.truth.name if case.truth else None for case in cohort.cases]
    assert truths == ["P01_lesion.nii.gz", None, "sub-03_label-L_mask.nii.gz"]
    assert cohort.notes == ()


def test_names_that_are_modalities_alone_are_the_folder_s_case(tmp_path):
    root = tree(tmp_path / "anna", "T1.nii", "FLAIR.nii", "lesion_mask.nii")
    (case,) = find_cases(root).cases
    assert (case.name, case.folder, case.truth) == ("anna", "anna", root / "lesion_mask.nii")


def test_a_folder_s_name_tells_what_its_only_image_is(tmp_path):
    root = tree(
        tmp_path, "p1/T1/IM1.nii", "p1/flair/IM2.nii", "p1/lesion/IM3.nii",
        "p1/T2/a.nii", "p1/T2/b.nii", "p1/dwi/swi.nii",
    )  # fmt: skip
    (case,) = find_cases(root).cases
    assert found(find_cases(root))["p1"] == {"t1": "p1/T1/IM1.nii", "flair": "p1/flair/IM2.nii"}
    assert case.truth == root / "p1/lesion/IM3.nii"


@pytest.mark.parametrize(
    ("masks", "truth"),
    [
        (["lesion.nii.gz"], "lesion.nii.gz"),
        (["x_mask.nii.gz", "brain_mask.nii.gz"], "x_mask.nii.gz"),
        (["x_mask.nii.gz", "x_lesion.nii.gz"], "x_lesion.nii.gz"),
        (["brain_mask.nii.gz"], None),
        (["T1_seg.nii.gz"], None),
        (["p_label-L_probseg.nii.gz"], None),
    ],
)
def test_a_mask_is_the_truth_only_where_it_is_sure(masks, truth, tmp_path):
    root = tree(tmp_path, "p/T1.nii", *(f"p/{mask}" for mask in masks))
    cohort = find_cases(root)
    assert cohort.cases[0].truth == (root / "p" / truth if truth else None)
    assert cohort.notes == ()


def test_several_masks_are_told_and_none_is_the_truth(tmp_path):
    root = tree(tmp_path, "p/T1.nii", "p/a_lesion.nii", "p/b_lesion.nii")
    cohort = find_cases(root)
    assert cohort.cases[0].truth is None
    assert cohort.notes == (
        "cases with several masks were taken without a truth, name it in a table: "
        "p (a_lesion.nii or b_lesion.nii)",
    )


def test_own_results_are_neither_scans_nor_truths(tmp_path):
    own = ["label-L_mask.nii.gz", "label-L_probseg.nii.gz", "dseg.nii.gz", "strokeseg.json",
           "desc-uncertainty_map.nii.gz", "qc.png"]  # fmt: skip
    root = tree(
        tmp_path,
        "p/T1.nii",
        *(f"p/p_{name}" for name in own),
        *(f"results/q/q_{name}" for name in own),
        "report/index.html",
    )
    cohort = find_cases(root)
    assert found(cohort) == {"p": {"t1": "p/T1.nii"}}
    assert cohort.cases[0].truth is None
    assert cohort.notes == ()


def test_more_than_one_candidate_costs_its_case_and_shows_them(tmp_path):
    root = tree(tmp_path, "p1/T1.nii", "p1/old/T1.nii", "p2/T1.nii", "p2/mprage.nii", "p3/T1.nii")
    faults = {case.name: case.fault for case in find_cases(root).cases}
    assert faults["p3"] is None
    # Every glob would lose p3, or claim two scans of p1.
    list_them = "list the cases in a table"
    assert str(faults["p1"]) == f"p1: t1 is T1.nii or old/T1.nii; {list_them}"
    assert str(faults["p2"]) == f"p2: t1 is T1.nii or mprage.nii; {list_them}"
    assert faults["p1"].exit_code == 65


def test_where_every_case_is_ambiguous_nothing_runs(tmp_path):
    root = tree(tmp_path, "p1/T1.nii", "p1/old/T1.nii", "p2/T1.nii", "p2/mprage.nii")
    with pytest.raises(DataError, match=r"p1: t1 is T1\.nii or old/T1\.nii; p2: t1 is") as error:
        find_cases(root)
    assert error.value.exit_code == 65


@pytest.mark.parametrize(
    "names",
    [
        ["T1.nii", "old/T1.nii", "old/xT1.nii", "new/xT1.nii"],
        ["a[1]_T1.nii", "a[12]_T1.nii"],
        ["p/sub_T1.nii", "p/sub_T1_brain.nii"],
        ["T1.nii", "T1.nii.gz"],
    ],
)
def test_the_pattern_that_is_proposed_claims_one_scan(names, tmp_path):
    root = tree(tmp_path, *(f"case/{name}" for name in names))
    with pytest.raises(DataError, match="or list the cases in a table") as error:
        find_cases(root)
    glob = str(error.value).split("--pattern t1='")[1].split("' or alike")[0]
    (case,) = find_cases(root, patterns={"t1": glob}).cases
    assert case.images["t1"].relative_to(root / "case").as_posix() in names


def test_patterns_settle_it_and_replace_guessing(tmp_path):
    root = tree(tmp_path, "p1/T1.nii", "p1/old/T1.nii", "p1/x_flair.nii")
    assert found(find_cases(root, patterns={"t1": "old/*"})) == {
        "p1": {"t1": "p1/old/T1.nii", "flair": "p1/x_flair.nii"}
    }
    claimed = find_cases(root, patterns={"t2": "x_*.nii", "t1": "./T1.nii"})
    assert found(claimed) == {"p1": {"t1": "p1/T1.nii", "t2": "p1/x_flair.nii"}}


def test_files_side_by_side_without_modalities_need_patterns(tmp_path):
    root = tree(tmp_path, *(f"case_{i}_000{j}.nii.gz" for i in (1, 2) for j in (0, 1)))
    with pytest.raises(
        DataError, match=r"no file name tells a modality .*there is case_1_0000"
    ) as e:
        find_cases(root)
    assert "--pattern flair=" in str(e.value)
    cohort = find_cases(root, patterns={"t1": "*_0000.nii.gz", "flair": "*_0001.nii.gz"})
    assert found(cohort) == {
        f"case_{i}": {"t1": f"case_{i}_0000.nii.gz", "flair": f"case_{i}_0001.nii.gz"}
        for i in (1, 2)
    }


def test_patterns_and_names_agree_on_the_case(tmp_path):
    root = tree(tmp_path, "P1_T1w.nii", "P1_T1w_old.nii", "P1_FLAIR.nii", "P2_T1w.nii")
    cohort = find_cases(root, patterns={"t1": "*_T1w.nii"})
    assert found(cohort) == {
        "P1": {"t1": "P1_T1w.nii", "flair": "P1_FLAIR.nii"},
        "P2": {"t1": "P2_T1w.nii"},
    }


def test_one_file_for_two_patterns_is_refused(tmp_path):
    root = tree(tmp_path, "p1/a.nii")
    with pytest.raises(
        UsageError, match=r"a.nii fits --pattern t1='a\*' and --pattern t2='\*.nii'"
    ):
        find_cases(root, patterns={"t1": "a*", "t2": "*.nii"})


def test_a_pattern_that_fits_nothing_is_refused(tmp_path):
    root = tree(tmp_path, "p1/T1.nii", "p1/deep/FLAIR.nii")
    with pytest.raises(
        UsageError, match=r"--pattern t2='\*T2\*' fits no file .*T1.nii, deep/FLAIR"
    ):
        find_cases(root, patterns={"t2": "*T2*"})


def test_an_odd_folder_does_not_stop_the_others(tmp_path):
    root = tree(tmp_path, "p1/T1.nii", "p2/IM1.nii", "docs/a.pdf", "p4/dwi.nii", ".hidden/T1.nii")
    (root / "p3").mkdir()
    (root / "p4/dwi.bval").write_text("0 x")
    cohort = find_cases(root)
    assert found(cohort) == {"p1": {"t1": "p1/T1.nii"}}
    assert cohort.notes == (
        "folders without a scan that was recognised were left out: docs, p2 (holds IM1.nii), p3, "
        "p4 (a raw diffusion series alone)",
    )


def test_many_odd_folders_make_one_note(tmp_path):
    root = tree(tmp_path, "p/T1.nii", *(f"x{i:03}/a.txt" for i in range(200)))
    (note,) = find_cases(root).notes
    assert note.endswith("x008, x009, and 190 more")


def test_files_that_belong_to_no_case_are_told(tmp_path):
    root = tree(tmp_path, "a_T1.nii", "b_mask.nii", "scan7.nii", "c_dwi.nii", "a_swi.nii")
    (root / "c_dwi.bval").write_text("0 x")
    cohort = find_cases(root)
    assert found(cohort) == {"a": {"t1": "a_T1.nii"}}
    assert set(cohort.notes) == {
        "images whose names tell no modality were left out: scan7.nii",
        "masks without a scan of the same name were left out: b_mask.nii",
        "left out, as there is nothing but a raw diffusion series: c",
    }


def test_scans_in_folders_and_beside_them_are_refused(tmp_path):
    root = tree(tmp_path, "p1/T1.nii", "p2_T1.nii")
    with pytest.raises(
        DataError, match=r"both in folders \(p1\) and beside them \(p2_T1.nii\); move"
    ):
        find_cases(root)


def test_a_single_folder_of_many_cases_is_pointed_to(tmp_path):
    root = tree(tmp_path, "images/a_T1.nii", "images/b_T1.nii", "masks/a.nii")
    with pytest.raises(DataError, match=r"if \S+/images holds many cases, give that folder"):
        find_cases(root)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no image \(.nii, .* convert DICOM first") as error:
        find_cases(tree(tmp_path, "p1/a.dcm"))
    assert error.value.exit_code == 65


def test_links_are_followed_and_circles_end(tmp_path):
    data = tree(tmp_path / "data", "deep/T1.nii", "FLAIR.nii")
    root = tree(tmp_path / "cases", "p1/T2.nii", "p3/PD.nii")
    (root / "p2").symlink_to(data)
    (data / "back").symlink_to(data)
    (root / "p3" / "T1.nii").symlink_to(data / "deep/T1.nii")
    (root / "p1" / "self").symlink_to("self")
    (data / "deep" / "up").symlink_to(data)
    assert found(find_cases(root)) == {
        "p1": {"t2": "p1/T2.nii"},
        "p2": {"t1": "p2/deep/T1.nii", "flair": "p2/FLAIR.nii"},
        "p3": {"t1": "p3/T1.nii", "pd": "p3/PD.nii"},
    }


def test_a_link_to_nothing_is_a_scan_so_that_its_case_fails_by_name(tmp_path):
    root = tree(tmp_path, "p1/FLAIR.nii")
    (root / "p1/T1.nii").symlink_to("nowhere/T1.nii")
    assert found(find_cases(root))["p1"] == {"t1": "p1/T1.nii", "flair": "p1/FLAIR.nii"}


def test_a_folder_that_cannot_be_read_does_not_stop_the_others(tmp_path, monkeypatch):
    root = tree(tmp_path, "p1/T1.nii", "p2/T1.nii")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("p2"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    cohort = find_cases(root)
    assert found(cohort) == {"p1": {"t1": "p1/T1.nii"}}
    assert "p2: the folder cannot be read (Permission denied)" in cohort.notes[0]
    monkeypatch.setattr(os, "scandir", lambda _: refuse("p2"))
    with pytest.raises(InputNotFoundError, match="check its permissions") as error:
        find_cases(root)
    assert error.value.exit_code == 66
