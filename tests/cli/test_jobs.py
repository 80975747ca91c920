import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from strokeseg.cli import run
from strokeseg.cli.batch import batch
from strokeseg.cli.bids import bids
from strokeseg.cli.jobs import hardware_of, job_of, options_of
from strokeseg.cli.predict import predict
from strokeseg.models.loading import Hardware
from strokeseg.prediction.options import Options

GIVEN = {
    "reference": "flair",
    "window": 64,
    "overlap": 0.25,
    "tta": True,
    "fast": False,
    "threshold": 0.3,
    "min_volume_ml": 0.2,
    "min_peak": 0.4,
    "brain_mask": False,
    "field_of_view": "whole",
    "fusion": "noisy_or",
    "weight": ["flair=2"],
    "stages": 2,
    "save_format": "nrrd",
    "engine": "torch",
    "device": "cpu",
    "precision": "bf16",
    "threads": 3,
    "max_memory": "4G",
    "model": ["a", "b"],
    "offline": True,
    "anonymise": True,
    "resume": False,
    "other": "of the command alone",
}


@pytest.mark.parametrize("command", [predict, batch, bids])
def test_every_command_has_an_argument_for_every_option(command):
    names = set(inspect.signature(command).parameters)
    # Four follow from what is saved; one is read from pairs, --weight NAME=NUMBER.
    implied = {"filled", "mni", "parts", "uncertainty", "weights"}
    of_a_cohort = {"strict"} if command is predict else set()  # one case is always strict
    assert {one.name for one in fields(Options)} - names == implied | of_a_cohort
    assert "weight" in names
    assert {"engine", "device", "precision", "threads", "max_memory"} <= names


def test_options_are_gathered_by_their_names():
    assert options_of(GIVEN, frozenset({"mask", "uncertainty"})) == Options(
        reference="flair",
        window=64,
        overlap=0.25,
        threshold=0.3,
        min_volume_ml=0.2,
        min_peak=0.4,
        brain_mask=False,
        field_of_view="whole",
        fusion="noisy_or",
        weights=(("flair", 2.0),),
        uncertainty=True,
    )


@pytest.mark.parametrize(
    ("asked", "flips", "stages"),
    [
        ({}, True, 2),
        ({"tta": True, "stages": 2}, True, 2),
        ({"tta": False}, False, 2),
        ({"stages": 1}, True, 1),
        ({"fast": True}, False, 1),
        ({"fast": True, "tta": False, "stages": 1}, False, 1),
    ],
)
def test_fast_means_no_flips_and_one_stage(asked, flips, stages):
    given = {**GIVEN, "tta": None, "stages": None, **asked}
    options = options_of(given, frozenset({"mask"}))
    assert (options.tta, options.stages) == (flips, stages)


@pytest.mark.parametrize("words", [["--tta"], ["--stages", "2"]])
@pytest.mark.parametrize("command", [["predict", "--t1", "a"], ["batch", "a", "b"]])
def test_fast_and_what_it_leaves_out_contradict_each_other(command, words, capsys):
    assert run([*command, "--fast", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--fast" in line
    assert " ".join(words) in line


def test_a_job_holds_all_that_was_given():
    job = job_of(GIVEN, Path("out"), frozenset({"mask"}))
    assert job.output == Path("out").absolute()
    assert job.models == ("a", "b")
    assert job.hardware == hardware_of(GIVEN) == Hardware("torch", "cpu", "bf16", 3, 4_000_000_000)
    assert (job.offline, job.anonymise, job.resume) == (True, True, False)
    assert job.kinds == {"mask"}
    assert job.save_format == "nrrd"
    assert not job.options.uncertainty
