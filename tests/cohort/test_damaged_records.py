"""One damaged record costs its own case: the others go on, it is named, and the exit code is 1."""

import json
import os

import pytest

from strokeseg.cli import run
from strokeseg.results.archive import find_filed_cases
from tests.cohort.cohorts import make_cases, make_model
from tests.evaluation.masks_on_disk import boxes, write
from tests.evaluation.masks_on_disk import file_case as file_mask
from tests.report.cohorts import file_case

WHY = "sub-02/sub-02_strokeseg.json: is no JSON (cut or changed): run this case again"


@pytest.fixture
def output(tmp_path):
    """Three cases, the record of the second one cut."""
    for name in ("sub-01", "sub-02", "sub-03"):
        file_case(tmp_path / "out", name)
    cut(tmp_path / "out")
    return tmp_path / "out"


def cut(output):
    path = output / "sub-02" / "sub-02_strokeseg.json"
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("command", ["collect", "report", "overlap"])
def test_a_command_over_a_cohort_goes_on_names_the_case_and_ends_with_1(output, command, capsys):
    arguments = ["--space", "x"] if command == "overlap" else []
    assert run([command, str(output), *arguments]) == 1
    said = capsys.readouterr()
    errors = [line for line in said.err.splitlines() if "error:" in line]
    assert errors == [f"strokeseg: error: sub-02: {WHY}"]
    made = {
        "collect": "cohort.tsv",
        "report": "report/index.html",
        "overlap": "overlap/overlap.json",
    }
    assert (output / made[command]).is_file()
    if command == "overlap":
        record = json.loads((output / "overlap" / "overlap.json").read_bytes())
        assert record["number_of_cases"] == 2
        assert record["skipped"] == [{"case": "sub-02", "reason": f"failed: {WHY}"}]


def test_evaluate_goes_on_names_the_case_and_ends_with_1(tmp_path, capsys):
    truth, found = boxes(((5, 5, 5), 4)), boxes(((5, 5, 6), 4))
    for name in ("sub-01", "sub-02", "sub-03"):
        write(tmp_path / "truth" / f"{name}_label-L_mask.nii.gz", truth)
        file_mask(tmp_path / "out", name, name, found)
    words = ["evaluate", str(tmp_path / "out"), str(tmp_path / "truth")]
    assert run(words) == 0
    cut(tmp_path / "out")
    capsys.readouterr()
    assert run(words) == 1
    said = capsys.readouterr()
    assert f"strokeseg: error: out: sub-02: {WHY}" in said.err
    assert "pairs 2, of them failed 0" in said.err
    assert f"a truth without prediction: sub-02 (it failed: {WHY})" in said.err
    assert "all cases" in said.out


def test_a_batch_beside_a_damaged_case_of_another_one_says_so_and_writes_the_tables(
    tmp_path, capsys
):
    make_cases(tmp_path / "in", 1)
    file_case(tmp_path / "out", "sub-02")
    cut(tmp_path / "out")
    words = ["batch", tmp_path / "in", tmp_path / "out", "--model", make_model(tmp_path / "model")]
    assert run([*map(str, words), "--fast"]) == 1
    said = capsys.readouterr()
    assert f"strokeseg: error: sub-02: {WHY}" in said.err
    statuses = [
        line.split("\t")[:2] for line in (tmp_path / "out/cohort.tsv").read_text().splitlines()
    ]
    assert statuses[1:] == [["s1", "done"], ["sub-02", "failed"]]


def test_a_record_that_may_not_be_read_is_a_damaged_one(output):
    if os.geteuid() == 0:
        pytest.skip("root may read anything")
    (output / "sub-01" / "sub-01_strokeseg.json").chmod(0)
    damage = {case.name: case.damage for case in find_filed_cases(output)}
    assert "Permission denied" in damage["sub-01"]


def test_the_other_file_of_a_damaged_case_still_tells_its_name(output):
    error = output / "sub-02" / "sub-02_error.json"
    error.write_text(
        json.dumps({"case": "second", "message": "the disk was full", "exit_code": 74})
    )
    found = {case.name: case for case in find_filed_cases(output)}
    assert sorted(found) == ["second", "sub-01", "sub-03"]
    assert found["second"].error["message"] == found["second"].damage == WHY
    assert found["second"].record is None
    assert found["sub-01"].damage == ""
