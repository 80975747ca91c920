"""`strokeseg bids` as BIDS Apps are called, its tree before the official validator, and overlap."""

import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from strokeseg.cli.bids import spread_labels
from tests.bids.validator import validate
from tests.cohort.cohorts import make_model
from tests.factories import KINDS, scan_image
from tests.tiny_models import isolate

ROI = "sub-01_label-lesion_roi.nii.gz"


def put(raw, name, kind="ras"):
    """Write a scan to its place in a dataset."""
    entities = name.split("_")
    path = raw / entities[0]
    if entities[1].startswith("ses-"):
        path /= entities[1]
    path = path / "anat" / f"{name}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = scan_image(KINDS[kind])
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return path


def make_raw(raw):
    raw.mkdir()
    about = {"Name": "Some strokes", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (raw / "dataset_description.json").write_text(json.dumps(about))
    put(raw, "sub-01_T1w", "oblique")
    put(raw, "sub-01_FLAIR", "anisotropic")
    put(raw, "sub-02_ses-a_FLAIR")
    put(raw, "sub-02_ses-b_FLAIR")
    return raw


@pytest.fixture
def study(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    make_model(tmp_path / "model")
    make_raw(tmp_path / "raw")
    return tmp_path


def bids(study, *arguments, level="participant", out="out", options=("--fast",)):
    model = ("--model", str(study / "model"))
    start = ("bids", str(study / "raw"), str(study / out), level)
    return run([*start, *options, *(model if level == "participant" else ()), *arguments])


def done(study):
    return sorted(path.name for path in (study / "out").rglob("*_mask.nii.gz"))


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        (
            "raw out participant --participant-label 01 02 --fast",
            "raw out participant --participant-label 01 --participant-label 02 --fast",
        ),
        (
            "raw out participant --fast --participant_label sub-01,02",
            "raw out participant --fast --participant-label sub-01 --participant-label 02",
        ),
        (
            "--session-label=a,b raw out group",
            "--session-label a --session-label b raw out group",
        ),
        (
            "--participant-label 01 02 raw out participant",
            "raw out participant --participant-label 01 --participant-label 02",
        ),
        (
            "--participant-label 01 --session_label a b -- raw out participant",
            "--participant-label 01 --session-label a --session-label b -- raw out participant",
        ),
        (
            "raw out participant --participant-label 01 --participant-label 02",
            "raw out participant --participant-label 01 --participant-label 02",
        ),
        (
            "raw out participant --participant-label --fast",
            "raw out participant --participant-label --fast",
        ),
        (
            "raw out participant --save all --threads 2",
            "raw out participant --save all --threads 2",
        ),
        ("out -- --participant-label 01 02", "out -- --participant-label 01 02"),
    ],
)
def test_labels_are_read_as_bids_apps_take_them(given, understood):
    assert spread_labels(given.split()) == understood.split()


def test_the_tree_passes_the_official_validator(study):
    assert bids(study, "--save", "all", "--fmriprep-roi", "--reference", "flair") == 0
    (study / "out" / "overlap").mkdir()
    (study / "out" / "overlap" / "overlap.json").write_text("{}")
    (study / "out" / "report").mkdir()
    (study / "out" / "report" / "index.html").write_text("<html></html>")
    (study / "out" / "sub-03_error.json").write_text("{}")
    about = {"warning", "TOO_FEW_AUTHORS", "/dataset_description.json"}
    assert [set(issue) for issue in validate(study / "out")] == [about]
    assert not {issue for issue in validate(study / "raw") if issue[0] == "error"}


def test_the_validator_would_tell(study):
    assert bids(study, "--participant-label", "02", "--session-label", "a") == 0
    (study / "out" / ".bidsignore").unlink()
    codes = {(severity, code) for severity, code, _ in validate(study / "out")}
    assert ("error", "NOT_INCLUDED") in codes


def test_sidecars_and_description_agree_on_the_dataset(study):
    assert bids(study, "--participant-label", "01", "--save", "all", "--reference", "flair") == 0
    anat = study / "out" / "sub-01" / "anat"
    mask = json.loads((anat / "sub-01_label-L_mask.json").read_text())
    assert mask["Type"] == "Lesion"
    assert mask["Sources"] == [
        "bids:raw:sub-01/anat/sub-01_T1w.nii.gz",
        "bids:raw:sub-01/anat/sub-01_FLAIR.nii.gz",
    ]
    assert mask["SpatialReference"] == "bids:raw:sub-01/anat/sub-01_FLAIR.nii.gz"
    for name in ("label-L_probseg", "dseg", "desc-uncertainty_map"):
        sidecar = json.loads((anat / f"sub-01_{name}.json").read_text())
        assert sidecar["SpatialReference"] == mask["SpatialReference"]
        assert sidecar["Sources"] == mask["Sources"]
    about = json.loads((study / "out" / "dataset_description.json").read_text())
    assert about["DatasetType"] == "derivative"
    assert (study / "out" / about["DatasetLinks"]["raw"]).samefile(study / "raw")


def test_only_the_participants_and_sessions_asked_for_are_done(study, capsys):
    assert bids(study, "--participant-label", "02", "--session-label", "b") == 0
    assert done(study) == ["sub-02_ses-b_label-L_mask.nii.gz"]
    assert bids(study, "--participant_label", "sub-01", "02", "--", options=()) == 0
    assert len(done(study)) == 3
    assert bids(study, "--participant-label", "07") == 66
    assert "no sub-07; there is 01, 02" in capsys.readouterr().err


def test_a_broken_scan_costs_its_own_case_alone(study, capsys):
    broken = put(study / "raw", "sub-03_FLAIR")
    broken.write_bytes(broken.read_bytes()[:400])
    assert bids(study, "--fmriprep-roi") == 1
    assert "1 of 4 cases failed, the first sub-03" in capsys.readouterr().err
    assert (study / "out" / "sub-03" / "anat" / "sub-03_error.json").exists()
    assert len(done(study)) == 3
    assert (study / "raw" / "sub-01" / "anat" / ROI).exists()
    assert not {issue for issue in validate(study / "out") if issue[0] == "error"}


def test_the_raw_data_stay_as_they_are_unless_masks_for_fmriprep_are_asked_for(study, capsys):
    raw = study / "raw"
    before = {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()}
    assert bids(study, "--reference", "flair") == 0
    assert {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()} == before
    capsys.readouterr()
    assert bids(study, "--reference", "flair", "--fmriprep-roi") == 0
    after = {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()}
    roi = raw / "sub-01" / "anat" / ROI
    assert set(after) - set(before) == {roi, raw / ".bidsignore"}
    assert all(after[path] == content for path, content in before.items())
    assert "1 mask for fMRIPrep" in capsys.readouterr().err
    assert nib.load(roi).shape == KINDS["oblique"].shape
    assert np.asarray(nib.load(roi).dataobj).any()


def test_masks_for_fmriprep_are_no_scans_of_the_next_run(study, capsys):
    assert bids(study, "--fmriprep-roi") == 0
    (study / "raw" / "sub-01" / "anat" / ROI).write_bytes(b"edited by hand")
    capsys.readouterr()
    assert bids(study, "--fmriprep-roi") == 0
    shown = capsys.readouterr()
    assert "done before  3" in shown.out
    assert f"{ROI}: was there before or was edited since" in shown.err
    assert (study / "raw" / "sub-01" / "anat" / ROI).read_bytes() == b"edited by hand"


def test_group_makes_the_tables_of_all_that_is_there(study, capsys):
    assert bids(study, "--participant-label", "01") == 0
    assert bids(study, "--participant-label", "02") == 0
    (study / "out" / "cohort.tsv").unlink()
    capsys.readouterr()
    assert bids(study, level="group", options=()) == 0
    rows = (study / "out" / "cohort.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows] == [
        "case",
        "sub-01",
        "sub-02_ses-a",
        "sub-02_ses-b",
    ]
    assert "cohort.tsv" in capsys.readouterr().out


def test_a_dry_run_writes_nothing_at_all(study, capsys):
    assert bids(study, "--dry-run", "--fmriprep-roi") == 0
    assert "sub-02_ses-a" in capsys.readouterr().out
    assert not (study / "out").exists()
    assert not (study / "raw" / ".bidsignore").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("RAW", "RAW", "participant"), 2, "is the dataset itself"),
        (
            ("RAW", "OUT", "session"),
            2,
            "session is no level of analysis: give participant or group",
        ),
        (("OUT", "RAW", "participant"), 66, "no such folder; give the root of a BIDS dataset"),
        (("RAW", "OUT", "group"), 66, "no such folder"),
        (("RAW", "OUT"), 2, "LEVEL"),
        (
            ("RAW", "OUT", "participant", "--fmriprep-roi", "--save", "qc"),
            2,
            "--fmriprep-roi needs the mask, which --save qc leaves out",
        ),
        (("RAW", "OUT", "participant", "--participant-label"), 2, "requires"),
    ],
)
def test_a_wrong_call_ends_with_its_code_and_one_line(study, capsys, arguments, code, message):
    places = {"RAW": str(study / "raw"), "OUT": str(study / "out")}
    assert run(["bids", *(places.get(word, word) for word in arguments)]) == code
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len([line for line in error.splitlines() if "strokeseg: error: " in line]) == 1


def test_another_dataset_is_not_taken_for_the_output(study, capsys):
    (study / "out").mkdir()
    (study / "out" / "dataset_description.json").write_text('{"Name": "Other"}')
    assert bids(study) == 73
    assert "describes another dataset (Other)" in capsys.readouterr().err


def test_a_folder_that_is_no_dataset_is_sent_to_batch(study, capsys):
    (study / "plain" / "p1").mkdir(parents=True)
    nib.save(scan_image(KINDS["ras"]), study / "plain" / "p1" / "flair.nii.gz")
    assert run(["bids", str(study / "plain"), str(study / "out"), "participant"]) == 2
    assert "is no BIDS dataset" in capsys.readouterr().err


def test_overlap_maps_the_lesions_of_a_cohort(study, capsys):
    assert bids(study, "--participant-label", "02", "--save", "mask,tissue") == 0
    capsys.readouterr()
    assert run(["overlap", str(study / "out")]) == 0
    shown = capsys.readouterr()
    assert "most in one place  2 (100 %)" in shown.out
    assert "more than one session is counted of sub-02" in shown.err
    folder = study / "out" / "overlap"
    assert (folder / "overlap.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((folder / "overlap.json").read_text())["greatest_count"] == 2
    before = (folder / "overlap_count.nii.gz").read_bytes()
    assert run(["overlap", str(study / "out"), "-q"]) == 0  # an earlier map is replaced
    assert (folder / "overlap_count.nii.gz").read_bytes() == before
    assert run(["overlap", str(study / "out"), "-o", str(study / "m"), "--align"]) == 0
    assert nib.load(study / "m" / "overlap_count.nii.gz").shape == (181, 217, 181)


def test_overlap_tells_what_it_cannot_do(study, capsys):
    (study / "m").mkdir()
    (study / "m" / "overlap.png").write_bytes(b"mine")
    assert bids(study, "--participant-label", "02") == 0
    out = str(study / "out")
    for arguments, code, message in (
        ((out, "--space", "MNI152", "--align"), 2, "give one"),
        ((out, "-o", str(study / "m")), 73, "is there and is no lesion map of strokeseg"),
        ((str(study / "none"),), 66, "no such folder"),
        ((out, "--align"), 65, "is not there to align it: run it again with --save mask,tissue"),
        ((out, "--background", str(study / "none.nii")), 66, "none.nii"),
    ):
        assert run(["overlap", *arguments]) == code, arguments
        assert message in capsys.readouterr().err
    assert (study / "m" / "overlap.png").read_bytes() == b"mine"
    assert not (study / "out" / "overlap").exists()
