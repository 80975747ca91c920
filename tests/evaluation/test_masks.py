import numpy as np
import pytest

from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.evaluation.masks import binarise, read_mask
from tests.evaluation.masks_on_disk import boxes, write

LESION = boxes(((4, 4, 4), 5))


def counted(values, label=None):
    mask, notes = binarise("m", np.array(values, np.float32).reshape(-1, 1, 1), label)
    return mask.ravel().tolist(), notes


@pytest.mark.parametrize(
    "values", [(0, 1), (0, 255), (0, 7), (0, 0.99999994), (0.0002, 1.0)], ids=str
)
def test_one_label_is_lesion_whatever_its_number(values):
    assert counted(values) == ([False, True], ())


def test_an_empty_and_a_full_mask_are_masks():
    assert counted((0, 0)) == ([False, False], ())
    assert counted((1, 1)) == ([True, True], ())


def test_soft_masks_count_above_a_half_and_say_so():
    mask, notes = counted((0, 0.3, 0.5, 0.6, 1))
    assert mask == [False, False, False, True, True]
    assert notes == ("values between 0 and 1: above 0.5 counts",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 1, 2, 5), r"several labels \(1, 2, 5\); say which is lesion with --label"),
        ((0, -1, 1), "below 0"),
        ((0, 0.3, 17.2), "0.3, 17.2; it is no mask"),
        (tuple(range(50)), r"1, 2, 3, 4, 5, 6, 7, 8, \.\.\., 49"),
    ],
)
def test_what_is_no_mask_is_told(values, message):
    with pytest.raises(DataError, match=message):
        counted(values)


def test_a_label_chooses_and_one_that_is_not_there_is_noted():
    assert counted((0, 1, 2, 5), label=2) == ([False, False, True, False], ())
    assert counted((0, 1), label=3) == ([False] * 2, ("no voxel has the label 3 (there are 1)",))
    assert counted((0, 0), label=3) == ([False] * 2, ())


def test_a_file_gives_mask_grid_and_what_was_odd(tmp_path):
    data = LESION.astype(np.float32)
    data[0, 0, 0] = np.nan
    mask = read_mask(write(tmp_path / "m.nii.gz", data))
    np.testing.assert_array_equal(mask.voxels, LESION)
    assert mask.grid.voxel_size_mm == (2.0, 2.0, 2.0)
    assert len(mask.notes) == 1
    assert "NaN" in mask.notes[0]


@pytest.mark.parametrize("outside", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_in_a_mask_is_outside_of_it(tmp_path, outside):
    data = np.where(LESION, 1.0, outside).astype(np.float32)
    mask = read_mask(write(tmp_path / "spm.nii", data))
    np.testing.assert_array_equal(mask.voxels, LESION)
    assert mask.notes[0].endswith("are NaN or infinite: set to 0, as outside")


def test_thick_slices_are_nothing_to_note(tmp_path):
    matrix = np.diag([2.0, 2.0, 6.0, 1.0])
    assert read_mask(write(tmp_path / "m.nii", LESION, matrix)).notes == ()


def test_files_that_are_no_volume_are_told(tmp_path):
    with pytest.raises(InputNotFoundError, match="no such file"):
        read_mask(tmp_path / "none.nii.gz")
    with pytest.raises(DataError, match="2 volumes"):
        read_mask(write(tmp_path / "two.nii", np.stack([LESION, LESION], axis=3).astype("u1")))
    with pytest.raises(DataError, match="2 axes"):
        read_mask(write(tmp_path / "flat.nii", LESION[0].astype("u1")))
