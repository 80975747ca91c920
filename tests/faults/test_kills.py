"""The campaign of kills in short, and that it would tell if something were lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cohort.cohorts import make_case, make_job, make_model, run_all
from tests.faults.kills import Tally, whole_cases

ROOT = Path(__file__).resolve().parents[2]


def test_a_batch_that_is_killed_again_and_again_loses_nothing(tmp_path):
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "tests.faults", "--times", "6", "--json", figures]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tallies = json.loads(figures.read_text())
    assert sum(tally["kills"] for tally in tallies.values()) == 6
    assert all(tally["cases_whole"] == 4 * tally["outputs"] for tally in tallies.values())


@pytest.fixture
def output(tmp_path):
    """A case that is done."""
    case = make_case(tmp_path / "in", "s1")
    job = make_job(tmp_path / "out", make_model(tmp_path / "model"))
    assert run_all((case,), job)["s1"].status == "done"
    return tmp_path / "out"


def test_a_whole_case_is_seen_as_whole(output):
    tally = Tally()
    (files,) = whole_cases(output, tally).values()
    assert len(files) == 6
    assert tally == Tally()


@pytest.mark.parametrize("how", ["cut", "gone", "record"])
def test_damage_would_be_told(output, how):
    (record,) = output.rglob("*_strokeseg.json")
    (mask,) = output.rglob("*_mask.nii.gz")
    if how == "gone":
        mask.unlink()
    else:
        damaged = mask if how == "cut" else record
        damaged.write_bytes(damaged.read_bytes()[:-9])
    tally = Tally()
    assert whole_cases(output, tally) == {}
    assert tally.files_damaged == tally.breaches == 1
    assert str(record) in tally.notes[0]
