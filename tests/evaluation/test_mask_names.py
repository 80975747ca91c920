from pathlib import Path

import pytest

from strokeseg.evaluation.mask_names import (
    Likelihood,
    case_name,
    entities_of,
    folder_name,
    likelihood,
    map_names,
    stem_of,
)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("sub-01_ses-2_space-T1w_label-L_desc-manual_mask", "sub-01_ses-2"),
        ("sub-01_acq-hi_run-02_label-lesion_roi", "sub-01_acq-hi_run-02"),
        ("sub-01", "sub-01"),
        ("p7_lesion_mask", "p7"),
        ("p7_label-L_mask", "p7"),
        ("p7-seg", "p7"),
        ("P7 Lesion", "P7"),
        ("lesymap-003", "lesymap-003"),
        ("masked_3", "masked_3"),
        ("mask", ""),
        ("lesion_mask", ""),
    ],
)
def test_a_case_is_named_by_its_person_not_by_its_form(stem, name):
    assert case_name(stem) == name


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("sub-01_label-L_mask", Likelihood.LESION),
        ("sub-01_space-x_label-L_desc-T1lesion_mask", Likelihood.LESION),
        ("sub-01_label-lesion_roi", Likelihood.LESION),
        ("p1_infarct", Likelihood.LESION),
        ("sub-strokecase0001_ses-0001_msk", Likelihood.LESION),
        ("p1_mask", Likelihood.MASK),
        ("p1.seg", Likelihood.MASK),
        ("p1", Likelihood.PLAIN),
        ("VSD.Brain.XX.O.OT.12345", Likelihood.PLAIN),
        ("sub-01_dseg", Likelihood.CLASSES),
        ("sub-01_T1w", None),
        ("sub-01_label-L_probseg", None),
        ("sub-01_desc-uncertainty_map", None),
        ("sub-01_desc-brain_mask", None),
        ("p1_brain_mask", None),
        ("p1_flair", None),
    ],
)
def test_lesion_masks_are_told_from_scans_maps_and_brain_masks(stem, expected):
    assert likelihood(stem) is expected


def test_entities_are_read_from_bids_names_only():
    assert entities_of("sub-01_ses-a_run-02_T1w") == {"sub": "01", "ses": "a", "run": "2"}
    assert entities_of("lesymap-003") == {}


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.nii.gz", "a"),
        ("a.b.nii", "a.b"),
        ("a.MGZ", "a"),
        ("a.img", "a"),
        ("a.hdr", None),
        ("a.json", None),
        (".nii.gz", None),
    ],
)
def test_images_are_told_by_their_endings(name, stem):
    assert stem_of(Path("x") / name) == stem


def test_folders_name_a_case_where_its_file_does_not():
    assert folder_name(("data", "sub-01", "ses-2", "anat")) == "sub-01_ses-2"
    assert folder_name(("site-a", "p7")) == "p7"
    assert folder_name(()) == ""


def test_the_map_beside_a_mask():
    assert map_names("sub-01_label-L_mask") == ("sub-01_label-L_probseg",)
    assert map_names("p1") == ("p1_probseg", "p1_label-L_probseg")
