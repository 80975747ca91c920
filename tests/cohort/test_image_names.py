"""Modalities, masks and cases are told from the names that people give their files."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokeseg.cohort.cases.image_names import case_of_claimed, read_name
from strokeseg.images.modalities import MODALITIES


@pytest.mark.parametrize(
    ("modality", "names"),
    [
        (
            "t1",
            "T1 T1w t1 mprage t1_mpr t1_mprage T1_3D 3D_T1 T1_MPRAGE_iso spgr bravo T1-weighted "
            "sub-01_T1w sub-01_ses-2_acq-a_run-1_T1w P01_t1_mprage_sag SagT1 001T1 "
            "P01.T1.brain T1_masked T1_to_FLAIR sub-01_desc-brain_T1w P01_T1_tse Müller_T1 T1w2",
        ),
        (
            "flair",
            "FLAIR t2_flair T2-FLAIR t2flair T2Flair tirm t2_tirm_tra t2_tirm_tra_dark-fluid "
            "darkfluid t2_space_dark_fluid sub-01_FLAIR P01_T1_FLAIR flair_3d 3DFLAIR FLAIR1 "
            "VSD.Brain.XX.O.MR_Flair.127014 patientFlair FLAIR_to_T1 FLAIR_reg_T1 "
            "FLAIR_space-T1w CT-012_flair sub-T1_FLAIR ses-T2_flair",
        ),
        ("t2", "T2 T2w t2_tse_tra tse sub-chronic_T2w P01_t2 AxT2 T2_in_T1 Adcock_T2"),
        (
            "dwi",
            "dwi DWI trace TRACEW b1000 isodwi iso_dwi dwi_b1000 DWIb1000 sub-01_dwi P01_T1_dwi "
            "sub-01_rec-TRACE_dwi sub-01_acq-b1000_dwi ep2d_dwi_trace_p2 sub-01_trace",
        ),
        (
            "adc",
            "adc ADC sub-acute_adc dwi_adc adc_dwi b1000_ADC P01_dwi_b1000_adc ADC_map ADC_trace_x "
            "ep2d_diff_4scan_trace_p2_ADC sub-01_rec-ADC_dwi sub-01_acq-ADC_dwi",
        ),
        ("pd", "pd PDw sub-01_PDw pd_tse"),
        ("ct", "ct CT ncct P01_NCCT ct_head sub-01_ct"),
    ],
)
def test_usual_names_tell_the_modality(modality, names):
    for name in names.split():
        for ending in (".nii.gz", ".NII", ".mgz", ".hdr", ""):
            assert read_name(name + ending).modality == modality, name + ending


@pytest.mark.parametrize(
    "name",
    [
        "adcock", "Adcock", "patient1", "subject2", "Detector", "rect1", "t11", "doctor", "ctx",
        "scan", "IM0001", "case_0000", "orig", "brain", "", "_", "...", "T1map", "T1ce", "T2star",
        "sub-01_T2starw", "cta",
    ],
)  # fmt: skip
def test_words_that_only_hold_a_modality_tell_none(name):
    assert read_name(f"{name}.nii.gz").modality is None


@pytest.mark.parametrize(
    "name",
    [
        "T1_mask", "sub-01_label-L_mask", "sub-01_label-L_probseg", "sub-01_dseg", "lesion",
        "T1_lesion", "flair_lesions", "FLAIR_seg", "T1_brain_mask", "BrainMask_T1", "aseg", "rois",
        "T1_labels", "sub-01_desc-uncertainty_map", "dwi_msk", "c1T1", "mwc2T1", "c1sub-01_T1w",
        "lesionmask_flair", "T1_probmap", "sub-01_label-GM_T1w", "infarct_dwi",
    ],
)  # fmt: skip
def test_what_was_made_from_a_scan_is_no_scan(name):
    assert read_name(f"{name}.nii.gz").modality is None


@pytest.mark.parametrize(
    "name",
    [
        "T2_star", "T1_map", "eADC", "dwi_fa", "dwi_b0", "sub-01_acq-b0_dwi", "sub-01_sbref",
        "T1_localizer", "ct_perfusion", "sub-01_part-phase_T1w", "sub-01_rec-FA_dwi", "t1_scout",
    ],
)  # fmt: skip
def test_scans_of_another_kind_are_known_and_not_taken(name):
    assert read_name(f"{name}.nii").role == "other"


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("sub-acute_label-L_mask", "mask"),
        ("sub-1_ses-1_space-X_label-L_desc-T1lesion_mask", "mask"),
        ("sub-1_label-lesion_roi", "mask"),
        ("sub-1_ses-0001_msk", "mask"),
        ("P01_mask", "mask"),
        ("P01_T1_lesion", "mask"),
        ("P01_brain_mask", "derived"),
        ("P01_brainmask", "derived"),
        ("sub-1_desc-brain_mask", "derived"),
        ("sub-1_label-GM_mask", "derived"),
        ("sub-1_label-L_probseg", "derived"),
        ("P01_wm_mask", "derived"),
    ],
)
def test_a_lesion_mask_is_told_from_other_masks(name, role):
    assert read_name(f"{name}.nii.gz").role == role


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("sub-01", "sub-01_T1w sub-01_acq-a_FLAIR sub-01_rec-ADC_dwi sub-01_label-L_mask"),
        ("sub-01_ses-2", "sub-01_ses-2_T1w sub-01_ses-2_run-1_space-T1w_FLAIR"),
        (
            "P01",
            "P01_T1 T1_P01 P01_t2_flair_tra P01_T1_mprage_3d P01_FLAIR_to_T1 P01_T1_brain "
            "P01_pd_tse P01_adc_map P01_dwi_adc P01-T2-FLAIR P01_lesion P01_T1_lesion_mask "
            "P01_mask P01_space-T1w_FLAIR P01_FLAIR_reg P01FLAIR",
        ),
        ("P01_post", "P01_T1_post P01_post_flair P01_post_t2_tse_tra"),
        ("P01_T1", "P01_T1_FLAIR P01_T1_dwi"),
        ("CT-012", "CT-012_flair"),
        ("sub-01", "sub-01-T1 sub-01.FLAIR"),
        ("", "T1 FLAIR t2_tse T1_brain"),
    ],
)
def test_what_is_left_without_the_modality_is_the_case(case, names):
    for name in names.split():
        assert read_name(f"{name}.nii.gz").case == case, name


def test_what_wildcards_stand_for_is_the_case_of_a_claimed_file():
    assert case_of_claimed("case_003_0001.nii.gz", "flair", [(0, 8)]) == "case_003"
    assert case_of_claimed("P01_T1w_x.nii.gz", "t1", [(0, 4), (6, 16)]) == "P01_x"
    assert case_of_claimed("sub-01_acq-a_T1w.nii.gz", "t1", [(0, 6)]) == "sub-01"


@settings(deadline=None)
@given(st.text(alphabet=st.characters(), max_size=40))
def test_no_name_is_too_odd(name):
    reading = read_name(name)
    assert reading.modality in (*MODALITIES, None)
    assert (reading.modality is not None) == (reading.role == "scan")


@settings(deadline=None)
@given(
    st.sampled_from(["T1w", "FLAIR", "t2_flair", "T2w", "dwi", "dwi_adc", "PDw", "ncct"]),
    st.from_regex(r"[A-Z]{1,3}[0-9]{3,5}", fullmatch=True),
)
def test_prefixed_and_suffixed_names_have_the_same_case(words, person):
    first, last = read_name(f"{person}_{words}.nii"), read_name(f"{words}_{person}.nii.gz")
    if person[0] != "B":  # B1000 is a b-value, and nobody's name
        assert first.modality == last.modality == read_name(words).modality
        assert first.case == last.case == person
