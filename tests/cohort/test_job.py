"""What a batch is told, and what is found out before its first case."""

import pickle
from dataclasses import replace

import pytest

from strokeseg.cohort.batch.job import BatchJob, Outcome, Silent, shared_folders, with_models
from strokeseg.cohort.cases.case import Case
from strokeseg.errors import UsageError, WeightsUnavailableError
from strokeseg.files.checksums import sha256
from strokeseg.prediction.options import Options
from tests.cohort.cohorts import make_model
from tests.two_stages import two_stage_model


def test_models_are_known_by_their_checksums_and_folders_by_absolute_paths(tmp_path, monkeypatch):
    make_model(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    job = with_models(BatchJob(tmp_path / "out", ("model",), offline=True), Silent())
    assert job.models == (str(tmp_path / "model"),)
    found = job.prints[0]
    assert found.sha256 == sha256(tmp_path / "model" / "model.safetensors")
    assert found.config_sha256 == sha256(tmp_path / "model" / "config.json")


def test_the_default_model_and_names_of_the_registry_stay_names(tmp_path):
    default = with_models(BatchJob(tmp_path, offline=True), Silent())
    named = with_models(BatchJob(tmp_path, ("synth-open",), offline=True), Silent())
    assert default.models == ()
    assert named.models == ("synth-open",)
    assert default.prints == named.prints


def test_a_model_that_is_nowhere_is_said(tmp_path):
    with pytest.raises(WeightsUnavailableError, match="nobody"):
        with_models(BatchJob(tmp_path, ("nobody",), offline=True), Silent())


def test_parts_that_no_model_tells_are_refused_before_the_first_case(tmp_path):
    make_model(tmp_path / "one")
    two_stage_model(tmp_path / "two")
    asked = BatchJob(tmp_path / "out", options=Options(parts=True), offline=True)
    for models, stages, why in ((("one",), 2, "has no second stage"), (("two",), 1, "left out")):
        options = replace(asked.options, stages=stages)
        paths = tuple(str(tmp_path / name) for name in models)
        job = replace(asked, models=paths, options=options)
        with pytest.raises(UsageError, match=f"--save parts: .*{why}"):
            with_models(job, Silent())
    told = with_models(replace(asked, models=(str(tmp_path / "two"),)), Silent())
    assert len(told.prints) == 1


def test_a_job_can_be_sent_to_another_process_and_every_run_has_its_own_name(tmp_path):
    job = BatchJob(tmp_path)
    assert pickle.loads(pickle.dumps(job)) == job
    assert BatchJob(tmp_path).run != job.run


def test_folders_of_several_cases_are_known():
    cases = [Case(name, {}, folder, name) for name, folder in (("a", "x"), ("b", "x"), ("c", "y"))]
    assert shared_folders(cases) == {"x"}


def test_an_outcome_is_plain_values():
    assert Outcome("a", "failed", "why", 65, 1.5).as_record() == {
        "case": "a",
        "status": "failed",
        "message": "why",
        "exit_code": 65,
        "seconds": 1.5,
    }
