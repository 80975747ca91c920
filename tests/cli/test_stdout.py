"""Results that stdout cannot take: it was closed before the start, or goes to a full disk."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = f"{sys.executable} -m strokeseg weights list"


def ended(redirection):
    command = f"{COMMAND} {redirection}"
    return subprocess.run(
        ["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False
    )


@pytest.mark.skipif(not Path("/bin/sh").exists(), reason="a shell closes it")
def test_a_closed_stdout_is_no_fault():
    done = ended(">&-")
    assert done.returncode == 0
    assert "error" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is full")
def test_a_full_disk_behind_stdout_is_an_error_of_writing():
    done = ended(">/dev/full")
    assert done.returncode == 74
    assert done.stderr.startswith("strokeseg: error: writing to the terminal, or where it is")
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1
