"""Inputs that vanish, permission lost in the middle, clocks that jump, two batches at once."""

import itertools
import json
import os
import shutil
import time

import pytest

from strokeseg.cohort.batch import case_scans
from strokeseg.cohort.batch.claims import FOLDER
from strokeseg.errors import InputNotFoundError
from tests.cohort.cohorts import Heard, make_cases, make_job, make_model, run_all, statuses
from tests.faults.batches import batch_words, check_goes_on, check_sound, end, make_cohort, start

DAY_S = 86_400
UNPRIVILEGED = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--")


@pytest.fixture
def small(tmp_path):
    """Three cases and a job over them."""
    cases = make_cases(tmp_path / "in", 3)
    return cases, make_job(tmp_path / "out", make_model(tmp_path / "model"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_input_that_vanishes_costs_its_own_case(small, jobs):
    cases, job = small
    vanishing = cases[2].images["flair"]
    hear = Heard(lambda *_: vanishing.unlink(missing_ok=True))  # before the third one's turn
    outcomes = run_all(cases, job, jobs=jobs, hear=hear)
    assert [outcomes[name].status for name in ("s1", "s2", "s3")] == ["done", "done", "failed"]
    assert outcomes["s3"].exit_code == InputNotFoundError.exit_code
    assert vanishing.name in outcomes["s3"].message


@pytest.mark.parametrize("before", [True, False])
def test_an_input_that_vanishes_around_its_reading_costs_its_own_case(small, monkeypatch, before):
    cases, job = small
    vanishing, read = cases[1].images["flair"], case_scans.read_scan

    def read_and_take_away(path):
        if path == vanishing and before:
            path.unlink()
        volume = read(path)
        if path == vanishing:
            path.unlink()
        return volume

    monkeypatch.setattr(case_scans, "read_scan", read_and_take_away)
    outcomes = run_all(cases, job)
    assert [outcomes[name].status for name in ("s1", "s2", "s3")] == ["done", "failed", "done"]
    assert outcomes["s2"].exit_code == InputNotFoundError.exit_code
    assert vanishing.name in outcomes["s2"].message
    assert not (job.output / "s2" / "s2_strokeseg.json").exists()


def wait_for(found, seconds=60.0):
    limit = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_permission_lost_in_the_middle_loses_nothing_and_the_batch_goes_on(tmp_path):
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write anywhere, and there is no setpriv to take that right away")
    before = UNPRIVILEGED if os.geteuid() == 0 else ()
    count = 8
    folder, output = make_cohort(tmp_path, count), tmp_path / "out"
    process = start(batch_words(folder, output), before=before)
    wait_for(lambda: (output / "s1" / "s1_strokeseg.json").exists())
    output.chmod(0o555)
    ended = end(process)
    output.chmod(0o755)
    assert ended.code in (1, 73, 74), ended.said
    assert "Permission denied" in ended.said
    whole = check_sound(ended, output, sealed=(FOLDER,))
    assert 1 <= len(whole) < count
    check_goes_on(folder, output, whole, count)


def test_a_clock_that_jumps_neither_stops_a_batch_nor_has_it_done_again(small, monkeypatch):
    cases, job = small
    now, jumps = time.time, itertools.cycle((0, -3 * DAY_S, 5 * DAY_S))
    monkeypatch.setattr(time, "time", lambda: now() + next(jumps))
    outcomes = run_all(cases, job)
    assert {outcome.status for outcome in outcomes.values()} == {"done"}
    assert all(0 <= outcome.seconds < DAY_S for outcome in outcomes.values())
    records = [json.loads(path.read_bytes()) for path in job.output.rglob("*_strokeseg.json")]
    spans = [span for record in records for span in record["seconds"].values()]
    assert len(records) == 3
    assert all(0 <= span < DAY_S for span in spans)
    for shift_s in (10 * DAY_S, -10 * DAY_S):
        for path in itertools.chain(job.output.rglob("*"), (job.output.parent / "in").rglob("*")):
            os.utime(path, (now() + shift_s, now() + shift_s))
        assert set(statuses(cases, job).values()) == {"skipped"}


def test_two_batches_into_one_output_share_the_cases(tmp_path):
    count = 6
    folder, output = make_cohort(tmp_path, count), tmp_path / "out"
    processes = [start(batch_words(folder, output)) for _ in range(2)]
    both = [end(process) for process in processes]
    assert [ended.code for ended in both] == [0, 0], both
    assert len(check_sound(both[0], output)) == count
    done = [
        int(line.split()[-1]) for e in both for line in e.said.splitlines() if "done   " in line
    ]
    assert sum(done) == count
    rows = (output / "cohort.tsv").read_text().splitlines()
    assert len(rows) == 1 + count
