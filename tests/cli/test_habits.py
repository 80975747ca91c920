"""What people try first: -h, -V, python -m, the other spelling, completion."""

import importlib.util
import json
import os
import subprocess
import sys
from itertools import pairwise

import pytest
import typer.main

from strokeseg import __version__
from strokeseg.cli import app, run
from strokeseg.cli.bids_app import with_hyphens
from strokeseg.engines.choice import plain_device
from tests.factories import scan_file


@pytest.mark.parametrize("option", ["-V", "-v", "--version"])
def test_the_version_comes_with_the_name(option, capsys):
    assert run([option]) == 0
    assert capsys.readouterr().out == f"strokeseg {__version__}\n"


@pytest.mark.parametrize(
    "command", [(), ("predict",), ("batch",), ("bids",), ("weights",), ("weights", "list")]
)
def test_h_is_help(command, capsys):
    assert run([*command, "-h"]) == 0
    short = capsys.readouterr().out
    assert run([*command, "--help"]) == 0
    assert capsys.readouterr().out == short
    assert "Usage: strokeseg" in short


def started(*arguments, **environment):
    command = [sys.executable, "-m", "strokeseg", *arguments]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_python_m_strokeseg_is_strokeseg():
    ended = started("-V")
    assert (ended.returncode, ended.stdout) == (0, f"strokeseg {__version__}\n")


def test_the_shell_completes_commands():
    ended = started(_STROKESEG_COMPLETE="complete_bash", COMP_WORDS="strokeseg pre", COMP_CWORD="1")
    assert ended.stdout.split() == ["predict"]


def test_completion_can_be_shown_for_an_installation(capsys):
    assert run(["--help"]) == 0
    assert "--install-completion" in capsys.readouterr().out


def test_the_other_spelling_of_synthesise_works_and_is_not_listed_twice(capsys):
    assert run(["synthesize", "--help"]) == 0
    assert "synthesize" in capsys.readouterr().out
    assert run(["--help"]) == 0
    assert "synthesize" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "meant"),
    [("gpu", "cuda"), ("gpu:1", "cuda:1"), ("cuda", "cuda"), ("cpu", "cpu"), ("gpus", "gpus")],
)
def test_gpu_is_cuda(given, meant):
    assert plain_device(given) == meant


def test_a_gpu_that_is_not_here_is_an_error_by_either_name(capsys):
    assert run(["demo", "-o", "nowhere", "--device", "gpu:63"]) == 70
    assert "cuda:63" in capsys.readouterr().err


def test_scans_without_options_are_told_by_their_names(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a_T1w.nii.gz", "b_FLAIR.nii.gz"):
        scan_file(tmp_path).rename(tmp_path / name)
    assert run(["predict", "a_T1w.nii.gz", "b_FLAIR.nii.gz", "--fast", "-o", "out"]) == 0
    record = json.loads((tmp_path / "out" / "a_strokeseg.json").read_text())
    assert (set(record["inputs"]), record["reference"]) == ({"t1", "flair"}, "t1")
    capsys.readouterr()
    scan_file(tmp_path).rename(tmp_path / "scan.nii.gz")
    assert run(["predict", "scan.nii.gz"]) == 2
    assert "--t1, --flair, --t2" in capsys.readouterr().err
    assert run(["predict", "a_T1w.nii.gz", "--t1", "scan.nii.gz"]) == 2
    assert "a_T1w.nii.gz seems to be t1, and --t1 scan.nii.gz was given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "turned"),
    [
        (["--n_cpus", "2"], ["--n-cpus", "2"]),
        (["--mem_mb=4000", "a_b"], ["--mem-mb=4000", "a_b"]),
        (["--skip_bids_validation"], ["--skip-bids-validation"]),
        (["--pattern", "a_b=c_d"], ["--pattern", "a_b=c_d"]),
    ],
)
def test_options_of_bids_apps_may_have_underscores(given, turned):
    assert with_hyphens(given) == turned


def test_bids_takes_what_bids_apps_take(tmp_path, capsys, monkeypatch):
    anat = tmp_path / "raw" / "sub-01" / "anat"
    anat.mkdir(parents=True)
    scan_file(tmp_path).rename(anat / "sub-01_T1w.nii.gz")
    seen = {}
    monkeypatch.setattr(
        "strokeseg.cli.bids.run_cohort", lambda _cohort, job, *_others: seen.update(job=job)
    )
    folders = [str(tmp_path / "raw"), str(tmp_path / "out"), "participant"]
    options = ["--n_cpus", "2", "--mem_mb", "3000", "-w", "work", "--skip-bids-validation"]
    assert run(["bids", *folders, *options]) == 0
    assert seen["job"].hardware.threads == 2
    assert seen["job"].hardware.max_memory_bytes == 3_000_000_000
    assert "-w work is not needed" in capsys.readouterr().err


def test_bids_tells_its_version_without_a_dataset(capsys):
    assert run(["bids", "--version"]) == 0
    assert capsys.readouterr().out == f"strokeseg {__version__}\n"


def test_aliases_that_others_use_are_there(capsys):
    assert run(["batch", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--nthreads" in shown
    assert "--anonymize" in shown
    assert "L is lesion, not left" not in shown
    assert run(["predict", "--help"]) == 0
    assert "L is" in capsys.readouterr().out.split("Arguments")[0]


def commands(group, path=()):
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


ALL = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_fits_a_terminal_of_80_columns_and_nothing_is_cut(path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    assert run([*path, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    cut = [line for line in lines if "…" in line]
    assert cut == []
    # Where a line of prose ends early, so does its sentence or its paragraph.
    prose = [line.strip() for line in lines[: lines.index(next(x for x in lines if "╭" in x))]]
    for line, after in pairwise(prose):
        word = after.partition(" ")[0]
        assert not line or not after or len(line) + len(word) + 3 > 80, (line, after)


def test_brackets_in_help_are_shown(capsys):
    assert run(["register", "--help"]) == 0
    assert "strokeseg[itk]" in capsys.readouterr().out
    assert run(["weights", "show", "--help"]) == 0
    assert "hub:owner/name[@rev]" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "synthesise"])
def test_training_without_torch_tells_of_its_cpu_wheel_before_anything_is_fetched(
    command, tmp_path, capsys, monkeypatch
):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "torch" else real(name, *a)
    )
    assert run([command, "smoke", "-o", str(tmp_path / "out")]) == 70
    told = capsys.readouterr().err
    assert "strokeseg[train]" in told
    assert "CPU wheel first" in told
    assert not (tmp_path / "out").exists()
