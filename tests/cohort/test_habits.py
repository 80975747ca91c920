"""Folders as people and converters leave them."""

import json
import shutil
import zipfile
from importlib.util import find_spec

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from strokeseg.cohort.cases.find import find_cases
from strokeseg.cohort.cases.hints import is_copy, telling_glob
from strokeseg.cohort.cases.patterns import compile_patterns
from strokeseg.errors import DataError
from strokeseg.images.arrival import arrived
from strokeseg.images.twins import without_twins
from strokeseg.results.dicom_seg import seg_path
from tests.cohort.cohorts import make_case, make_job, make_model, statuses, with_prints
from tests.factories import scan_file
from tests.images.dicom_series import needs_dicom, zipped
from tests.images.test_diffusion_series import series
from tests.tiny_models import isolate


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        (("p_t1.nii.gz", "p_t1 (1).nii.gz"), "p_t1.nii.gz"),
        (("ct_2.nii.gz", "ct_2_Tilt_Eq_1.nii.gz"), "ct_2_Tilt_Eq_1.nii.gz"),
        (("ct_2.nii", "ct_2_Eq_1.nii", "ct_2_Tilt_1.nii"), "ct_2_Eq_1.nii"),
        (("t1_5.nii", "t1_5a.nii", "t1_5b.nii"), "t1_5.nii"),
    ],
)
def test_one_of_several_copies_is_taken(files, taken):
    left, twins = without_twins(files)
    assert left == [taken]
    assert set(twins) == set(files) - {taken}
    assert set(twins.values()) == {taken}


def test_names_that_only_look_like_copies_stay():
    files = ["p1a_t1.nii", "p1b_t1.nii", "t1_5a.nii", "s (1).nii"]
    assert without_twins(files) == (files, {})


def test_a_flat_folder_with_twins_has_one_case_and_says_so(tmp_path):
    touch(tmp_path, "P1_ct.nii.gz", "P1_ct_Tilt_Eq_1.nii.gz", "P2_ct.nii", "P2_ct (1).nii")
    cohort = find_cases(tmp_path)
    assert {case.name: case.images["ct"].name for case in cohort.cases} == {
        "P1": "P1_ct_Tilt_Eq_1.nii.gz",
        "P2": "P2_ct.nii",
    }
    (note,) = cohort.notes
    assert "P1_ct.nii.gz (taken: P1_ct_Tilt_Eq_1.nii.gz)" in note
    assert "P2_ct (1).nii (taken: P2_ct.nii)" in note


def test_a_folder_per_case_with_twins_is_not_ambiguous(tmp_path):
    touch(tmp_path, "a/t1.nii", "a/t1 (1).nii", "b/t1.nii")
    cohort = find_cases(tmp_path)
    assert [case.images["t1"].name for case in cohort.cases] == ["t1.nii", "t1.nii"]
    assert "a/t1 (1).nii" in cohort.notes[0] or "t1 (1).nii" in cohort.notes[0]


@pytest.mark.parametrize("flat", [True, False])
def test_letter_twins_without_a_plain_file_are_told(tmp_path, flat):
    """Parts of one series, as dcm2niix writes them: which is meant is not known."""
    touch(tmp_path, *(f"{'' if flat else 'P2/'}P2_t1_5{letter}.nii" for letter in "ab"))
    if flat:
        (note,) = find_cases(tmp_path).notes
        assert note == "cases that may be several series of one patient: P2_5a and P2_5b"
    else:
        with pytest.raises(DataError, match=r"P2: t1 is P2_t1_5a.nii or P2_t1_5b.nii"):
            find_cases(tmp_path)


def test_series_of_one_patient_are_told(tmp_path):
    touch(tmp_path, "P01_t1_2.nii", "P01_t1_5.nii", "P02_t1_2.nii")
    (note,) = find_cases(tmp_path).notes
    assert note == "cases that may be several series of one patient: P01_2 and P01_5"


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        (("a/t1.nii", "a/t1_gd.nii", "b/t1.nii"), "*t1.nii"),
        (("a/T1.nii", "a/wT1.nii", "b/T1.nii"), "T1.nii"),
        (("a/a_T1w.nii", "a/a_T1w_brain.nii", "b/b_T1w.nii"), "*_T1w.nii"),
        (("a/t1_tfe.nii", "a/t1_mprage.nii", "b/t1_mprage.nii"), "*_mprage.nii"),
        # No pattern takes t1 and t1_mprage and leaves t1_gd out.
        (("a/t1.nii", "a/t1_gd.nii", "b/t1.nii", "c/t1_mprage.nii"), None),
    ],
)
def test_a_hint_keeps_every_case_that_had_one_candidate(tmp_path, files, hint):
    touch(tmp_path, *files)
    first, *others = find_cases(tmp_path).cases
    assert all(case.fault is None for case in others)
    message = str(first.fault)
    if hint is None:
        assert message.endswith("list the cases in a table")
        return
    assert f"choose by --pattern t1='{hint}' or alike" in message
    followed = find_cases(tmp_path, patterns={"t1": hint}).cases
    assert [case.name for case in followed] == [case.name for case in (first, *others)]
    assert all(case.fault is None for case in followed)


@pytest.mark.parametrize(
    ("plain", "copy"),
    [
        ("t1.nii", "t1_gd.nii"),
        ("T1w.nii.gz", "T1w_space-MNI152.nii.gz"),
        ("sub_T1.nii", "wsub_T1.nii"),
        ("flair.nii", "flair_brain.nii"),
        ("anat/T1.nii", "mni/T1.nii"),
        ("T1.nii", "T1+C.nii"),
    ],
)
def test_a_hint_prefers_the_plain_native_file(plain, copy):
    pattern = compile_patterns({"t1": telling_glob((copy, plain), [(copy, plain)], (plain,))})[0]
    assert pattern.matches(plain)
    assert not pattern.matches(copy)
    assert not is_copy(plain)


def test_a_hint_is_given_where_one_can_be():
    assert telling_glob(("a_t1.nii", "a_t1_gd.nii"), [("a_t1.nii", "a_t1_gd.nii")], ("b_t1.nii",))


def test_a_space_stays_in_the_names_of_results(tmp_path):
    touch(tmp_path, "p1/p1_space-MNI152NLin6Asym_T1w.nii.gz", "p1/p1_flair.nii", "p2/T1w.nii.gz")
    first, second = find_cases(tmp_path).cases
    assert (first.name, first.prefix) == ("p1", "p1_space-MNI152NLin6Asym")
    assert (second.name, second.prefix) == ("p2", "p2")
    # It is the space of the scan whose grid they have.
    assert find_cases(tmp_path, reference="flair").cases[0].prefix == "p1"
    table = tmp_path / "cases.csv"
    table.write_text("case,t1\nx,p1/p1_space-MNI152NLin6Asym_T1w.nii.gz\n")
    assert find_cases(table).cases[0].prefix == "x_space-MNI152NLin6Asym"


def test_results_of_atlas_go_into_one_map_as_they_are(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    space = "space-MNI152NLin2009aSym"
    for site, subject in (("R001", "sub-r001s001"), ("R002", "sub-r002s001")):
        anat = tmp_path / "atlas" / site / subject / "ses-1" / "anat"
        anat.mkdir(parents=True)
        scan_file(anat).rename(anat / f"{subject}_ses-1_{space}_T1w.nii.gz")
        mask = f"{subject}_ses-1_{space}_label-L_desc-T1lesion_mask.nii.gz"
        scan_file(anat).rename(anat / mask)
    out, model = tmp_path / "out", make_model(tmp_path / "model")
    words = ["--model", str(model), "--fast", "-q", "--save", "mask"]
    assert run(["batch", str(tmp_path / "atlas"), str(out), *words]) == 0
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*_mask.nii.gz"))
    start = "R001/sub-r001s001/ses-1/anat/sub-r001s001_ses-1"
    assert names[0] == f"{start}_{space}_label-L_mask.nii.gz"
    assert len(names) == 2
    assert run(["overlap", str(out), "-q"]) == 0
    masks = [np.asarray(nib.load(out / name).dataobj) for name in names]
    found = nib.load(out / "overlap" / "overlap_count.nii.gz")
    np.testing.assert_array_equal(np.asarray(found.dataobj), masks[0].astype(int) + masks[1])
    assert json.loads((out / "overlap" / "overlap.json").read_text())["space"] == space[6:]


def test_datasets_side_by_side_are_one_cohort(tmp_path):
    touch(
        tmp_path,
        "R001/sub-r001s001/ses-1/anat/sub-r001s001_ses-1_T1w.nii.gz",
        "R002/sub-r002s001/ses-1/anat/sub-r002s001_ses-1_T1w.nii.gz",
        "R003/sub-r002s001/ses-1/anat/sub-r002s001_ses-1_T1w.nii.gz",
    )
    cohort = find_cases(tmp_path)
    assert cohort.kind == "folder"
    assert [(case.name, case.folder) for case in cohort.cases] == [
        ("R002_sub-r002s001_ses-1", "R002/sub-r002s001/ses-1/anat"),
        ("R003_sub-r002s001_ses-1", "R003/sub-r002s001/ses-1/anat"),
        ("sub-r001s001_ses-1", "R001/sub-r001s001/ses-1/anat"),
    ]


def test_a_folder_of_raw_series_alone_says_so(tmp_path):
    touch(tmp_path, "a/a_dwi.nii.gz", "b/b_dwi.nii.gz")
    for name in "ab":
        (tmp_path / name / f"{name}_dwi.bval").write_text("unreadable x")
    with pytest.raises(DataError, match="holds raw diffusion series alone"):
        find_cases(tmp_path)


def test_a_dry_run_tells_series_that_nothing_says_of_what_they_are(tmp_path, capsys):
    make_case(tmp_path / "cases", "a")
    (tmp_path / "cases" / "b").mkdir()
    many = np.arange(8**3 * 4, dtype=np.int16).reshape(8, 8, 8, 4)
    image = nib.Nifti1Image(many, np.diag([20.0, 20, 20, 1]))
    nib.save(image, tmp_path / "cases" / "b" / "b_dwi.nii")
    model = ["--model", str(make_model(tmp_path / "model"))]
    words = ["batch", str(tmp_path / "cases"), str(tmp_path / "out"), *model, "--fast"]
    assert run([*words, "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "cannot be done: " in " ".join(shown.out.split())
    assert "2 cases, 1 cannot be done; nothing was done" in shown.err
    assert run([*words, "-q"]) == 1
    assert "1 of 2 cases failed, the first b" in capsys.readouterr().err
    assert run([*words, "--dry-run", "--reference", "dwi"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--reference dwi was not given" in shown


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--model", "nope"], 69),
        (["--model", "BROKEN"], 65),
        (["--model", "synthstroke-baseline", "--offline"], 69),
        (["--engine", "nope"], 2),
        (["--device", "mps"], 70),
        (["--precision", "fp64"], 2),
        (["--max-memory", "1k"], 2),
        (["--threads", "0"], 2),
    ],
)
def test_a_dry_run_refuses_models_and_engines_as_the_run_does(
    tmp_path, monkeypatch, capsys, words, code
):
    isolate(monkeypatch, tmp_path / "home")
    make_case(tmp_path / "cases", "a")
    (tmp_path / "broken").mkdir()
    words = [str(tmp_path / "broken") if word == "BROKEN" else word for word in words]
    if "--model" not in words:
        words += ["--model", str(make_model(tmp_path / "model"))]
    shared = ["batch", str(tmp_path / "cases"), str(tmp_path / "out"), *words]
    said = []
    for more in (["--dry-run"], []):
        assert run([*shared, *more]) == code
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]


def test_a_dry_run_does_not_ask_for_a_model_that_would_be_fetched(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    make_case(tmp_path / "cases", "a")
    words = ["batch", str(tmp_path / "cases"), str(tmp_path / "out"), "--dry-run"]
    assert run([*words, "--model", "synthstroke-baseline"]) == 0


def test_a_dry_run_refuses_what_the_run_would(tmp_path, capsys):
    make_case(tmp_path / "cases", "a")
    (tmp_path / "file").write_text("x")
    for output, code in ((tmp_path / "cases", 2), (tmp_path / "file" / "below", 73)):
        assert run(["batch", str(tmp_path / "cases"), str(output), "--dry-run"]) == code
    assert run(["batch", str(tmp_path / "cases"), str(tmp_path / "out"), "--dry-run"]) == 0
    assert "1 case; nothing was done" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@needs_dicom
def test_a_folder_of_dicom_per_case_is_a_cohort(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    cases = tmp_path / "cases"
    (cases / "p1").mkdir(parents=True)
    with zipfile.ZipFile(zipped("siemens-dwi-enhanced")) as archive:
        archive.extractall(cases / "p1" / "DWI")
    (cases / "p2").mkdir()
    shutil.copy(zipped("canon-dti-classic"), cases / "p2" / "dwi.zip")
    (cases / "p3" / "IM0001").mkdir(parents=True)
    with zipfile.ZipFile(zipped("canon-dti-classic")) as archive:
        archive.extractall(cases / "p3" / "IM0001")
    (cases / "p4").mkdir()
    shutil.copy(zipped("ge-ct-tilted"), cases / "p4" / "ct.zip")
    cohort = find_cases(cases)
    assert {case.name: dict(case.images) for case in cohort.cases} == {
        "p1": {"dwi": cases / "p1" / "DWI"},
        "p2": {"dwi": cases / "p2" / "dwi.zip"},
        "p4": {"ct": cases / "p4" / "ct.zip"},
    }
    assert any("p3/IM0001" in note and "strokeseg convert" in note for note in cohort.notes)
    model = make_model(tmp_path / "model", voxel_size_mm=4.0)
    kinds = frozenset({"mask"})
    job = make_job(
        tmp_path / "out", model, kinds=kinds, as_dicom=find_spec("highdicom") is not None
    )
    assert statuses(cohort.cases, job) == {"p1": "done", "p2": "done", "p4": "done"}
    for case in cohort.cases:
        ((modality, path),) = case.images.items()
        mask, scan = nib.load(job.names(case).mask), arrived(modality, path)
        assert mask.shape == scan.data.shape
        np.testing.assert_allclose(mask.affine, scan.grid.affine, atol=1e-4)
        if job.as_dicom:
            from pydicom import dcmread

            frames = dcmread(seg_path(job.names(case))).pixel_array
            assert np.count_nonzero(frames) == np.count_nonzero(mask.dataobj)
    assert statuses(cohort.cases, with_prints(job)) == {
        "p1": "skipped",
        "p2": "skipped",
        "p4": "skipped",
    }
    next((cases / "p1").rglob("*.dcm")).unlink()
    assert statuses(cohort.cases, with_prints(job))["p1"] in ("done", "failed")


def test_a_raw_series_alone_is_the_dwi_of_its_case(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        series(tmp_path / name, name="dwi")
    touch(tmp_path, "b/b_trace.nii.gz")
    first, second = find_cases(tmp_path).cases
    assert first.images["dwi"].name == "dwi.nii.gz"
    assert second.images["dwi"].name == "b_trace.nii.gz"
