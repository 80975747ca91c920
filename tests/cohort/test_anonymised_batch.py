"""`batch` and `bids` with `--anonymise`: pseudonyms that resume, and nobody's name anywhere."""

import json
import subprocess
from dataclasses import replace

import pytest

from strokeseg.cli import run
from strokeseg.cohort.batch import claims as claim
from strokeseg.cohort.batch.claims import Claims, Holder
from strokeseg.cohort.batch.cluster.slurm import cluster_settings
from strokeseg.cohort.bids_derivative import IMAGE_VARIABLE, description
from strokeseg.cohort.cases.case import Case, Cohort
from strokeseg.cohort.cases.pseudonyms import anonymise_cohort
from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.files.checksums import sha256
from strokeseg.results.anonymous import pseudonym
from tests.bids.validator import validate
from tests.cohort.cohorts import COMMAND, make_model
from tests.patients import (
    HOST,
    IN_HEADER,
    IN_NAME,
    NAMED,
    as_host,
    copied,
    everything,
    leaks,
    patient_scan,
)
from tests.tiny_models import isolate


@pytest.fixture
def folder(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path / "home")
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    as_host(monkeypatch)
    make_model(tmp_path / "model")
    return tmp_path


@pytest.fixture
def patients(folder):
    """Two patients, each with a folder of the same name, and one whose scan is cut."""
    for at, name in enumerate((NAMED, f"{NAMED}b", f"{NAMED}c")):
        patient_scan(folder / "in" / name, f"{name}_flair.nii.gz", shift=at)
    bad = folder / "in" / f"{NAMED}c" / f"{NAMED}c_flair.nii.gz"
    bad.write_bytes(bad.read_bytes()[:3000])
    return folder


def forbidden(folder):
    return (*IN_NAME, *IN_HEADER, str(folder), "pytest-of", HOST)


def batch(folder, *arguments, command="batch", source="in", out="out"):
    words = [command, str(folder / source), str(folder / out)]
    words += ["participant"] if command == "bids" else []
    return run([*words, "--model", str(folder / "model"), "--fast", "--anonymise", *arguments])


def pseudonyms(folder):
    return {pseudonym(path) for path in (folder / "in").rglob("*flair.nii.gz")}


def test_a_batch_names_nobody_and_goes_on_where_it_was(patients, capfd):
    assert batch(patients, "--save", "all") == 1
    shown = capfd.readouterr()
    found = everything(patients / "out", shown.out, shown.err)
    assert leaks(found, forbidden(patients)) == []
    rows = [line.split("\t") for line in found["cohort.tsv"].decode().splitlines()[2:]]
    assert {row[0] for row in rows} == pseudonyms(patients)
    assert sorted(row[1] for row in rows) == ["done", "done", "failed"]
    (error,) = (patients / "out").rglob("*_error.json")
    assert json.loads(error.read_text())["message"].startswith("flair: its gzip stream is cut")
    record = json.loads(next((patients / "out").rglob("*_strokeseg.json")).read_text())
    assert (record["anonymised"], record["truth"]) == (True, None)
    assert batch(patients, "--save", "all", "--json") == 1
    shown = capfd.readouterr()
    assert leaks({"said": (shown.out + shown.err).encode()}, forbidden(patients)) == []
    told = json.loads(shown.out)
    assert (told["done"], told["skipped"], told["failed"]) == (0, 2, 1)
    assert told["cohort_table"] == "OUTPUT/cohort.tsv"


def test_no_claim_that_a_batch_makes_names_the_host(patients, monkeypatch):
    claimed, dump = [], json.dump
    monkeypatch.setattr(
        claim.json,
        "dump",
        lambda content, file: claimed.append(str(content)) or dump(content, file),
    )
    assert batch(patients, "-q") == 1
    assert len(claimed) == 4  # three cases and the tables
    assert leaks({"claims": "".join(claimed).encode()}, [HOST]) == []


def test_processes_of_a_batch_name_nobody(patients):
    words = ["batch", "in", "out", "--model", "model", "--fast", "--anonymise", "--jobs", "2"]
    done = subprocess.run([*COMMAND, *words], cwd=patients, capture_output=True, text=True)
    assert done.returncode == 1
    found = everything(patients / "out", done.stdout, done.stderr)
    assert leaks(found, (*IN_NAME, *IN_HEADER, str(patients), "pytest-of")) == []
    assert "done         2" in done.stdout.splitlines()


def test_a_scan_that_moved_or_was_renamed_is_the_same_case(patients):
    assert batch(patients, "-q") == 1
    before = {p: p.stat().st_mtime_ns for p in (patients / "out").rglob("*_strokeseg.json")}
    (patients / "in" / NAMED).rename(patients / "in" / "other")
    assert batch(patients, "-q") == 1
    assert {p: p.stat().st_mtime_ns for p in (patients / "out").rglob("*_strokeseg.json")} == before
    assert len(before) == 2


def test_a_table_with_names_and_truths_names_nobody(patients, capfd):
    scan = f"in/{NAMED}/{NAMED}_flair.nii.gz"
    (patients / f"{NAMED}.csv").write_text(
        f"case,flair,truth,output\n{NAMED},{scan},{scan},{NAMED}/x\n"
    )
    assert batch(patients, source=f"{NAMED}.csv") == 0
    shown = capfd.readouterr()
    found = everything(patients / "out", shown.out, shown.err)
    assert leaks(found, forbidden(patients)) == []


def test_what_was_left_out_is_counted_and_not_named(patients, capfd):
    patient_scan(patients / "in" / f"{NAMED}d", f"{NAMED}_strange.nii.gz")
    assert batch(patients) == 1
    shown = capfd.readouterr()
    assert "1 note on files that were left out: see --dry-run" in shown.err
    assert leaks({"said": (shown.out + shown.err).encode()}, forbidden(patients)) == []


@pytest.mark.parametrize(
    ("spoil", "code", "word"),
    [
        (
            lambda folder: copied(
                folder / f"{NAMED}/{NAMED}_flair.nii.gz", folder / f"{NAMED}x", "x_flair.nii.gz"
            ),
            65,
            "scan is in more than one case",
        ),
        (
            lambda folder: copied(
                folder / f"{NAMED}/{NAMED}_flair.nii.gz", folder / NAMED, f"{NAMED}_b_FLAIR.nii.gz"
            ),
            65,
            "1 of 3 cases cannot be done; the same without --anonymise says which and why",
        ),
        (
            lambda folder: (
                (folder / NAMED / f"{NAMED}_t2.nii.gz").symlink_to("nowhere")
                or (folder / NAMED / f"{NAMED}_flair.nii.gz").unlink()
            ),
            66,
            "1 of 3 cases has a scan that cannot be read",
        ),
    ],
)
def test_what_keeps_a_batch_from_starting_is_told_without_names(patients, capfd, spoil, code, word):
    spoil(patients / "in")
    assert batch(patients) == code
    shown = capfd.readouterr()
    assert word in shown.err
    assert leaks({"said": (shown.out + shown.err).encode()}, forbidden(patients)) == []
    assert not (patients / "out").exists()


def test_results_with_names_and_without_do_not_share_a_folder(patients, capfd):
    words = ["batch", str(patients / "in"), str(patients / "out"), "--model"]
    assert run([*words, str(patients / "model"), "--fast", "-q"]) == 1
    capfd.readouterr()
    assert batch(patients) == 73
    said = capfd.readouterr().err
    assert "FILE: holds results that are not anonymised: give a folder of its own" in said
    assert leaks({"said": said.encode()}, forbidden(patients)) == []


@pytest.mark.parametrize("option", ["--dry-run", "--debug"])
def test_what_shows_names_does_not_go_with_it(patients, capfd, option):
    for command in ("batch", "bids"):
        assert batch(patients, option, command=command) == 2
        said = capfd.readouterr().err
        assert f"{option} shows names of files: leave it or --anonymise out" in said


# --- BIDS ---


@pytest.fixture
def dataset(folder):
    root = folder / f"study-{NAMED}"
    for at, label in enumerate(("01", "02")):
        name = f"sub-{label}_acq-DOERINGJOHN_FLAIR.nii.gz"
        patient_scan(root / f"sub-{label}" / "anat", name, shift=at)
        (root / f"sub-{label}" / "anat" / name.replace(".nii.gz", ".json")).write_text("{}")
    about = {"Name": f"Study of {NAMED}", "BIDSVersion": "1.10.0", "DatasetDOI": "doi:10.1/DOERING"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    (root / "README").write_text("A dataset for tests.\n" * 10)
    return root


def test_a_bids_dataset_keeps_its_labels_and_nothing_else(folder, dataset, capfd, monkeypatch):
    monkeypatch.setenv("APPTAINER_CONTAINER", f"/home/{NAMED}/x.sif")
    monkeypatch.setenv(IMAGE_VARIABLE, "strokeseg:0")
    arguments = {"command": "bids", "source": dataset.name}
    assert batch(folder, "--save", "all", **arguments) == 0
    shown = capfd.readouterr()
    found = everything(folder / "out", shown.out, shown.err)
    assert leaks(found, forbidden(folder)) == []
    about = json.loads((folder / "out" / "dataset_description.json").read_text())
    assert about["Name"] == "Stroke lesions, found by strokeseg"
    assert about["GeneratedBy"][0]["Container"] == {"Type": "apptainer", "Tag": "strokeseg:0"}
    assert "SourceDatasets" not in about
    names = {case.name for case in (folder / "out").iterdir() if case.is_dir()}
    assert names == {"sub-01", "sub-02"}
    sidecar = next((folder / "out").rglob("*_mask.json"))
    assert json.loads(sidecar.read_text())["Sources"] == ["flair"]
    assert batch(folder, "--save", "all", "--json", **arguments) == 0
    assert json.loads(capfd.readouterr().out)["skipped"] == 2


def test_results_are_made_again_where_names_are_wanted_or_no_longer(folder, dataset, capfd):
    words = {"command": "bids", "source": dataset.name}
    assert batch(folder, **words) == 0
    plain = ["bids", str(dataset), str(folder / "out"), "participant", "--fast"]
    capfd.readouterr()
    assert run([*plain, "--model", str(folder / "model")]) == 0
    assert capfd.readouterr().err.count("(again: it was anonymised)") == 2
    record = next((folder / "out").rglob("*_strokeseg.json"))
    content = json.loads(record.read_text())
    assert "anonymised" not in content
    assert batch(folder, **words) == 73
    for path in (folder / "out").rglob("*_strokeseg.json"):
        path.write_text("{")  # as a fault leaves it; what it vouched for is made anew
    assert batch(folder, **words) == 0
    assert leaks(everything(folder / "out"), forbidden(folder)) == []


def test_a_bids_dataset_whose_labels_are_names_goes_through_batch(folder, dataset, capfd):
    (dataset / "sub-01").rename(dataset / "sub-DOERING")
    for path in (dataset / "sub-DOERING" / "anat").iterdir():
        path.rename(path.with_name(path.name.replace("sub-01", "sub-DOERING")))
    assert batch(folder, source=dataset.name) == 0
    shown = capfd.readouterr()
    found = everything(folder / "out", shown.out, shown.err)
    assert leaks(found, (*forbidden(folder), "sub-02")) == []
    assert sum(place.endswith("_mask.nii.gz") for place in found) == 2


def test_an_anonymised_derivative_is_valid_bids(folder, dataset):
    assert batch(folder, "--save", "all", "-q", command="bids", source=dataset.name) == 0
    errors = [issue for issue in validate(folder / "out") if issue[0] == "error"]
    assert errors == []


def test_masks_for_fmriprep_and_the_group_level_name_nobody(folder, dataset, capfd):
    for label in ("01", "02"):
        patient_scan(dataset / f"sub-{label}" / "anat", f"sub-{label}_T1w.nii.gz", shift=5)
    arguments = {"command": "bids", "source": dataset.name}
    assert batch(folder, "--fmriprep-roi", "--threshold", "0.1", **arguments) == 0
    assert run(["bids", str(dataset), str(folder / "out"), "group", "--anonymise"]) == 0
    shown = capfd.readouterr()
    found = everything(folder / "out", shown.out, shown.err)
    assert leaks(found, forbidden(folder)) == []
    assert "masks for fMRIPrep beside the T1w scans of INPUT" in shown.err


def test_what_a_user_added_to_a_description_stays_but_the_link_to_the_dataset(tmp_path):
    old = description(tmp_path / "raw", tmp_path / "out", {})
    old["SourceDatasets"].append({"URL": "https://example.org/other"})
    old["DatasetLinks"]["other"] = "https://example.org/other"
    new = description(tmp_path / "raw", tmp_path / "out", old, anonymise=True)
    assert new["SourceDatasets"] == [{"URL": "https://example.org/other"}]
    assert new["DatasetLinks"] == {"other": "https://example.org/other"}


# --- the parts ---


def cohort_of(tmp_path, *contents, kind="folder"):
    cases = []
    for at, content in enumerate(contents):
        path = tmp_path / f"{at}_t1.nii"
        if content is not None:
            path.write_bytes(content)
        cases.append(Case(f"c{at}", {"t1": path}, f"c{at}", f"c{at}", truth=path))
    return Cohort(kind, tmp_path, tuple(cases), ("a: b",))


def test_a_case_is_called_after_its_reference_scan(tmp_path):
    cohort = cohort_of(tmp_path, b"1", b"2")
    flair = tmp_path / "flair.nii"
    flair.write_bytes(b"3")
    first = replace(cohort.cases[0], images={**cohort.cases[0].images, "flair": flair})
    cohort = replace(cohort, cases=(first, cohort.cases[1]))
    usual = anonymise_cohort(cohort, None, keep_labels=False)
    names = [f"sub-{sha256(tmp_path / f'{at}_t1.nii')[:12]}" for at in (0, 1)]
    assert [case.name for case in usual.cases] == sorted(names)
    assert {(case.folder, case.prefix, case.truth) for case in usual.cases} == {
        (name, name, None) for name in names
    }
    other = anonymise_cohort(cohort, "flair", keep_labels=False)
    assert pseudonym(flair) in {case.name for case in other.cases}
    as_bids = anonymise_cohort(replace(cohort, kind="bids"), None, keep_labels=False)
    assert all(case.folder == f"{case.name}/anat" for case in as_bids.cases)
    kept = anonymise_cohort(cohort, None, keep_labels=True)
    assert [(case.name, case.truth) for case in kept.cases] == [("c0", None), ("c1", None)]


def test_cases_that_cannot_be_told_apart_or_read_are_counted(tmp_path):
    with pytest.raises(DataError, match="1 scan is in more than one case"):
        anonymise_cohort(cohort_of(tmp_path, b"1", b"1", b"2"), None, keep_labels=False)
    with pytest.raises(InputNotFoundError, match="1 of 2 cases") as caught:
        anonymise_cohort(cohort_of(tmp_path / "..", b"1", None), None, keep_labels=False)
    assert caught.value.exit_code == 66


def test_claims_tell_hosts_apart_without_naming_them(tmp_path, monkeypatch):
    as_host(monkeypatch)
    claims = Claims(tmp_path, "run", anonymous=True)
    assert claims.take("a") is None
    assert leaks(everything(tmp_path), [HOST]) == []
    here = Holder.here("run", anonymous=True)
    assert str(Claims(tmp_path, "other", anonymous=True).take("a")) == str(here)
    monkeypatch.setattr("platform.node", lambda: "another")
    assert Holder.here("run", anonymous=True).host != here.host
    claims.close()


def test_slurm_jobs_of_an_anonymous_batch_write_no_logs(tmp_path):
    named = cluster_settings({"partition": "gpu", "gres": "gpu:1"}, tmp_path)
    silent = cluster_settings({"partition": "gpu", "gres": "gpu:1"}, None)
    assert named["log_directory"] == str(tmp_path)
    assert "log_directory" not in silent
    assert silent["job_extra_directives"] == [
        "--gres=gpu:1",
        "--output=/dev/null",
        "--error=/dev/null",
    ]
