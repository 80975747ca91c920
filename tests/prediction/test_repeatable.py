"""The same scan, model and options give the same bytes, wherever and however often they are run.

Every run here is a process of its own, by the command line, as a user starts it.
"""

import hashlib
import os
import subprocess

import nibabel as nib
import numpy as np
import pytest

from strokeseg.images.reading import read_map
from tests.cohort.cohorts import COMMAND, make_model
from tests.factories import scan_file
from tests.networks import ENGINES

KINDS = ("mask", "probability", "tissue", "uncertainty", "lesions", "qc")
WRITTEN = ("_mask.nii.gz", "_probseg.nii.gz", "_dseg.nii.gz", "_map.nii.gz", ".tsv", ".png")
MAPS = ("_probseg.nii.gz", "_map.nii.gz")
FLAIR = "sub-01_FLAIR.nii.gz"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A cohort of two scans, and a model of a few kilobytes, run with all its flips."""
    folder = tmp_path_factory.mktemp("repeatable")
    make_model(folder / "model")
    for name, kind in (("sub-01", "oblique"), ("sub-02", "anisotropic")):
        own = folder / "in" / name
        own.mkdir(parents=True)
        scan_file(own, kind).rename(own / f"{name}_FLAIR.nii.gz")
    return folder


@pytest.fixture(scope="module")
def alone(place):
    """What a single run gives, with one thread and the default engine."""
    return predicted(place, "alone", "--threads", "1", "--model", str(place / "model"))


def start(*arguments):
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr


def digests(folder, name="sub-01"):
    """The checksum of every result of a case; the record alone tells when and how it was made."""
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob(f"{name}_*")
        if path.name.endswith(WRITTEN)
    }
    assert len(found) == len(KINDS) + 2, sorted(found)  # and a table of tissues, and labels
    return found


def predicted(place, out, *options):
    scan = place / "in" / "sub-01" / FLAIR
    start("predict", "--flair", scan, "-o", place / out, "--save", ",".join(KINDS), *options)
    return digests(place / out)


def batched(place, out, *options):
    model = ("--model", place / "model")
    start("batch", place / "in", place / out, "--save", ",".join(KINDS), *model, *options)
    return digests(place / out)


def test_a_second_run_and_a_second_thread_change_no_byte(place, alone):
    model = ("--model", place / "model")
    assert predicted(place, "again", "--threads", "1", *model) == alone
    assert predicted(place, "two", "--threads", "2", *model) == alone


@pytest.mark.parametrize("engine", ENGINES)
def test_the_bundled_model_gives_the_same_bytes_on_an_engine_with_one_thread_and_two(place, engine):
    found = [
        predicted(place, f"{engine}-{run}", "--threads", threads, "--engine", engine, "--fast")
        for run, threads in enumerate(("1", "2"))
    ]
    if engine == "torch":
        compare_maps(*(place / f"{engine}-{run}" for run in range(2)))
        found = [{k: v for k, v in one.items() if not k.endswith(MAPS)} for one in found]
    assert found[0] == found[1]


def compare_maps(*folders):
    """On some CPUs oneDNN, which torch calls, sums in an order that depends on the threads."""
    for kind in MAPS:
        paths = [next(folder.rglob(f"sub-01_*{kind}")) for folder in folders]
        maps = [nib.load(path).get_fdata() for path in paths]
        np.testing.assert_allclose(maps[0], maps[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_batch_gives_what_a_single_run_gives(place, alone, jobs):
    assert batched(place, f"jobs-{jobs}", "--jobs", jobs) == alone
    assert digests(place / f"jobs-{jobs}", "sub-02")


def test_dask_gives_what_a_single_run_gives(place, alone, tmp_path):
    pytest.importorskip("distributed")
    from tests.cohort.test_cluster import Machines

    machines = Machines(tmp_path)
    try:
        machines.begin()
        machines.worker()
        assert batched(place, "dask", "--dask", machines.address) == alone
    finally:
        machines.end()


def test_another_scan_is_another_mask(place, alone):
    """Else the comparisons above would hold for results that tell nothing."""
    batched(place, "both", "--jobs", "1")
    assert not set(digests(place / "both", "sub-02").values()) & set(alone.values())
    for name in ("sub-01", "sub-02"):
        (mask,) = (place / "both").rglob(f"{name}_label-L_mask.nii.gz")
        assert 0 < read_map(mask).data.mean() < 1
