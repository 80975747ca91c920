"""Disks that are full or read-only, a full /tmp, caches that cannot be written."""

import ctypes
import os
import shutil
import subprocess
from functools import cache

import pytest

from tests.fake_hub import running_hub
from tests.faults.batches import Ended, batch_words, check_goes_on, check_sound, make_cohort, run

COUNT = 2
DISK_BYTES = 16 << 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")  # what such a disk is given out by
CLONE_NEWNS = 0x20000


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohort"), COUNT)


@pytest.fixture(scope="module")
def measured(cohort):
    """The results of the whole cohort, on a disk that has room."""
    done = run(batch_words(cohort, cohort / "measured"))
    assert done.code == 0, done.said
    return cohort / "measured"


@cache
def mounts_alone():
    """Give this thread, and what it starts, mounts of their own, which go with them; False if not.

    So no other process sees the small disks, and none stays if the tests are killed.
    """
    if os.geteuid() != 0:
        return False
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        return False
    command = ["mount", "--make-rprivate", "/"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, small, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    may = (
        mounts_alone() and not subprocess.run(command, check=False, capture_output=True).returncode
    )
    if not may:
        pytest.skip("mounting a small disk needs root and the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk, free_bytes):
    """Leave so much room on a disk; gives the file that fills it."""
    ballast = disk / "ballast"
    with ballast.open("wb") as stream:
        stream.write(bytes(max(0, shutil.disk_usage(disk).free - free_bytes)))
    return ballast


def pages(path):
    return -(-path.stat().st_size // PAGE_BYTES)


# In the order in which a case is written.
WRITTEN = (
    *("_label-L_mask.nii.gz", "_label-L_mask.json", "_label-L_probseg.nii.gz"),
    *("_label-L_probseg.json", "_dseg.nii.gz", "_dseg.json", "_dseg.tsv"),
    *("_label-L_lesions.tsv", "_desc-lesions_dseg.nii.gz", "_qc.png", "_strokeseg.json"),
)


def room_to(name, measured):
    """Pages that the second case and the tables take before `name` has one too few; and a claim."""
    order = [*(measured / "s2" / f"s2{ending}" for ending in WRITTEN)]
    order += [measured / "lesions.tsv", measured / "cohort.tsv"]
    assert {path for path in order if path.parent.name == "s2"} == set((measured / "s2").iterdir())
    place = [path.name for path in order].index(name)
    return 1 + sum(map(pages, order[: place + 1])) - 1


@pytest.mark.parametrize(
    "name",
    [
        *(f"s2{ending}" for ending in WRITTEN if ending.endswith((".gz", "s.tsv", ".png"))),
        *("s2_strokeseg.json", "lesions.tsv", "cohort.tsv"),
    ],
)
def test_a_disk_that_is_full_at_one_file_loses_nothing_and_the_batch_goes_on_once_there_is_room(
    cohort, measured, disk, name
):
    output = disk / "out"
    output.mkdir()
    shutil.copytree(measured / "s1", output / "s1")
    before = check_sound(Ended(0, ""), output)
    ballast = fill(disk, room_to(name, measured) * PAGE_BYTES)
    ended = run(batch_words(cohort, output))
    assert ended.code in ((1, 74) if name.startswith("s2") else (74,)), ended.said
    place = output / "s2" if name.startswith("s2") else output
    assert f"{place / name}: writing failed (No space left on device)" in ended.said
    whole = check_sound(ended, output)
    assert {record: whole[record] for record in before} == before
    assert len(whole) == (1 if name.startswith("s2") else 2)
    ballast.unlink()
    check_goes_on(cohort, output, whole, COUNT)


def test_a_disk_without_any_room_is_said_of_each_case_and_of_its_error_file(cohort, disk):
    ballast = fill(disk, 0)
    ended = run(batch_words(cohort, disk / "out"))
    assert ended.code == 74, ended.said
    for name in ("s1", "s2"):
        assert f"{name}: failed: cannot write in {disk}/out (No space left on device)" in ended.said
        assert f"{name}_error.json: writing failed (No space left on device)" in ended.said
    assert check_sound(ended, disk / "out") == {}
    ballast.unlink()
    check_goes_on(cohort, disk / "out", {}, COUNT)


def test_a_full_disk_ends_predict_with_one_line_and_leaves_nothing(cohort, measured, disk):
    output = disk / "out"
    fill(disk, pages(measured / "s1" / "s1_qc.png") * PAGE_BYTES // 2)
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


@pytest.mark.parametrize(("state", "code"), [("full", 74), ("read-only", 73)])
@pytest.mark.parametrize("command", ["collect", "report", "overlap", "evaluate"])
def test_what_reads_a_cohort_says_in_one_line_that_it_cannot_write_and_leaves_it_as_it_is(
    measured, disk, command, state, code
):
    output = disk / "out"
    shutil.copytree(measured, output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    if state == "full":
        fill(disk, 0)
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    more = {"overlap": ["--space", "x"], "evaluate": [str(measured), "-o", str(disk / "tables")]}
    ended = run([command, str(output), *more.get(command, [])])
    assert ended.code == code, ended.said
    assert len(ended.errors) == 1
    reason = "No space left on device" if state == "full" else "Read-only file system"
    assert reason in ended.errors[0]
    check_sound(ended, output)
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


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
