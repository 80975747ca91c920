import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from strokeseg import predict
from strokeseg.cohort.batch.run import run_here
from strokeseg.cohort.collect import collect
from strokeseg.errors import DataError
from strokeseg.prediction.options import Options
from tests.cohort.cohorts import make_case, make_job, make_model, run_all, with_prints
from tests.factories import scan_file

EASY = Options(tta=False, strict=False)


def series(folder):
    path = folder / "s1_dwi.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((40, 40, 40, 7), np.float32), np.eye(4)), path)
    return path


def damaged(folder):
    path = folder / "s1_dwi.nii.gz"
    path.write_bytes(scan_file(folder).read_bytes()[:3000])
    return path


def elsewhere(folder):
    path = folder / "s1_dwi.nii.gz"
    image = nib.load(scan_file(folder))
    affine = image.affine.copy()
    affine[:3, 3] += 500
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), path)
    return path


BAD = {
    "a series": (series, "holds 7 volumes"),
    "damaged": (damaged, "cut short"),
    "elsewhere": (elsewhere, "share no space"),
}


@pytest.fixture
def case(tmp_path):
    return make_case(tmp_path / "cases", "s1")


@pytest.fixture
def job(tmp_path):
    model = make_model(tmp_path / "model")
    return make_job(tmp_path / "out", model, options=EASY, kinds=frozenset({"mask"}))


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("memory", [None, 4 * 10**9])
def test_one_bad_extra_scan_is_left_out_and_told(case, job, tmp_path, name, memory):
    make, word = BAD[name]
    bad = replace(case, images={**case.images, "dwi": make(tmp_path)})
    job = with_prints(job, hardware=replace(job.hardware, max_memory_bytes=memory))
    assert run_all([bad], job)["s1"].status == "done"
    record = json.loads((tmp_path / "out/s1/s1_strokeseg.json").read_text())
    assert list(record["inputs"]) == ["flair"]
    assert word in record["left_out"]["dwi"]["why"]
    (told,) = [line for line in record["warnings"] if "left out" in line]
    assert told.startswith("dwi: left out of this case: ")
    assert str(tmp_path) not in told
    collect(tmp_path / "out", "run")
    assert "dwi: left out of this case" in (tmp_path / "out/cohort.tsv").read_text()
    assert run_all([bad], with_prints(job))["s1"].status == "skipped"
    nib.save(nib.load(case.images["flair"]), bad.images["dwi"])
    assert run_all([bad], with_prints(job))["s1"].status == "done"


def test_a_pair_of_files_that_was_left_out_is_known_by_both(case, job, tmp_path):
    for half in ("hdr", "img"):
        (tmp_path / f"s1_dwi.{half}").write_bytes(b"no scan")
    bad = replace(case, images={**case.images, "dwi": tmp_path / "s1_dwi.hdr"})
    assert run_all([bad], job)["s1"].status == "done"
    assert run_all([bad], with_prints(job))["s1"].status == "skipped"
    (tmp_path / "s1_dwi.img").write_bytes(b"another")
    assert run_all([bad], with_prints(job))["s1"].status == "done"


def test_strict_fails_the_case(case, job, tmp_path):
    bad = replace(case, images={**case.images, "dwi": series(tmp_path)})
    strict = with_prints(job, options=Options(tta=False, strict=True))
    outcome = run_all([bad], strict)["s1"]
    assert (outcome.status, outcome.exit_code) == ("failed", 65)
    assert "7 volumes" in outcome.message


def test_the_reference_cannot_be_left_out(case, job, tmp_path):
    bad = replace(case, images={"t1": damaged(tmp_path), **case.images})
    assert run_all([bad], job)["s1"].status == "failed"


def test_anonymous_results_do_not_name_what_was_left_out(case, job, tmp_path):
    bad = replace(case, images={**case.images, "dwi": series(tmp_path)})
    assert run_all([bad], with_prints(job, anonymise=True))["s1"].status == "done"
    for path in (tmp_path / "out").rglob("*.json"):
        assert "s1_dwi" not in path.read_text()


def test_a_prediction_is_strict_unless_told_otherwise(case, job, tmp_path):
    images = {**case.images, "dwi": series(tmp_path)}
    model = job.models[0]
    with pytest.raises(DataError, match="7 volumes"):
        predict(images, model=model)
    result = predict(images, model=model, options=EASY)
    assert list(result.record["left_out"]) == ["dwi"]


def test_the_worker_of_a_batch_reads_ahead(case, job, tmp_path):
    bad = replace(case, images={**case.images, "dwi": series(tmp_path)})
    from strokeseg.cohort.batch.agenda import CaseQueue
    from strokeseg.cohort.batch.job import Silent

    outcomes = list(run_here(CaseQueue([bad], Silent()), job, Silent()))
    assert [outcome.status for outcome in outcomes] == ["done"]
