import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from strokeseg.cohort.cases.entities import read_filter
from strokeseg.cohort.cases.find import find_cases, plan_rows
from strokeseg.images import run_average
from strokeseg.images.reading import read_scan
from strokeseg.images.run_average import average_runs
from strokeseg.space.registration import Fit
from tests.cohort.cohorts import make_job, make_model, statuses, with_prints
from tests.cohort.trees import tree
from tests.space.test_registration import T1, displacement, grid, head

pytest.importorskip("SimpleITK")
RUNS = [f"sub-01/anat/sub-01_run-{number}_T1w.nii.gz" for number in (1, 2, 3)]
NOTE = "the mean of several runs is taken, on the grid of the first: sub-01_run-1_T1w.nii.gz of 3"


def run_of(seed, truth=None, gain=1.0):
    """A noisy run of one head, seen elsewhere and by another gain."""
    image = head(T1) if truth is None else head(T1, truth)
    noise = np.random.default_rng(seed).normal(0, 0.05 * image.max(), image.shape)
    return nib.Nifti1Image((gain * (image + noise)).astype(np.float32), grid().affine)


def made_runs(folder):
    truth = displacement((6, -4, 3), (0, 0, 5))
    for path, image in zip(RUNS, (run_of(1), run_of(2, truth, 1.4), run_of(3)), strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        nib.save(image, folder / path)
    return folder


def test_the_mean_of_runs_has_less_noise_and_lies_where_the_first_does(tmp_path):
    root = made_runs(tmp_path)
    first, *others = (read_scan(root / path) for path in RUNS)
    mean = average_runs(first, others)
    assert np.array_equal(mean.grid.affine, first.grid.affine)
    inside = np.s_[12:-12, 12:-12, 12:-12]
    truth = head(T1)[inside]
    error = np.std(mean.data[inside] - truth)
    # Three runs of equal noise, two of which are blurred a little on the way or not at all.
    assert error < 0.75 * np.std(first.data[inside] - truth)
    assert np.corrcoef(mean.data[inside].ravel(), truth.ravel())[0, 1] > 0.97
    assert mean.warnings[-1].startswith("the mean of 3 runs, the others moved by ")
    moved, still = (float(word) for word in mean.warnings[-1].split("by ")[1][:8].split(", "))
    assert moved == pytest.approx(np.linalg.norm((6, -4, 3)), abs=2)
    assert still < 1
    # The gain of the second is undone: a mean is not 1.13 times as bright.
    assert mean.data[inside].mean() == pytest.approx(first.data[inside].mean(), rel=0.03)


def test_the_mean_is_found_where_it_is_asked_for_and_a_filter_goes_before(tmp_path):
    root = tree(tmp_path, *RUNS)
    (case,) = find_cases(root, average=True).cases
    assert case.images == {"t1": root / RUNS[0]}
    assert case.runs == {"t1": (root / RUNS[1], root / RUNS[2])}
    assert find_cases(root, average=True).notes == (NOTE,)
    _, ((_, scans, files, _),) = plan_rows(find_cases(root, average=True))
    assert scans == "t1\nt1 (2)\nt1 (3)"
    assert files.splitlines() == RUNS
    (plain,) = find_cases(root).cases
    assert plain.runs == {}
    chosen = find_cases(root, average=True, entities=read_filter(None, {"run": ["2"]}))
    assert (chosen.cases[0].images, chosen.cases[0].runs) == ({"t1": root / RUNS[1]}, {})


def test_a_batch_averages_runs_tells_it_and_notes_a_changed_run(tmp_path, monkeypatch):
    # How well runs are brought together is shown above.
    monkeypatch.setattr(run_average, "register", lambda *_: Fit(np.eye(4), 0.0, 0.0))
    root = made_runs(tmp_path / "raw")
    cohort = find_cases(root, average=True)
    job = make_job(tmp_path / "out", make_model(tmp_path / "model"), kinds=frozenset({"mask"}))
    assert statuses(cohort.cases, job) == {"sub-01": "done"}
    record = json.loads((job.names(cohort.cases[0]).record).read_text())
    assert "t1: the mean of 3 runs" in " ".join(record["warnings"])
    assert statuses(cohort.cases, with_prints(job)) == {"sub-01": "skipped"}
    # Without the mean it is another result.
    assert statuses(find_cases(root).cases, with_prints(job)) == {"sub-01": "done"}
    assert statuses(cohort.cases, with_prints(job)) == {"sub-01": "done"}
    nib.save(run_of(9), root / RUNS[2])
    assert statuses(cohort.cases, with_prints(job)) == {"sub-01": "done"}


def test_runs_is_first_or_average(tmp_path, capsys):
    root = tree(tmp_path / "raw", *RUNS)
    words = ["bids", str(root), str(tmp_path / "out"), "participant", "--dry-run", "--runs"]
    assert run([*words, "all"]) == 2
    assert "--runs all: give first or average" in capsys.readouterr().err
    assert run([*words, "average"]) == 0
    assert NOTE in " ".join(capsys.readouterr().err.split())
