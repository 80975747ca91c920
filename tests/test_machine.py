import threading

import numpy as np
import pytest

from strokeseg import machine
from strokeseg.engines.base import ScanLogits
from strokeseg.errors import UsageError
from strokeseg.images.reading import read_scan
from strokeseg.images.writing import write
from strokeseg.machine import MOST, at_most, thread_count, usable_cores
from strokeseg.prediction.ensemble import Member, posterior
from strokeseg.space.grid import Grid
from strokeseg.space.resample import resample_logits
from tests.factories import KINDS, scan_image


def test_this_machine_has_memory():
    assert machine.available_memory_bytes() > 1_000_000


def test_a_container_limit_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert machine.available_memory_bytes() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.available_memory_bytes() > 1_000_000


def test_physical_memory_is_taken_where_linux_files_are_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "none")
    assert machine.available_memory_bytes() > 1_000_000


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4G", 4_000_000_000),
        ("4GB", 4_000_000_000),
        ("4GiB", 4 << 30),
        ("4gi", 4 << 30),
        ("500M", 500_000_000),
        ("1.5GiB", 3 << 29),
        (" 2 g ", 2_000_000_000),
        ("123456789B", 123_456_789),
        ("1T", 10**12),
        ("2048K", 2_048_000),
    ],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert machine.parse_memory(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "G",
        "4",
        "-4G",
        "4 G B",
        "4X",
        "4Gb2",
        "1e3M",
        "0G",
        "0.0000000001K",
        "nan",
        "4,5G",
        "٤G",
    ],
)
def test_nonsense_is_no_size(text):
    with pytest.raises(UsageError, match="--max-memory") as caught:
        machine.parse_memory(text)
    assert "4G" in str(caught.value)


def test_what_this_process_holds_is_below_its_peak():
    assert 10_000_000 < machine.resident_bytes() <= machine.peak_memory_bytes() + 1_000_000


def test_what_the_system_does_not_say_is_not_known(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_STATM", tmp_path / "none")
    assert machine.resident_bytes() is None


def test_the_limit_holds_inside_and_ends_outside():
    before = thread_count()
    assert before == min(usable_cores(), MOST)
    with at_most(1):
        assert thread_count() == 1
        with at_most(3):
            assert thread_count() == 3
        assert thread_count() == 1
    assert thread_count() == before
    with at_most(None):
        assert thread_count() == before


@pytest.fixture
def started(monkeypatch):
    """Names of the threads that pools start."""
    names = set()
    begin = threading.Thread.start

    def start(thread):
        names.add(thread.name)
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    return names


def test_one_thread_is_one_thread_everywhere(started, tmp_path):
    volume = read_scan(scan_image(KINDS["fine"]))
    logits = np.random.default_rng(0).normal(size=(6, *volume.grid.shape)).astype(np.float32)
    coarse = Grid((30, 30, 30), volume.grid.affine @ np.diag([2.5, 2.5, 2.5, 1.0]))
    jobs = (
        lambda: posterior(
            [Member(ScanLogits(logits, []), volume.grid, volume.grid)],
            volume.grid,
            with_entropy=True,
        ),
        lambda: resample_logits(logits, volume.grid, coarse, slice(0, 30)),
        lambda: write(tmp_path / "x.nii.gz", volume.data, volume),
    )
    for job in jobs:
        started.clear()
        with at_most(1):
            job()
        assert len(started) == 1
        started.clear()
        with at_most(3):
            job()
        assert 1 <= len(started) <= 3
