"""The judge of the fuzz says no to what is not allowed."""

import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from strokeseg.errors import DataError, StrokesegError
from tests.fuzz import __main__ as fuzz
from tests.fuzz import trial as trials
from tests.fuzz.targets import Target
from tests.fuzz.trial import attempt, measured

MEGABYTE = 1_000_000


def fails_with(error):
    def run(_data, _folder):
        raise error

    return run


def hangs(_data, _folder):
    time.sleep(5)


def hoards(_data, _folder):
    assert len(bytes(20 * MEGABYTE)) > 0


def warns(_data, _folder):
    np.float32(3e38) * np.float32(10)


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        (fails_with(ValueError("x")), "ValueError: x"),
        (fails_with(RecursionError("deep")), "RecursionError"),
        (fails_with(StrokesegError("a fault of ours")), "blames strokeseg itself"),
        (fails_with(DataError("")), "is not one printable line"),
        (hangs, "Hang: no answer"),
        (hoards, "takes 20"),
        (warns, "RuntimeWarning: overflow"),
    ],
)
def test_what_is_not_allowed_is_a_fault(run, fault, tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "LONGEST_S", 0.2)
    with measured():
        trial = attempt(Target("any", lambda _, data: data, run), b"", tmp_path)
    assert fault in trial.fault


def test_a_process_that_dies_leaves_its_input(tmp_path, monkeypatch):
    def dies(command, **_):
        (Path(command[-1]) / "current.bin").write_bytes(b"deadly")
        return subprocess.CompletedProcess(command, -11, "", "Segmentation fault")

    monkeypatch.setattr(fuzz.subprocess, "run", dies)
    report = fuzz.run("mgh", "mutate", 10, 1, found=tmp_path)
    assert "ended with -11: Segmentation fault" in report["faults"]["process"]["says"]
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == b"deadly"
    assert kept.name == report["faults"]["process"]["input"]
