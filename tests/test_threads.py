import threading

import numpy as np
import pytest

from strokeseg.engines.base import ScanLogits
from strokeseg.ensemble import Member, posterior
from strokeseg.grid import Grid
from strokeseg.resample import resample_logits
from strokeseg.threads import MOST, at_most, thread_count, usable_cores
from strokeseg.volume import read, write
from tests.factories import KINDS, scan_image


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
    volume = read(scan_image(KINDS["fine"]))
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
