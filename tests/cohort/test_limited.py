"""A batch whose memory is limited: a case at a time, refusals that cost one case, and resuming."""

import json
import threading
from dataclasses import replace

import pytest

from strokeseg.cohort.batch.cluster import task
from strokeseg.cohort.batch.processes import _share
from strokeseg.cohort.batch.worker import Worker
from strokeseg.cohort.cases.case import Case
from strokeseg.errors import UsageError
from strokeseg.models.loading import Hardware
from strokeseg.prediction import memory_plan
from strokeseg.prediction.memory_forecast import Settings
from tests.cohort.cohorts import (
    Heard,
    make_cases,
    make_job,
    make_model,
    run_all,
    statuses,
    with_prints,
)
from tests.factories import huge_scan

LIMIT = 3_000_000_000


@pytest.fixture(autouse=True)
def slight(monkeypatch):
    """Plan as a process that holds little, which that of many tests does not."""
    monkeypatch.setattr(memory_plan, "resident_bytes", lambda: 100_000_000)


@pytest.fixture
def job(tmp_path):
    return limit(make_job(tmp_path / "out", make_model(tmp_path / "model")), LIMIT)


def limit(job, size):
    return with_prints(job, hardware=Hardware(max_memory_bytes=size))


def record_of(job, name):
    return json.loads((job.output / name / f"{name}_strokeseg.json").read_text())


def huge_case(folder):
    """A case whose header claims what holds no limit of these tests, without a voxel."""
    path = huge_scan(folder / "huge_flair.nii")
    return Case("huge", {"flair": path}, "huge", "huge")


def test_one_case_is_in_memory_at_a_time(job, tmp_path):
    heard = Heard()
    cases = make_cases(tmp_path / "in", 3)
    assert set(statuses(cases, job, hear=heard).values()) == {"done"}
    order = [name for name, stage in heard.stages]
    assert order == sorted(order)  # nothing of a case before the last one is saved
    assert [stage for name, stage in heard.stages if name == "s2"][-1] == "save"
    for name in ("s1", "s2", "s3"):
        assert record_of(job, name)["memory"]["limit_bytes"] == LIMIT
        assert record_of(job, name)["seconds"]["read"] > 0


def test_the_files_are_those_of_a_batch_without_a_limit(job, tmp_path):
    cases = make_cases(tmp_path / "in", 1)
    run_all(cases, job)
    free = with_prints(replace(job, output=tmp_path / "free", hardware=Hardware()))
    run_all(cases, free)
    name = "s1/s1_label-L_mask.nii.gz"
    assert (job.output / name).read_bytes() == (free.output / name).read_bytes()


def test_a_scan_too_large_fails_alone_and_unread(job, tmp_path):
    cases = (*make_cases(tmp_path / "in", 1), huge_case(tmp_path))
    outcomes = run_all(cases, job)
    assert outcomes["s1"].status == "done"
    assert outcomes["huge"].exit_code == 65
    assert "640 x 640 x 640 voxels take up to" in outcomes["huge"].message


def test_results_of_the_whole_window_hold_for_any_limit(job, tmp_path):
    cases = make_cases(tmp_path / "in", 2)
    run_all(cases, job)
    for size in (None, 2 * LIMIT, LIMIT):
        assert set(statuses(cases, limit(job, size)).values()) == {"skipped"}


def test_a_window_made_smaller_holds_for_the_same_limit_alone(job, tmp_path, monkeypatch):
    cases = make_cases(tmp_path / "in", 1)
    with monkeypatch.context() as patched:
        small = Settings((16,), 1, releases=True)
        patched.setattr(memory_plan, "choose_settings", lambda *_: small)
        run_all(cases, job)
        assert record_of(job, "s1")["models"][0]["window"] == 16
        assert statuses(cases, limit(job, LIMIT))["s1"] == "skipped"
    why = "again: its window was smaller, to hold another --max-memory"
    assert run_all(cases, limit(job, 2 * LIMIT))["s1"].message == why
    assert record_of(job, "s1")["models"][0]["window"] == 32
    assert statuses(cases, limit(job, None))["s1"] == "skipped"


def test_records_from_before_there_were_limits_are_as_good(job, tmp_path):
    cases = make_cases(tmp_path / "in", 1)
    run_all(cases, job)
    path = job.output / "s1" / "s1_strokeseg.json"
    record = json.loads(path.read_text())
    del record["memory"]
    path.write_text(json.dumps(record))
    assert statuses(cases, limit(job, LIMIT))["s1"] == "skipped"


def test_processes_share_a_limit(job):
    shares = [_share(job, jobs).hardware.max_memory_bytes for jobs in (2, 4)]
    rest = LIMIT - (256 << 20)
    assert shares == [rest // 2, rest // 4]
    free = replace(job, hardware=Hardware(threads=3))
    assert _share(free, 2).hardware == Hardware(threads=3)
    with pytest.raises(UsageError, match="fewer --jobs"):
        _share(job, 64)


def test_a_dask_worker_has_one_case_in_it(job, tmp_path, monkeypatch):
    cases = make_cases(tmp_path / "in", 2)
    inside, most = [], []
    worker = Worker(job)
    run = worker.run

    def watched(case):
        inside.append(case)
        most.append(len(inside))
        outcome = run(case)
        inside.remove(case)
        return outcome

    monkeypatch.setattr(worker, "run", watched)
    monkeypatch.setattr(task, "_worker_for", lambda _: worker)
    threads = [threading.Thread(target=task.run_task, args=(job, case)) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1]
    assert record_of(job, "s1")["memory"]["limit_bytes"] == LIMIT
