"""One case's failure is written down and costs no other; a success tells how it was made."""

import json
from dataclasses import replace

import pytest

from strokeseg.cohort.batch import worker as work
from strokeseg.cohort.batch.failure import describe_error
from strokeseg.cohort.batch.worker import Worker, load_models
from strokeseg.cohort.cases.case import Case
from strokeseg.errors import DataError, EngineError, Interrupted, UsageError
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
from tests.mesh_models import mesh_folder


@pytest.fixture
def job(tmp_path):
    return make_job(tmp_path / "out", make_model(tmp_path / "model"), kinds=frozenset({"mask"}))


def error_of(job, name):
    return json.loads((job.output / name / f"{name}_error.json").read_bytes())


def test_a_record_tells_of_the_case_and_of_what_the_next_run_asks_for(job, tmp_path):
    case = replace(make_case(tmp_path / "in", "a"), truth=tmp_path / "truth.nii.gz")
    assert statuses([case], job) == {"a": "done"}
    record = json.loads((job.output / "a" / "a_strokeseg.json").read_bytes())
    assert record["case"] == "a"
    assert record["truth"] == str(tmp_path / "truth.nii.gz")
    assert record["models"][0]["config_sha256"] == job.prints[0].config_sha256
    assert record["seconds"]["read"] > 0
    assert hidden(job.output) == []


def test_sidecars_name_the_inputs_as_the_case_says(job, tmp_path):
    case = replace(make_case(tmp_path / "in", "a"), sources={"flair": "bids:raw:sub-a/x.nii"})
    run_all([case], job)
    sidecar = json.loads((job.output / "a" / "a_label-L_mask.json").read_bytes())
    assert sidecar["Sources"] == ["bids:raw:sub-a/x.nii"]


def test_a_broken_scan_fails_alone_and_its_error_file_tells_all(job, tmp_path):
    cases = make_cases(tmp_path / "in", 3)
    broken = cases[1].images["flair"]
    broken.write_bytes(broken.read_bytes()[:1500])
    outcomes = run_all(cases, job)
    assert [outcome.status for outcome in outcomes.values()] == ["done", "failed", "done"]
    found = error_of(job, "s2")
    assert found["case"] == "s2"
    assert found["exception"] == "DataError"
    assert found["exit_code"] == outcomes["s2"].exit_code == 65
    assert found["message"] == outcomes["s2"].message
    assert str(broken) in found["message"]
    assert found["inputs"] == {"flair": str(broken)}
    assert found["time"].endswith("+00:00")
    assert "traceback" not in found
    assert [case.error is None for case in find_filed_cases(job.output)] == [True, False, True]


def test_scans_that_are_missing_or_apart_fail_with_their_own_codes(job, tmp_path):
    a, b = make_case(tmp_path / "in", "a"), make_case(tmp_path / "in", "b")
    missing = replace(a, images={"t1": tmp_path / "none.nii"})
    wanted = with_prints(job, options=replace(job.options, reference="t1"))
    outcomes = run_all([missing, b], wanted)
    assert [o.exit_code for o in outcomes.values()] == [66, 2]
    assert error_of(job, "a")["exception"] == "InputNotFoundError"
    assert error_of(job, "b")["exception"] == "UsageError"


@pytest.mark.parametrize(
    ("error", "word"),
    [(ZeroDivisionError("by zero"), "fault of ours"), (MemoryError(), "out of memory")],
)
@pytest.mark.parametrize("where", ["read_case", "predict", "save"])
def test_whatever_goes_wrong_costs_one_case(job, tmp_path, monkeypatch, error, word, where):
    if where == "save":
        inside = work.Result.save

        def save(self, directory, **named):
            if named["prefix"] == "s1":
                raise error
            return inside(self, directory, **named)

        monkeypatch.setattr(work.Result, "save", save)
    else:
        original, calls = getattr(work, where), []

        def once(*arguments, **named):
            calls.append(1)
            if len(calls) == 1:
                raise error
            return original(*arguments, **named)

        monkeypatch.setattr(work, where, once)
    outcomes = run_all(make_cases(tmp_path / "in", 2), job)
    assert [outcome.status for outcome in outcomes.values()] == ["failed", "done"]
    assert word in outcomes["s1"].message
    assert outcomes["s1"].exit_code == 1
    found = error_of(job, "s1")
    assert found["exception"] == type(error).__name__
    assert type(error).__name__ in found["traceback"]
    assert hidden(job.output) == []


def test_a_failure_that_cannot_be_written_down_is_told(job, tmp_path):
    cases = make_cases(tmp_path / "in", 2)
    job.output.mkdir()
    (job.output / "s1").write_text("a file where a folder has to be")
    outcomes = run_all(cases, job)
    assert [outcome.status for outcome in outcomes.values()] == ["failed", "done"]
    assert "error file could not be written" in outcomes["s1"].message


def test_a_name_that_starts_no_file_fails_alone(job, tmp_path):
    a, b = make_case(tmp_path / "in", "a"), make_case(tmp_path / "in", "b")
    outcomes = run_all([replace(a, prefix="../a"), b], job)
    assert [outcome.status for outcome in outcomes.values()] == ["failed", "done"]
    assert outcomes["a"].exit_code == UsageError.exit_code


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_is_no_failure(job, tmp_path, monkeypatch, error):
    def stop(*_arguments, **_named):
        raise error

    monkeypatch.setattr(work, "predict", stop)
    worker = Worker(job)
    ready = worker.prepare(make_case(tmp_path / "in", "a"))
    with pytest.raises(error):
        worker.segment(ready)
    worker.close()
    assert list(job.output.rglob("*.json")) == []


def test_a_case_that_is_told_to_stop_is_no_failure_and_gives_its_claim_up(job, tmp_path):
    case, stops = make_case(tmp_path / "in", "a"), [True]
    worker = Worker(job, should_stop=lambda: stops[0])
    with pytest.raises(Interrupted):
        worker.run(case)
    assert list(job.output.rglob("*.json")) == []
    stops[0] = False
    assert worker.run(case).status == "done"


def test_an_input_that_changes_meanwhile_fails_its_case(job, tmp_path):
    case = make_case(tmp_path / "in", "a")
    worker = Worker(job)
    ready = worker.prepare(case)
    case.images["flair"].write_bytes(case.images["flair"].read_bytes() + b"more")
    outcome = worker.segment(ready)
    assert (outcome.status, outcome.exit_code) == ("failed", DataError.exit_code)
    assert "changed while" in outcome.message


def test_stages_are_told(job, tmp_path):
    heard = Heard()
    run_all([make_case(tmp_path / "in", "a")], job, hear=heard)
    stages = [stage for _, stage in heard.stages]
    assert stages[0] == "read"
    assert stages[-1] == "save"
    assert "segment flair" in stages
    assert stages.count("read") == 1


def test_models_that_are_others_than_when_the_batch_began_are_refused(job, tmp_path):
    with pytest.raises(EngineError, match=r"strokeseg is .* here and 9\.9"):
        load_models(replace(job, version="9.9"), Heard())
    make_model(tmp_path / "model", seed=5)
    with pytest.raises(EngineError, match="others than when the batch began"):
        run_all([make_case(tmp_path / "in", "a")], job)
    assert list(job.output.rglob("*.json")) == []


def test_a_model_of_brains_alone_is_refused_before_a_case_is_done(tmp_path):
    brains = mesh_folder(tmp_path / "brains", 0.5, finds="brain")
    job = make_job(tmp_path / "out", brains, models=(str(brains),))
    with pytest.raises(UsageError, match="finds the brain, not lesions"):
        run_all([make_case(tmp_path / "in", "a")], job)


def test_an_error_is_said_in_one_line():
    assert describe_error(DataError("two  spaces")) == ("two  spaces", 65)
    said, code = describe_error(ValueError("x\ny\x1b"))
    assert said == "a fault of ours: ValueError: x y\\x1b; please report it"
    assert code == 1


def test_a_case_of_several_scans_is_one_case(job, tmp_path):
    a, b = make_case(tmp_path / "in", "a"), make_case(tmp_path / "in", "b", "las", "t1")
    both = Case("ab", {**a.images, **b.images}, "x/ab", "ab")
    assert statuses([both], job) == {"ab": "done"}
    record = json.loads((job.output / "x" / "ab" / "ab_strokeseg.json").read_bytes())
    assert set(record["inputs"]) == {"flair", "t1"}
