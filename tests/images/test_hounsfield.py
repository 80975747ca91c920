import numpy as np
import pytest

from strokeseg.errors import DataError
from strokeseg.images.hounsfield import check_hounsfield, hounsfield_offset, seems_ct
from strokeseg.images.intensity import as_seen
from strokeseg.images.reading import read_scan
from strokeseg.images.suitability import suited
from tests.factories import KINDS, head, hounsfield


def ct():
    """A head with air, fat, soft tissue and bone, in Hounsfield units."""
    data = hounsfield(head(KINDS["ras"])[0])
    data[4:7, 10:40, 8:30] = 900.0
    data[8:9, 10:40, 8:30] = -90.0
    return data


def volume(data):
    return read_scan((data, head(KINDS["ras"])[1]))


def test_a_ct_in_hounsfield_units_is_taken_as_it_is():
    scan = volume(ct())
    assert suited("ct", scan).data is scan.data
    assert suited("ct", scan).warnings == ()


@pytest.mark.parametrize("padding", [-1024.0, -2000.0, -3024.0])
def test_padding_below_air_is_no_fault(padding):
    data = np.where(ct() == -1000, padding, ct()).astype(np.float32)
    assert check_hounsfield("x", data) == (0.0, [])


@pytest.mark.parametrize("offset", [1024.0, 1000.0])
def test_an_offset_is_taken_off_and_told(offset):
    scan = suited("ct", volume(ct() + np.float32(offset)))
    np.testing.assert_allclose(scan.data, ct(), atol=1e-3)
    (told,) = scan.warnings
    assert f"{offset:g} was taken off" in told
    seen = as_seen("ct", ct() + np.float32(offset))
    np.testing.assert_allclose(seen, as_seen("ct", ct()), atol=1e-3)
    assert hounsfield_offset(ct()) == 0


def scaled(data):
    return (data - data.min()) / (data.max() - data.min())


SPOILT = {
    "scaled to 0..1": scaled,
    "windowed to 0..255": lambda data: np.clip(data, 0, 80) / 80 * 255,
    "a wide window": lambda data: (np.clip(data, -100, 200) + 100) / 300 * 255,
    "an MRI": lambda _: head(KINDS["ras"])[0],
    "no air, offset unknown": lambda data: data + 317,
}


@pytest.mark.parametrize("how", SPOILT)
def test_what_cannot_be_told_is_refused_with_the_ranges_seen(how):
    data = SPOILT[how](ct()).astype(np.float32)
    with pytest.raises(DataError, match="no CT in Hounsfield units") as caught:
        suited("ct", volume(data))
    assert f"from {data.min():g} to {data.max():g}" in str(caught.value)
    assert caught.value.exit_code == 65


def test_a_brain_that_was_cut_out_is_taken_with_a_warning():
    data = np.clip(ct(), 0, 80)
    data[:10] = 0
    offset, (told,) = check_hounsfield("x", data)
    assert offset == 0
    assert "no air near -1000" in told


def test_a_ct_that_is_given_as_another_contrast_is_told():
    assert seems_ct(ct())
    (told,) = suited("t1", volume(ct())).warnings
    assert told == "looks like a CT in Hounsfield units, not like t1: give it as --ct"
    assert not seems_ct(head(KINDS["ras"])[0])
