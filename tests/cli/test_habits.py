"""What people try first: -h, -V, python -m, the other spelling, completion."""

import os
import subprocess
import sys

import pytest

from strokeseg import __version__
from strokeseg.cli import run
from strokeseg.engines.choice import plain_device


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
