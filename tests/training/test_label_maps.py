import numpy as np
import pytest

from strokeseg.errors import DataError, InputNotFoundError, UsageError
from strokeseg.space.mni import fit_landmarks, fit_moments
from strokeseg.training.data.label_maps import prepare_subject
from strokeseg.training.data.label_table import TISSUES, read_table
from tests.training.heads import SHAPE, affine_of, head_labels, save

TABLE = """
[classes.air]
labels = [0]
tissue = "background"
[classes.grey]
labels = [1]
tissue = "GM"
[classes.white]
labels = [2]
tissue = "WM"
[partial_volume]
grey = ["grey"]
white = ["white"]
name = "border"
tissue = "GM/WM"
sigma_mm = 1.0
"""


def shares(subject, table):
    """Share of each tissue (5, I, J, K)."""
    tissue = np.array(table.tissue_of_class)
    share = subject.share / 255
    return np.stack(
        [
            share * (tissue[subject.first] == t) + (1 - share) * (tissue[subject.second] == t)
            for t in range(len(TISSUES))
        ]
    )


def test_the_bundled_table_is_whole():
    table = read_table()
    assert len(set(table.class_names)) == len(table.class_names) == len(table.tissue_of_class)
    assert table.tissue_of_class[table.border] == TISSUES.index("GM/WM")
    assert table.class_of_label[0] == table.tissue_of_class.index(0)
    assert len(table.landmarks_mm) >= 6


def test_the_affine_to_mni_is_found_from_landmarks():
    labels, affine = head_labels()
    turned = affine.copy()
    turned[:3, :3] = 1.1 * affine[:3, :3]
    turned[:3, 3] += [10, -20, 30]
    landmarks = read_table().landmarks_mm
    fitted = fit_landmarks(labels, turned, landmarks)
    np.testing.assert_allclose(
        fitted @ turned, fit_landmarks(labels, affine, landmarks) @ affine, atol=1e-6
    )
    middle = [*(np.array(labels.shape) / 2), 1]
    np.testing.assert_allclose(fitted @ turned @ middle, affine @ middle, atol=6)
    assert fit_landmarks(np.zeros_like(labels), affine, read_table().landmarks_mm) is None


def test_without_landmarks_the_brains_moments_are_used():
    labels, affine = head_labels()
    brain = np.isin(labels, (2, 41, 3, 42)).astype(np.float32)
    shifted = affine.copy()
    shifted[:3, 3] += [12, -30, 25]
    here, there = fit_moments(brain, affine, "a"), fit_moments(brain, shifted, "b")
    np.testing.assert_allclose(here @ affine, there @ shifted, atol=1e-6)
    with pytest.raises(DataError, match="no grey or white matter"):
        fit_moments(np.zeros(SHAPE, np.float32), affine, "empty")


@pytest.mark.parametrize("orientation", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1)])
def test_a_head_in_any_orientation_is_the_same_subject(tmp_path, orientation):
    # At 5 mm no voxel of the 1 mm grid lies half-way between two of the map's.
    affine = affine_of(spacing_mm=5.0)
    labels, _ = head_labels((31, 37, 31), affine)
    plain = prepare_subject(save(tmp_path / "a.nii.gz", labels, affine), read_table(), 4.0)
    turned, moved = labels, affine.copy()
    for axis, sign in enumerate(orientation):
        if sign < 0:
            turned = np.flip(turned, axis)
            moved[:3, 3] += moved[:3, axis] * (labels.shape[axis] - 1)
            moved[:3, axis] *= -1
    path = save(tmp_path / "b.nii.gz", np.ascontiguousarray(turned), moved)
    other = prepare_subject(path, read_table(), 4.0)
    np.testing.assert_array_equal(other.first, plain.first)
    np.testing.assert_array_equal(other.share, plain.share)
    np.testing.assert_allclose(other.to_mni @ other.affine, plain.to_mni @ plain.affine, atol=1e-6)


def test_the_prepared_head_lies_where_the_map_had_it(tmp_path):
    labels, affine = head_labels()
    path = save(tmp_path / "a.nii.gz", labels, affine)
    for size in (2.0, 4.0):
        subject = prepare_subject(path, read_table(), size)
        white = np.argwhere(shares(subject, read_table())[3] > 0.5)
        found = white.mean(axis=0) @ subject.affine[:3, :3].T + subject.affine[:3, 3]
        there = np.argwhere(np.isin(labels, (2, 41))).mean(axis=0)
        np.testing.assert_allclose(found, there @ affine[:3, :3].T + affine[:3, 3], atol=1)
        np.testing.assert_allclose(np.diag(subject.affine)[:3], size)


def test_grey_and_white_meet_in_a_shell_of_partial_volume(tmp_path):
    labels, affine = np.zeros((36, 36, 36), np.int16), affine_of(spacing_mm=1.0)
    labels[3:27, 3:27, 3:27] = 1
    labels[9:21, 9:21, 9:21] = 2
    table_path = tmp_path / "table.toml"
    table_path.write_text(TABLE)
    table = read_table(table_path)
    subject = prepare_subject(save(tmp_path / "a.nii.gz", labels, affine), table, 1.0)
    total = shares(subject, table)
    np.testing.assert_allclose(total.sum(axis=0), 1, atol=1e-6)
    line = total[2][15 - 3 + 4, 15 - 3 + 4]
    border = np.flatnonzero(line > 0.3)
    assert 2 <= border.size <= 8
    grey, white = total[1], total[3]
    assert grey.max() > 0.99
    assert white.max() > 0.99
    assert total[2].max() > 0.4
    assert (total[2] > 0.3).mean() < 0.2


def test_a_table_of_ones_own_replaces_the_bundled_one(tmp_path):
    labels, affine = head_labels()
    ours = np.zeros_like(labels)
    ours[np.isin(labels, (3, 42))] = 1
    ours[np.isin(labels, (2, 41))] = 2
    path = tmp_path / "table.toml"
    path.write_text(TABLE)
    subject = prepare_subject(save(tmp_path / "a.nii.gz", ours, affine), read_table(path), 4.0)
    assert subject.first.max() <= 3


def test_a_label_outside_the_table_is_named(tmp_path):
    labels, affine = head_labels()
    labels[0, 0, 0] = 9999
    with pytest.raises(DataError, match="label 9999 is not in the label table") as caught:
        prepare_subject(save(tmp_path / "a.nii.gz", labels, affine), read_table(), 4.0)
    assert caught.value.exit_code == 65


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.full((20, 20, 20), 2.5, np.float32), "whole numbers"),
        (np.zeros((20, 20, 20), np.int16), "all voxels have the value 0"),
    ],
)
def test_a_map_that_is_none_is_refused(tmp_path, data, message):
    data[0, 0, 0] = 0
    with pytest.raises(DataError, match=message):
        prepare_subject(save(tmp_path / "a.nii.gz", data, affine_of()), read_table(), 4.0)


def test_a_voxel_size_that_is_no_whole_number_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"voxel_size_mm is 1.5"):
        prepare_subject(tmp_path / "a.nii.gz", read_table(), 1.5)


@pytest.mark.parametrize(
    ("text", "error"),
    [("[classes", UsageError), ("a = 1", UsageError), (TABLE.replace("GM/WM", "x"), UsageError)],
)
def test_a_broken_table_is_one_line(tmp_path, text, error):
    path = tmp_path / "table.toml"
    path.write_text(text)
    with pytest.raises(error) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputNotFoundError):
        read_table(tmp_path / "none.toml")
