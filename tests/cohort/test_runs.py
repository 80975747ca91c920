import json

import nibabel as nib
import numpy as np
import pytest

from strokeseg.cli import run
from strokeseg.cohort.cases.entities import read_filter
from strokeseg.cohort.cases.find import find_cases, plan_rows
from strokeseg.cohort.cases.run_names import sorted_runs, without_run
from strokeseg.errors import UsageError
from strokeseg.images import run_average
from strokeseg.images.reading import read_scan
from strokeseg.images.run_average import average_runs
from strokeseg.space.fit import Fit
from tests.cohort.cohorts import make_job, make_model, statuses, with_prints
from tests.cohort.trees import tree
from tests.space.test_registration import T1, displacement, grid, head
from tests.tiny_models import isolate

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


@pytest.mark.parametrize(
    ("files", "named", "averaged"),
    [
        (("t1_run-2.nii", "t1_run-1.nii"), ("t1_run-1.nii", "t1_run-2.nii"), None),
        (("T1w Run10.nii.gz", "T1w Run9.nii.gz"), ("T1w Run9.nii.gz", "T1w Run10.nii.gz"), None),
        (("run-1/t1.nii", "run-2/t1.nii"), ("run-1/t1.nii", "run-2/t1.nii"), None),
        (("t1_6.nii", "t1_s5.nii"), (), ("t1_s5.nii", "t1_6.nii")),
        (("t1_6.nii", "t1_5.nii"), (), ("t1_5.nii", "t1_6.nii")),
        (("a_run-1_T1w.nii", "a_acq-x_run-2_T1w.nii"), (), ()),
        (("t1_run-1.nii", "t1_run-01.nii"), (), ()),
        (("t1.nii", "t1_run-2.nii"), (), ()),
        (("t1_mprage.nii", "t1_gd.nii"), (), ()),
        (("prerun1_t1.nii", "prerun2_t1.nii"), (), ()),
    ],
)
def test_runs_are_names_that_differ_in_the_run_alone(files, named, averaged):
    assert sorted_runs(files) == named
    wanted = named if averaged is None else averaged
    assert sorted_runs(files, by_last_number=True) == wanted


def test_the_name_without_a_run_is_that_of_the_other_scans():
    assert without_run("P1_run-2_t1.nii.gz") == "P1_t1.nii.gz"
    assert without_run("P1_t1_run2.nii") == "P1_t1.nii"
    assert without_run("P1_t1_2.nii") == "P1_t1_2.nii"


def test_runs_in_the_folder_of_a_case_are_the_first_or_averaged(tmp_path):
    root = tree(tmp_path, "a/t1_run-1.nii", "a/t1_run-2.nii", "a/flair.nii", "b/t1_5.nii")
    first, other = find_cases(root).cases
    assert first.images == {"t1": root / "a/t1_run-1.nii", "flair": root / "a/flair.nii"}
    assert (first.runs, first.fault, other.fault) == ({}, None, None)
    assert find_cases(root).notes == ("of several runs the first was taken: t1_run-1.nii of 2",)
    averaged, single = find_cases(root, average=True).cases
    assert averaged.images == first.images
    assert averaged.runs == {"t1": (root / "a/t1_run-2.nii",)}
    assert single.runs == {}
    # Without the word run, two T1w are a doubt, and runs where their mean is asked for.
    tree(root, "b/t1_6.nii")
    assert "b: t1 is t1_5.nii or t1_6.nii" in str(find_cases(root).cases[1].fault)
    assert find_cases(root, average=True).cases[1].runs == {"t1": (root / "b/t1_6.nii",)}


def test_runs_side_by_side_are_one_case_where_their_mean_is_wanted(tmp_path):
    root = tree(tmp_path, "P1_t1_run-1.nii", "P1_t1_run-2.nii", "P1_flair.nii", "P2_t1.nii")
    one, two = find_cases(root, average=True).cases
    assert (one.name, one.runs) == ("P1", {"t1": (root / "P1_t1_run-2.nii",)})
    assert one.images == {"t1": root / "P1_t1_run-1.nii", "flair": root / "P1_flair.nii"}
    assert (two.name, two.runs) == ("P2", {})


def test_a_table_names_each_scan_and_takes_no_mean(tmp_path):
    tree(tmp_path, "a.nii")
    (tmp_path / "t.csv").write_text("case,t1\np1,a.nii\n")
    with pytest.raises(UsageError, match="is a table, which names each scan: leave --runs average"):
        find_cases(tmp_path / "t.csv", average=True)


def probability_in(folder):
    (path,) = folder.rglob("*_label-L_probseg.nii.gz")
    return np.asarray(nib.load(path).dataobj)


def test_predict_and_a_batch_of_a_folder_average_as_bids_does(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_average, "register", lambda *_: Fit(np.eye(4), 0.0, 0.0))
    isolate(monkeypatch, tmp_path / "home")
    raw = made_runs(tmp_path / "raw")
    case = tmp_path / "cases" / "p1"
    case.mkdir(parents=True)
    names = [case / f"p1_run-{number}_T1w.nii.gz" for number in (1, 2, 3)]
    for path, name in zip(RUNS, names, strict=True):
        (raw / path).rename(name)
    shared = ["--model", str(make_model(tmp_path / "model")), "--fast", "--save", "probability"]
    words = [*shared, "--runs", "average"]
    assert run(["batch", str(case.parent), str(tmp_path / "batch"), *words]) == 0
    told = [word for name in names for word in ("--t1", str(name))]
    assert run(["predict", *told, "-o", str(tmp_path / "options"), *words]) == 0
    assert "t1: the mean of 3 runs, the others moved by 0.0, 0.0 mm" in capsys.readouterr().err
    assert run(["predict", *map(str, names), "-o", str(tmp_path / "names"), *words]) == 0
    assert run(["predict", str(names[0]), "-o", str(tmp_path / "first"), *shared]) == 0
    mean = average_runs(read_scan(names[0]), [read_scan(name) for name in names[1:]])
    nib.save(nib.Nifti1Image(mean.data, mean.grid.affine), tmp_path / "mean_T1w.nii.gz")
    given = [str(tmp_path / "mean_T1w.nii.gz"), "-o", str(tmp_path / "mean")]
    assert run(["predict", *given, *shared]) == 0
    found = probability_in(tmp_path / "mean")
    for way in ("batch", "options", "names"):
        np.testing.assert_allclose(probability_in(tmp_path / way), found, atol=1e-4)
    assert np.abs(probability_in(tmp_path / "first") - found).max() > 0.01


def test_predict_without_a_word_refuses_several_and_a_mean_of_one(tmp_path, capsys):
    def said():
        return " ".join(capsys.readouterr().err.split())

    files = ["--t1", "a.nii", "--t1", "b.nii", "-o", str(tmp_path)]
    assert run(["predict", *files]) == 2
    assert "give one scan, or --runs average for the mean" in said()
    assert run(["predict", *files[:2], *files[4:], "--runs", "average"]) == 2
    assert "give a contrast several times" in said()
    same = ["--t1", "a.nii", "--t1", "a.nii", "-o", str(tmp_path), "--runs", "average"]
    assert run(["predict", *same]) == 2
    assert "--t1 and --t1 (2) name one file" in said()


def test_runs_is_first_or_average(tmp_path, capsys):
    root = tree(tmp_path / "raw", *RUNS)
    words = ["bids", str(root), str(tmp_path / "out"), "participant", "--dry-run", "--runs"]
    assert run([*words, "all"]) == 2
    assert "--runs all: give first or average" in capsys.readouterr().err
    assert run([*words, "average"]) == 0
    assert NOTE in " ".join(capsys.readouterr().err.split())
