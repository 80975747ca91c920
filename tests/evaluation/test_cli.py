import csv
import json

import numpy as np
import pytest

from strokeseg.cli import run
from tests.evaluation.masks_on_disk import SHAPE, boxes, file_case, write

LESION = boxes(((4, 4, 4), 5))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twelve truths, a good model with maps, and a worse one; the folder is where we are."""
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        size, name = 3 + number % 4, f"sub-{number:02}"
        truth = boxes(((5, 5, 5), size))
        good, bad = boxes(((5, 5, 6), size)), boxes(((5, 7, 7), size), ((16, 16, 16), 2))
        write(tmp_path / "truth" / f"{name}_label-L_mask.nii.gz", truth)
        file_case(tmp_path / "good", name, name, good, good * 0.7 + truth * 0.2)
        file_case(tmp_path / "bad", name, name, bad)
    return tmp_path


def evaluate(*arguments):
    return run(["evaluate", *map(str, arguments)])


def rows(path):
    with path.open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_a_cohort_is_evaluated_to_tables_on_disk_and_on_stdout(folder, capsys):
    assert evaluate("good", "truth", "-o", "out") == 0
    shown = capsys.readouterr()
    assert "good, native protocol: cases" in shown.out
    assert "good, native protocol: all cases" in shown.out
    assert "95 % bootstrap interval of the mean: BCa" in shown.out
    assert "pairs 12, of them failed 0" in shown.err
    cases = rows(folder / "out" / "metrics.tsv")
    assert [row["case"] for row in cases] == [f"sub-{n:02}" for n in range(12)]
    assert float(cases[0]["dice"]) == pytest.approx(2 / 3, abs=1e-5)
    summary = {(r["group"], r["metric"]): r for r in rows(folder / "out" / "summary.tsv")}
    dice = np.mean([float(row["dice"]) for row in cases])
    assert float(summary["all", "dice"]["mean"]) == pytest.approx(dice, abs=1e-5)
    assert summary["all", "pr_auc"]["n"] == "12"
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        *("metrics.json", "metrics.tsv", "summary.tsv")
    ]


def test_two_models_are_compared_in_table_figure_and_print(folder, capsys):
    assert evaluate("good", "truth", "--compare", "bad", "-o", "x.tsv", "--names", "A,B") == 0
    shown = capsys.readouterr().out
    assert "A minus B, case by case" in shown
    assert "* p < 0.05, ** p < 0.01, *** p < 0.001" in shown
    found = {r["metric"]: r for r in rows(folder / "x_comparison.tsv") if r["group"] == "all"}
    assert (found["dice"]["first"], found["dice"]["second"]) == ("A", "B")
    assert found["dice"]["stars"] == "***"
    assert float(found["dice"]["mean_difference"]) > 0
    assert found["pr_auc"]["n_left_out"] == "12"
    assert (folder / "x_comparison.png").read_bytes().startswith(b"\x89PNG")
    assert {row["model"] for row in rows(folder / "x.tsv")} == {"A", "B"}


def test_the_same_evaluation_makes_the_same_files(folder):
    for name in ("one", "two"):
        assert evaluate("good", "truth", "--compare", "bad", "-o", name, "-q") == 0
    for path in sorted((folder / "one").iterdir()):
        assert path.read_bytes() == (folder / "two" / path.name).read_bytes()


@pytest.mark.usefixtures("folder")
def test_json_is_all_that_stdout_gets(capsys):
    assert evaluate("good", "truth", "--protocol", "paper", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["protocol"] == "paper"
    assert len(content["models"][0]["cases"]) == 12


@pytest.mark.usefixtures("folder")
def test_quiet_is_quiet(capsys):
    assert evaluate("good", "truth", "-q") == 0
    shown = capsys.readouterr()
    assert shown.out == shown.err == ""


def test_what_is_left_over_is_told_and_counted(folder, capsys):
    (folder / "truth" / "sub-03_label-L_mask.nii.gz").unlink()
    file_case(folder / "good", "sub-12", "sub-12", error="sub-12.nii: is empty")
    write(folder / "truth" / "sub-12_label-L_mask.nii.gz", LESION)
    write(folder / "truth" / "sub-77_label-L_mask.nii.gz", LESION)
    assert evaluate("good", "truth") == 0
    told = capsys.readouterr().err
    assert "a prediction without truth: sub-03 (good/sub-03/sub-03_label-L_mask.nii.gz)" in told
    assert "a truth without prediction: sub-12 (it failed: sub-12.nii: is empty)" in told
    assert "a truth without prediction: sub-77" in told
    assert "predictions without truth 1, truths without prediction 2" in told


def test_a_case_that_cannot_be_read_is_listed_and_the_exit_code_is_1(folder, capsys):
    write(folder / "truth" / "sub-05_label-L_mask.nii.gz", np.arange(24**3).reshape(SHAPE) % 3.0)
    assert evaluate("good", "truth", "-o", "out") == 1
    shown = capsys.readouterr()
    assert "error: good: sub-05: truth/sub-05_label-L_mask.nii.gz: has several labels" in shown.err
    assert "pairs 12, of them failed 1" in shown.err
    notes = {row["case"]: row["note"] for row in rows(folder / "out" / "metrics.tsv")}
    assert notes["sub-05"].startswith("error: ")
    assert len(notes) == 12


def test_a_prediction_that_was_resampled_is_told(folder, capsys):
    matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    matrix[0, 3] = 1.0
    write(folder / "good" / "sub-00" / "sub-00_label-L_mask.nii.gz", LESION, matrix)
    assert evaluate("good", "truth", "-o", "out", "-q") == 0
    assert "1 of 12 predictions are not on their truth's grid" in capsys.readouterr().err
    assert rows(folder / "out" / "metrics.tsv")[0]["compared"] == "resampled"


def test_one_prediction_and_one_truth_need_no_names(folder, capsys):
    write(folder / "p.nii", LESION)
    write(folder / "t.nii", LESION)
    assert evaluate("p.nii", "t.nii", "--json", "-q") == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["cases"][0]["metrics"]["dice"] == 1


def test_folders_called_alike_are_told_apart(folder):
    for name in ("good", "bad"):
        (folder / f"run-{name}").mkdir()
        (folder / name).rename(folder / f"run-{name}" / "out")
    arguments = ("run-good/out", "truth", "--compare", "run-bad/out", "-o", "x")
    assert evaluate(*arguments, "-q") == 0
    models = {row["model"] for row in rows(folder / "x" / "metrics.tsv")}
    assert models == {"run-good/out", "run-bad/out"}


BAD = {
    "no predictions": (("none", "truth"), 66, "none: no such file or folder"),
    "no truths": (("good", "none"), 66, "none: no such file or folder"),
    "nothing pairs": (("good", "strangers"), 2, "no prediction in good has a truth in strangers"),
    "a protocol": (("good", "truth", "--protocol", "mine"), 2, "choose native or paper"),
    "names alone": (("good", "truth", "--names", "a,b"), 2, "give --compare OTHER"),
    "one name": (("good", "truth", "--compare", "bad", "--names", "a"), 2, "two different names"),
    "itself": (("good", "truth", "--compare", "good"), 2, "is PREDICTIONS itself"),
    "over an input": (("good", "t.tsv", "-o", "t.tsv"), 73, "t.tsv is an input"),
    "another ending": (("good", "truth", "-o", "t.csv"), 2, "ends in .tsv"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_arguments_are_one_line_and_leave_nothing(folder, capsys, name):
    write(folder / "strangers" / "q1.nii", LESION)
    (folder / "t.tsv").write_text("case\ttruth\nsub-00\ttruth/sub-00_label-L_mask.nii.gz\n")
    before = sorted(folder.rglob("*"))
    arguments, code, message = BAD[name]
    assert evaluate(*arguments) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("strokeseg: error: ")
    assert message in lines[0]
    assert sorted(folder.rglob("*")) == before


def test_a_wrong_line_of_a_table_costs_its_own_case_and_the_exit_code_says_so(folder, capsys):
    lines = [f"sub-{n:02},truth/sub-{n:02}_label-L_mask.nii.gz" for n in range(12)]
    lines[3] = "sub-03"
    (folder / "truths.csv").write_text("\n".join(["case,truth", *lines]))
    assert evaluate("good", "truths.csv", "-o", "out") == 1
    told = capsys.readouterr().err
    assert "error: good: sub-03: truths.csv, line 5: the row has 1 cells and the header 2" in told
    assert "pairs 11, of them failed 0" in told
    assert [row["case"] for row in rows(folder / "out" / "metrics.tsv")] == [
        f"sub-{n:02}" for n in range(12) if n != 3
    ]
