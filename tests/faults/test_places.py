"""Disks that are full or read-only, a full /tmp, caches that cannot be written."""

import os
import shutil
import subprocess

import pytest

from tests.fake_hub import running_hub
from tests.faults.batches import batch_words, check_goes_on, check_sound, make_cohort, run

COUNT = 3
DISK_BYTES = 16 << 20


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohort"), COUNT)


@pytest.fixture(scope="module")
def needed_bytes(cohort):
    """What the results of the whole cohort take."""
    done = run(batch_words(cohort, cohort / "measured"))
    assert done.code == 0, done.said
    return sum(path.stat().st_size for path in (cohort / "measured").rglob("*") if path.is_file())


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, small, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root and the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk, free_bytes):
    """Leave so much room on a disk; gives the file that fills it."""
    ballast = disk / "ballast"
    with ballast.open("wb") as stream:
        stream.write(bytes(max(0, shutil.disk_usage(disk).free - free_bytes)))
    return ballast


@pytest.mark.parametrize("part", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98])
def test_a_full_disk_loses_nothing_and_the_batch_goes_on_once_there_is_room(
    cohort, needed_bytes, disk, part
):
    output = disk / "out"
    ballast = fill(disk, int(part * needed_bytes))
    ended = run(batch_words(cohort, output))
    assert ended.code in (1, 73, 74), ended.said
    assert "No space left" in ended.said
    whole = check_sound(ended, output)
    assert len(whole) < COUNT or ended.code == 74  # only the tables had no room
    ballast.unlink()
    check_goes_on(cohort, output, whole, COUNT)


def test_a_full_disk_ends_predict_with_one_line_and_leaves_nothing(cohort, needed_bytes, disk):
    output = disk / "out"
    fill(disk, needed_bytes // (2 * COUNT))
    scan = next((cohort / "in" / "s1").iterdir())
    words = ["predict", "--flair", str(scan), "-o", str(output), "--model", str(cohort / "model")]
    ended = run([*words, "--fast", "--save", "all"])
    assert ended.code == 74, ended.said
    assert len(ended.errors) == 1
    assert "No space left" in ended.errors[0]
    assert check_sound(ended, output) == {}
    assert not output.exists()


def test_a_read_only_output_is_an_error_before_any_work(cohort, disk):
    output = disk / "out"
    output.mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    ended = run(batch_words(cohort, output))
    assert ended.code == 73, ended.said
    assert len(ended.errors) == 1
    assert "Read-only file system" in ended.errors[0]
    assert "[1/" not in ended.said
    check_sound(ended, output)


def test_a_full_tmp_is_no_matter(cohort, disk, tmp_path):
    fill(disk, 0)
    ended = run(batch_words(cohort, tmp_path / "out"), TMPDIR=str(disk))
    assert ended.code == 0, ended.said
    assert len(check_sound(ended, tmp_path / "out")) == COUNT


@pytest.fixture
def sealed(disk):
    """An environment whose home and caches are on a disk that cannot be written."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    names = ("HOME", "HF_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR")
    return {name: str(disk / "nowhere") for name in names}


def test_home_and_caches_that_cannot_be_written_are_no_matter(cohort, sealed, tmp_path):
    ended = run(batch_words(cohort, tmp_path / "out"), **sealed)
    assert ended.code == 0, ended.said
    assert len(check_sound(ended, tmp_path / "out")) == COUNT
    report = run(["report", str(tmp_path / "out")], **sealed)
    assert report.code == 0, report.said


def test_a_download_into_a_cache_that_cannot_be_written_says_where_and_what_to_do(sealed):
    with running_hub() as hub:
        commit = hub.add("somebody/model", {"config.json": b"{}", "model.safetensors": b"x"})
        name = f"hub:somebody/model@{commit}"
        ended = run(["weights", "download", name], **sealed, HF_ENDPOINT=hub.endpoint)
    assert ended.code in (73, 74), ended.said
    assert len(ended.errors) == 1
    assert "nowhere" in ended.errors[0]
    assert "HF_HOME" in ended.errors[0]
