import numpy as np
import pytest

from strokeseg.images.outliers import range_warnings
from strokeseg.images.reading import read_scan
from strokeseg.images.suitability import suited
from tests.factories import KINDS, REAL_SCANS, SCANS, head


def scan(kind="fine"):
    return head(KINDS[kind])[0]


def test_a_plain_scan_has_nothing_to_tell():
    for kind in KINDS:
        assert range_warnings(scan(kind)) == []


def test_one_voxel_of_a_million_is_told():
    data = scan()
    data[40, 40, 35] = 1e6
    (told,) = range_warnings(data)
    assert told.startswith(f"1 voxel of {data.size} reaches up to 1e+06, where 99.99% lie below")


def test_forty_voxels_of_thirty_times_the_maximum_are_told():
    data = scan()
    data.reshape(-1)[np.arange(40) * 9973] = 30 * data.max()
    (told,) = range_warnings(data)
    assert told.startswith("40 voxels of 504000 reach up to ")


@pytest.mark.parametrize("value", [-1024.0, -32768.0])
def test_padding_far_below_the_rest_is_told(value):
    data = scan()
    data[:, :8] = value
    (told,) = range_warnings(data)
    assert f"10.0% of the voxels have the value {value:g}, far below the rest" in told


def test_bright_voxels_that_overflowed_are_told():
    data = scan() * np.float32(80)
    wrapped = np.where(data > 32767, data - 65536, data)
    count = int((data > 32767).sum())
    assert count > 100
    (told,) = range_warnings(wrapped)
    assert told.startswith(f"{count} voxels lie far below the rest, down to -")
    assert "overflowed 16 bits" in told


def test_a_zscored_scan_and_a_ringing_one_are_fine():
    data = scan()
    assert range_warnings((data - data.mean()) / data.std()) == []
    assert range_warnings(data - np.float32(20)) == []


def test_warnings_come_after_those_of_reading():
    data, affine = head(KINDS["fine"])
    data[0, 0, 0], data[1, 1, 1] = np.nan, 1e6
    nan, bright = suited("t1", read_scan((data, affine))).warnings
    assert "NaN" in nan
    assert "1 voxel of" in bright


@pytest.mark.skipif(not SCANS.is_dir(), reason="no real scans beside the project")
@pytest.mark.parametrize("name", REAL_SCANS)
def test_real_scans_have_nothing_to_tell(name):
    assert range_warnings(read_scan(SCANS / name).data) == []
