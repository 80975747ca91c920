"""A batch here: reading and saving beside the network, few cases in memory, clean ends."""

import os
import signal
import subprocess
import threading
import time
from itertools import pairwise

import pytest

from strokeseg.cohort.batch import agenda, run
from strokeseg.cohort.batch import worker as work
from strokeseg.cohort.batch.claims import FOLDER, Claims
from strokeseg.cohort.batch.run import Runner, prepare_job, run_cases
from strokeseg.errors import CannotCreateError, Interrupted, UsageError
from strokeseg.files.checksums import sha256
from strokeseg.results.archive import find_filed_cases
from tests.cohort.cohorts import (
    COMMAND,
    Heard,
    hidden,
    make_cases,
    make_job,
    make_model,
    run_all,
    statuses,
    with_prints,
)


@pytest.fixture
def job(tmp_path):
    return make_job(tmp_path / "out", make_model(tmp_path / "model"), kinds=frozenset({"mask"}))


def check_whole(output, names):
    """Check that each case is there, with every file that its record tells of, and nothing else."""
    filed = find_filed_cases(output)
    assert [case.name for case in filed] == sorted(names)
    for case in filed:
        folder = case.names.directory
        assert case.error is None
        assert {p.name for p in folder.iterdir()} == {*case.record.files, case.names.record.name}
        for name, digest in case.record.files.items():
            assert sha256(folder / name) == digest
    assert hidden(output) == []


class Gate:
    """Counts cases that are read and not saved yet, and lets stages wait for each other."""

    def __init__(self, monkeypatch):
        self.lock, self.inside, self.most = threading.Lock(), 0, 0
        self.seen = {}
        self.waits = {}
        for name in ("prepare", "segment", "save"):
            monkeypatch.setattr(work.Worker, name, self.wrapped(name, getattr(work.Worker, name)))

    def event(self, name, case):
        with self.lock:
            return self.seen.setdefault((name, case), threading.Event())

    def wrapped(self, name, inside):
        def call(worker, given):
            case = given.name if name == "prepare" else given.case.name
            self.event(name, case).set()
            for other in self.waits.get((name, case), ()):
                assert self.event(*other).wait(60), f"{name} {case} waited for {other} in vain"
            result = inside(worker, given)
            with self.lock:
                self.inside += {"prepare": 1, "segment": 0, "save": -1}[name]
                self.most = max(self.most, self.inside)
            return result

        return call


def test_the_next_case_is_read_and_the_last_one_saved_while_the_network_runs(
    job, tmp_path, monkeypatch
):
    gate = Gate(monkeypatch)
    # s2's network goes on only once s3 is being read and s1 is being saved, whose end waits for it.
    gate.waits["segment", "s2"] = [("prepare", "s3"), ("save", "s1")]
    gate.waits["save", "s1"] = [("segment", "s2")]
    assert set(statuses(make_cases(tmp_path / "in", 4), job).values()) == {"done"}


def test_no_more_than_three_cases_are_in_memory(job, tmp_path, monkeypatch):
    gate = Gate(monkeypatch)
    cases = make_cases(tmp_path / "in", 6)
    for before, case in pairwise(cases):  # saving is always a case behind
        gate.waits["save", before.name] = [("segment", case.name)]
    assert set(statuses(cases, job).values()) == {"done"}
    assert 2 <= gate.most <= 3


def test_a_case_that_another_run_is_at_comes_last_and_is_not_done_twice(job, tmp_path, monkeypatch):
    monkeypatch.setattr(agenda, "_PAUSE_S", 0.05)
    cases = make_cases(tmp_path / "in", 2)
    run_all(cases[:1], with_prints(job))
    other = Claims(job.output, "other")
    assert other.take(work._key(cases[0])) is None
    heard = Heard()
    heard.on_outcome = lambda outcome: other.close() or heard.outcomes.append(outcome)
    run_all(cases, job, hear=heard)
    assert [(o.case, o.status) for o in heard.outcomes] == [("s2", "done"), ("s1", "skipped")]
    assert len(heard.notices) == 1
    assert "s1: process" in heard.notices[0]


def test_two_runs_at_once_share_the_cases(job, tmp_path, monkeypatch):
    monkeypatch.setattr(agenda, "_PAUSE_S", 0.05)
    cases = make_cases(tmp_path / "in", 6)
    ended = []
    runs = [
        threading.Thread(target=lambda: ended.extend(run_all(cases, with_prints(job)).values()))
        for _ in range(2)
    ]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join(120)
    assert sorted(outcome.status for outcome in ended) == ["done"] * 6 + ["skipped"] * 6
    check_whole(job.output, [case.name for case in cases])


def test_ctrl_c_in_the_network_ends_with_a_line_and_what_is_saved_is_whole(
    job, tmp_path, monkeypatch
):
    cases = make_cases(tmp_path / "in", 4)
    inside = work.predict

    def interrupt(volumes, **named):
        if next(iter(volumes.values())).path == cases[2].images["flair"]:
            raise KeyboardInterrupt
        return inside(volumes, **named)

    monkeypatch.setattr(work, "predict", interrupt)
    with pytest.raises(Interrupted, match=r"of 4 cases done.*the same command goes on"):
        run_cases(cases, job, Runner(), Heard())
    check_whole(job.output, ["s1", "s2"])
    monkeypatch.setattr(work, "predict", inside)
    assert [o.status for o in run_all(cases, with_prints(job)).values()] == [
        *("skipped", "skipped", "done", "done")
    ]


def test_an_engine_that_is_missing_ends_the_batch_before_a_case_is_done(job, tmp_path, monkeypatch):
    def missing(*_arguments, **_named):
        raise UsageError("no such engine")

    monkeypatch.setattr("strokeseg.models.loading.open_engine", missing)
    with pytest.raises(UsageError, match="no such engine"):
        run_all(make_cases(tmp_path / "in", 3), job)
    assert [path for path in job.output.rglob("*") if path.is_file()] == []
    assert hidden(job.output) == []


def test_places_that_contradict_each_other_are_refused():
    with pytest.raises(UsageError, match="--jobs is 0"):
        Runner(0)
    with pytest.raises(UsageError, match="--jobs and --dask"):
        Runner(2, "tcp://a:1")
    with pytest.raises(UsageError, match="--dask and --slurm"):
        Runner(1, "tcp://a:1", {"mem": "1GB"})


def test_where_results_go_is_checked_before_the_first_case(job, tmp_path):
    cases = make_cases(tmp_path / "in", 1)
    prepare_job(job, cases, tmp_path / "in", Heard())
    assert not job.output.exists()
    job.output.symlink_to(tmp_path / "in")
    with pytest.raises(UsageError, match="INPUT and OUTPUT"):
        prepare_job(job, cases, tmp_path / "in", Heard())
    job.output.unlink()
    job.output.write_text("a file")
    with pytest.raises(CannotCreateError):
        prepare_job(job, cases, tmp_path / "in", Heard())
    job.output.unlink()
    job.output.mkdir()
    table = job.output / "cohort.tsv"
    table.write_text("case\tt1\n")
    with pytest.raises(CannotCreateError, match="is an input"):
        prepare_job(job, cases, table, Heard())


def test_an_empty_batch_is_done(job):
    assert run_cases((), job, Runner(), Heard()) == ()
    assert run_cases((), job, Runner(2), Heard()) == ()


def start(tmp_path, *arguments):
    """Start `strokeseg batch` on eight cases that take a while."""
    command = [*COMMAND, "batch", str(tmp_path / "in"), str(tmp_path / "out")]
    command += ["--model", str(tmp_path / "model"), "--overlap", "0.8", "--threads", "1"]
    return subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True)


def wait_until(is_so, process, seconds=120):
    until = time.monotonic() + seconds
    while not is_so():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.005)


NAMES = [f"s{index + 1}" for index in range(8)]


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_batch_with_130_and_nothing_half_written(tmp_path, number, jobs):
    make_model(tmp_path / "model")
    make_cases(tmp_path / "in", 8)
    process = start(tmp_path, "--jobs", jobs)
    wait_until(lambda: list((tmp_path / "out").glob("*/*_strokeseg.json")), process)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "of 8 cases done, nothing was left half-written" in said
    assert "Traceback" not in said
    filed = find_filed_cases(tmp_path / "out")
    assert 1 <= len(filed) < 8
    check_whole(tmp_path / "out", [case.name for case in filed])
    again = start(tmp_path, "--jobs", jobs)
    _, said = again.communicate(timeout=300)
    assert again.returncode == 0, said
    check_whole_batch(tmp_path)


@pytest.mark.parametrize("stage", ["claimed", "staged", "mask", "first", "second"])
def test_a_batch_that_is_killed_anywhere_goes_on_and_leaves_nothing_behind(tmp_path, stage):
    make_model(tmp_path / "model")
    make_cases(tmp_path / "in", 8)
    out = tmp_path / "out"
    process = start(tmp_path)
    moments = {
        "claimed": lambda: list(out.glob(f"{FOLDER}/*.json")),
        "staged": lambda: list(out.glob("*/.strokeseg-*")),
        "mask": lambda: list(out.glob("*/.strokeseg-*/*mask.nii.gz")),
        "first": lambda: list(out.glob("*/*_strokeseg.json")),
        "second": lambda: len(list(out.glob("*/*_strokeseg.json"))) > 1,
    }
    wait_until(moments[stage], process)
    process.kill()
    process.communicate(timeout=60)
    assert hidden(out) != []  # its claims at least
    again = start(tmp_path)
    _, said = again.communicate(timeout=300)
    assert again.returncode == 0, said
    check_whole_batch(tmp_path)


def check_whole_batch(tmp_path):
    out = tmp_path / "out"
    table = (out / "cohort.tsv").read_text().splitlines()
    assert [line.split("\t")[:2] for line in table[1:]] == [[name, "done"] for name in NAMES]
    check_whole(out, NAMES)


@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_in_is_said_before_the_first_case(job, tmp_path):
    job.output.mkdir(mode=0o500)
    with pytest.raises(CannotCreateError, match="cannot write"):
        prepare_job(job, (), tmp_path / "in", Heard())


def test_outcomes_come_in_the_order_of_the_cases(job, tmp_path):
    cases = make_cases(tmp_path / "in", 3)
    heard = Heard()
    outcomes = run.run_cases(cases[::-1], job, Runner(), heard)
    assert [outcome.case for outcome in outcomes] == ["s3", "s2", "s1"]
    assert sorted(o.case for o in heard.outcomes) == ["s1", "s2", "s3"]
