"""Several processes: each with models of its own, and one that dies costs its own case at most."""

import json
import multiprocessing
import os
import signal

import pytest

from strokeseg.cohort.batch.agenda import CaseQueue
from strokeseg.cohort.batch.processes import run_in_processes
from strokeseg.errors import EngineError, ModelFormatError
from strokeseg.prediction.options import Options
from strokeseg.results.archive import find_filed_cases
from tests.cohort.cohorts import (
    Heard,
    hidden,
    make_case,
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


def kill_all():
    """Kill the processes of the batch, as a system short of memory does."""
    for process in multiprocessing.active_children():
        os.kill(process.pid, signal.SIGKILL)


def test_two_processes_do_every_case_once_and_tell_of_failures_and_stages(job, tmp_path):
    cases = make_cases(tmp_path / "in", 5)
    path = cases[2].images["flair"]
    path.write_bytes(path.read_bytes()[:1500])
    heard = Heard()
    outcomes = run_all(cases, job, jobs=2, hear=heard)
    assert [o.status for o in outcomes.values()] == ["done", "done", "failed", "done", "done"]
    assert outcomes["s3"].exit_code == 65
    assert {("s1", "segment flair"), ("s5", "save")} <= set(heard.stages)
    assert hidden(job.output) == []
    assert multiprocessing.active_children() == []
    again = statuses(cases, with_prints(job), jobs=2)
    assert list(again.values()) == ["skipped", "skipped", "failed", "skipped", "skipped"]


def test_each_process_has_its_share_of_the_cores_unless_told(job, monkeypatch):
    seen = []
    monkeypatch.setattr("strokeseg.cohort.batch.processes.usable_cores", lambda: 8)
    monkeypatch.setattr(
        "strokeseg.cohort.batch.processes._ProcessPool",
        lambda job, _: seen.append(job.hardware.threads) or Nobody(),
    )
    for changes in ({}, {"hardware": type(job.hardware)(threads=5)}):
        list(run_in_processes(CaseQueue((), Heard()), with_prints(job, **changes), 3, Heard()))
    assert seen == [2, 5]


class Nobody:
    members = ()

    def dismiss(self):
        """Nobody is there."""


def slow(job):
    """A job whose cases take long enough to be killed in the middle."""
    return with_prints(job, options=Options(overlap=0.9))


def test_the_case_of_a_process_that_dies_is_done_by_a_new_one(job, tmp_path):
    kills = [1]

    def kill_once(case, stage):
        if (case, stage) == ("s1", "segment flair") and kills:
            kills.pop()
            kill_all()

    heard = Heard(kill_once)
    outcomes = run_all(make_cases(tmp_path / "in", 3), slow(job), jobs=2, hear=heard)
    assert {outcome.status for outcome in outcomes.values()} == {"done"}
    assert "s1: its process died by SIGKILL; once more" in heard.notices
    assert hidden(job.output) == []


def test_a_case_whose_process_dies_twice_fails_alone(job, tmp_path):
    cases = [make_case(tmp_path / "in", name) for name in ("a", "b", "c")]
    deaths = []

    def kill(case, stage):
        if case == "b" and stage == "segment flair":
            deaths.append(case)
            (job.output / "b" / ".strokeseg-of-the-dead").mkdir(parents=True, exist_ok=True)
            kill_all()

    ended = []
    for outcome in run_in_processes(CaseQueue(cases, Heard()), slow(job), 1, Heard(kill)):
        ended.append((outcome.case, outcome.status))
    assert ended == [("a", "done"), ("b", "failed"), ("c", "done")]
    assert deaths == ["b", "b"]
    assert hidden(job.output / "b") == []
    error = json.loads((job.output / "b" / "b_error.json").read_bytes())
    assert error["exception"] == "EngineError"
    assert "died 2 times by SIGKILL, likely for want of memory" in error["message"]
    assert [case.name for case in find_filed_cases(job.output)] == ["a", "b", "c"]


def test_processes_that_all_die_end_the_batch_and_not_every_case(job, tmp_path):
    heard = Heard(lambda _, stage: kill_all() if stage == "read" else None)
    cases = make_cases(tmp_path / "in", 6)
    with pytest.raises(EngineError, match="every process of the batch dies by SIGKILL"):
        list(run_in_processes(CaseQueue(cases, Heard()), slow(job), 1, heard))
    assert multiprocessing.active_children() == []


def test_a_model_that_cannot_be_loaded_there_ends_the_batch(job, tmp_path):
    (tmp_path / "model" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelFormatError, match=r"model\.safetensors"):
        run_all(make_cases(tmp_path / "in", 3), job, jobs=2)
    assert multiprocessing.active_children() == []
    assert [path for path in job.output.rglob("*") if path.is_file()] == []
