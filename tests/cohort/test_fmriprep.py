"""Lesions beside the raw T1w for fMRIPrep: on its grid, by its name; the user's own stay."""

import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cohort.cases.case import Case, Cohort
from strokeseg.cohort.fmriprep import prepare_rois, roi_path, write_rois
from strokeseg.errors import CannotCreateError, DataError
from strokeseg.results.output_names import OutputNames
from tests.factories import KINDS, Kind, affine_of, scan_image

OBLIQUE = Kind("LPS", (1.0, 1.1, 1.2), (60, 66, 50), (8.0, -5.0, 3.0))
CENTRE_MM, RADIUS_MM = np.array([9.0, -18.0, 12.0]), 9.0


def ball(kind):
    """A lesion at one place in the world, sampled on a kind's voxels."""
    affine = affine_of(kind)
    index = np.stack(np.meshgrid(*map(np.arange, kind.shape), indexing="ij"), axis=-1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    return np.linalg.norm(points - CENTRE_MM, axis=-1) <= RADIUS_MM


@pytest.fixture
def cohort(tmp_path):
    """A T1w, and a mask on the grid of a FLAIR, as a batch leaves it."""
    anat = tmp_path / "raw" / "sub-01" / "ses-02" / "anat"
    anat.mkdir(parents=True)
    t1w = anat / "sub-01_ses-02_acq-mprage_run-1_T1w.nii.gz"
    image = scan_image(OBLIQUE)
    image.set_sform(image.affine, code=2)
    nib.save(image, t1w)
    case = Case("sub-01_ses-02", {"t1": t1w}, "sub-01/ses-02/anat", "sub-01_ses-02")
    names = names_of(tmp_path, case)
    names.directory.mkdir(parents=True)
    names.record.write_text("{}")
    save_mask(names, ball(KINDS["anisotropic"]))
    return Cohort("bids", tmp_path / "raw", (case,))


def names_of(tmp_path, case):
    return OutputNames.for_prefix(tmp_path / "out" / case.folder, case.prefix)


def save_mask(names, mask):
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine_of(KINDS["anisotropic"])), names.mask)


def target_of(cohort):
    return cohort.cases[0].images["t1"].with_name("sub-01_ses-02_label-lesion_roi.nii.gz")


def test_the_mask_lies_on_the_grid_of_the_t1w_at_its_place_in_the_world(cohort, tmp_path):
    rois = write_rois(cohort, tmp_path / "out")
    assert rois.written == (target_of(cohort),)
    assert rois.kept == ()
    assert rois.failed == ()
    roi, t1w = nib.load(target_of(cohort)), nib.load(cohort.cases[0].images["t1"])
    assert roi.shape == t1w.shape
    assert np.array_equal(roi.affine, t1w.affine)
    assert roi.get_sform(coded=True)[1] == 2
    assert roi.get_data_dtype() == np.uint8
    data, truth = np.asarray(roi.dataobj) > 0, ball(OBLIQUE)
    assert set(np.unique(roi.dataobj)) == {0, 1}
    assert 2 * np.count_nonzero(data & truth) / (data.sum() + truth.sum()) > 0.8  # 5 mm slices


def test_only_the_one_file_is_added_to_the_dataset(cohort, tmp_path):
    raw = tmp_path / "raw"
    before = {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()}
    write_rois(cohort, tmp_path / "out")
    after = {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()}
    assert set(after) - set(before) == {target_of(cohort)}
    assert all(after[path] == content for path, content in before.items())


def test_a_second_run_finds_its_own_mask_and_leaves_it(cohort, tmp_path):
    write_rois(cohort, tmp_path / "out")
    before = target_of(cohort).stat().st_ino
    assert write_rois(cohort, tmp_path / "out").written == (target_of(cohort),)
    assert target_of(cohort).stat().st_ino == before


def test_a_changed_mask_replaces_that_of_the_last_run(cohort, tmp_path):
    write_rois(cohort, tmp_path / "out")
    before = target_of(cohort).read_bytes()
    mask = ball(KINDS["anisotropic"])
    mask[: mask.shape[0] // 2] = False
    mask[20:30, 20:30, 4:8] = True
    save_mask(names_of(tmp_path, cohort.cases[0]), mask)
    assert write_rois(cohort, tmp_path / "out").written == (target_of(cohort),)
    assert target_of(cohort).read_bytes() != before


def test_a_mask_of_somebody_else_stays(cohort, tmp_path):
    target_of(cohort).write_bytes(b"drawn by hand")
    rois = write_rois(cohort, tmp_path / "out")
    assert rois.kept == (target_of(cohort),)
    assert rois.written == ()
    assert target_of(cohort).read_bytes() == b"drawn by hand"


def test_a_mask_that_was_edited_since_stays(cohort, tmp_path):
    write_rois(cohort, tmp_path / "out")
    target_of(cohort).write_bytes(b"edited by hand")
    assert write_rois(cohort, tmp_path / "out").kept == (target_of(cohort),)
    assert target_of(cohort).read_bytes() == b"edited by hand"


def test_the_note_of_what_was_made_may_be_lost(cohort, tmp_path):
    write_rois(cohort, tmp_path / "out")
    note = next((tmp_path / "out").rglob("*_fmriprep.json"))
    assert json.loads(note.read_text())["roi"] == target_of(cohort).name
    note.unlink()
    assert write_rois(cohort, tmp_path / "out").written == (target_of(cohort),)
    assert note.exists()


def test_without_a_lesion_there_is_no_mask_and_an_old_one_goes(cohort, tmp_path):
    write_rois(cohort, tmp_path / "out")
    save_mask(names_of(tmp_path, cohort.cases[0]), np.zeros(KINDS["anisotropic"].shape))
    rois = write_rois(cohort, tmp_path / "out")
    told = "sub-01_ses-02: no mask for fMRIPrep: no lesion was found"
    assert rois == type(rois)((), (), (), (told,))
    assert not target_of(cohort).exists()
    assert not list((tmp_path / "out").rglob("*_fmriprep.json"))


def test_a_case_that_failed_or_has_no_t1w_gets_none(cohort, tmp_path):
    case = cohort.cases[0]
    no_t1w = Case("sub-02", {"flair": case.images["t1"]}, case.folder, case.prefix)
    assert write_rois(Cohort("bids", cohort.root, (no_t1w,)), tmp_path / "out").written == ()
    error = names_of(tmp_path, case).record.with_name("sub-01_ses-02_error.json")
    error.write_text("{}")
    assert write_rois(cohort, tmp_path / "out").written == ()
    assert not target_of(cohort).exists()


def test_a_mask_elsewhere_in_the_world_is_told_and_costs_no_other(cohort, tmp_path):
    case = cohort.cases[0]
    far = Case("sub-02", {"t1": tmp_path / "raw" / "sub-02_T1w.nii"}, "sub-02", "sub-02")
    image = scan_image(KINDS["ras"])
    image.set_sform(image.affine + np.array([[0, 0, 0, 900.0], *np.zeros((3, 4))]), code=1)
    nib.save(image, far.images["t1"])
    names = names_of(tmp_path, far)
    names.directory.mkdir()
    names.record.write_text("{}")
    save_mask(names, ball(KINDS["anisotropic"]))
    rois = write_rois(Cohort("bids", cohort.root, (far, case)), tmp_path / "out")
    assert rois.written == (target_of(cohort),)
    assert len(rois.failed) == 1
    assert rois.failed[0].startswith("sub-02: no mask for fMRIPrep: ")
    assert "shares no space with" in rois.failed[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sub-01_T1w.nii.gz", "sub-01_label-lesion_roi.nii.gz"),
        ("sub-01_ses-a_T1w.nii", "sub-01_ses-a_label-lesion_roi.nii.gz"),
        ("sub-x_acq-a_run-2_T1w.nii.gz", "sub-x_label-lesion_roi.nii.gz"),
    ],
)
def test_the_name_is_the_one_that_fmriprep_takes(tmp_path, name, expected):
    assert roi_path(tmp_path / name) == tmp_path / expected


def test_a_scan_without_a_bids_name_is_told(tmp_path):
    with pytest.raises(DataError, match="is not named as a T1w of BIDS"):
        roi_path(tmp_path / "mprage.nii.gz")


def test_the_dataset_is_told_to_ignore_the_masks_once(tmp_path):
    (tmp_path / ".bidsignore").write_text("extra/")
    for _ in range(2):
        prepare_rois(tmp_path)
        lines = (tmp_path / ".bidsignore").read_text().splitlines()
        assert lines == ["extra/", "*_label-lesion_roi.nii.gz"]
    assert [path.name for path in tmp_path.iterdir()] == [".bidsignore"]


def test_a_dataset_that_cannot_be_written_in_is_told_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotCreateError, match="nothing can be written there: leave it out"):
        prepare_rois(tmp_path / "file")


def test_a_case_without_a_t1w_or_a_result_says_so(cohort, tmp_path):
    (case,) = cohort.cases
    names_of(tmp_path, case).mask.unlink()
    flair = Case("sub-02", {"flair": case.images["t1"]}, "sub-02/anat", "sub-02")
    rois = write_rois(Cohort("bids", cohort.root, (case, flair)), tmp_path / "out")
    assert rois.without == (
        "sub-01_ses-02: no mask for fMRIPrep: it has no result",
        "sub-02: no mask for fMRIPrep: it has no T1w",
    )
