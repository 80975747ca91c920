import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokeseg.measure import components as module
from strokeseg.measure.components import label_components

# Two bars that only their far end joins, and a voxel that meets it by a corner alone.
FORK = np.zeros((7, 5, 5), bool)
FORK[0:6, 0, 0] = FORK[0:6, 4, 4] = True
FORK[5, 0, :] = FORK[5, :, 4] = True
FORK[6, 1, 3] = True


def test_pieces_that_meet_in_a_later_plane_are_one_component():
    found = label_components(FORK, held_voxels=25)  # one plane a piece
    assert found.held is None
    assert len(found.pieces) == 7
    assert found.voxels.tolist() == [np.count_nonzero(FORK)]
    assert found.firsts.tolist() == [[0, 0, 0]]
    assert np.array_equal(found.inside(0), FORK)


def test_components_that_never_meet_stay_apart():
    mask = FORK.copy()
    mask[5, 0, 2] = mask[5, 2, 4] = False
    mask[6, 1, 3] = False
    found = label_components(mask, held_voxels=25)
    # Each bar of six with a voxel of the joint that is cut off it, and the corner of the joint.
    assert found.voxels.tolist() == [7, 7, 3]


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    share=st.floats(0.02, 0.6),
    held=st.integers(1, 60),
    seed=st.integers(0, 10**6),
)
def test_a_large_mask_has_the_components_of_a_small_one(shape, share, held, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < share
    place = rng.random(shape) < 0.3
    small, large = label_components(mask), label_components(mask, held_voxels=held)
    assert small.held is not None
    np.testing.assert_array_equal(large.voxels, small.voxels)
    assert large.boxes == small.boxes
    np.testing.assert_array_equal(large.firsts, small.firsts)
    np.testing.assert_array_equal(large.touching(place), small.touching(place))
    np.testing.assert_array_equal(small.reaching(place, 1), small.touching(place))
    np.testing.assert_array_equal(large.reaching(place, 1), small.reaching(place, 1))
    keep = rng.random(len(small.voxels)) < 0.5
    np.testing.assert_array_equal(large.select(keep), small.select(keep))
    for index, box in enumerate(small.boxes):
        np.testing.assert_array_equal(large.inside(index), small.inside(index))
        assert small.inside(index).sum() == small.voxels[index]
        assert large.at(small.firsts[index]) == index + 1 == small.at(small.firsts[index])
        assert mask[box].any()


@pytest.mark.parametrize("held", [1, 1000])
def test_an_empty_mask_has_none(held):
    found = label_components(np.zeros((5, 4, 3), bool), held_voxels=held)
    assert found.voxels.size == 0
    assert found.boxes == ()
    assert not found.select(np.zeros(0, bool)).any()


def test_a_lesion_too_large_to_be_labelled_at_once_is_told_from_what_its_box_holds(monkeypatch):
    monkeypatch.setattr(module, "HELD_VOXELS", 60)
    mask = np.zeros((12, 12, 12), bool)
    mask[0, 0, :] = mask[:, 0, 0] = mask[11, :, 11] = mask[11, 0, :] = True
    mask[5:7, 5:7, 5:7] = True
    found = label_components(mask, 60)
    bars = found.voxels.tolist().index(int(mask.sum()) - 8)
    expected = mask.copy()
    expected[5:7, 5:7, 5:7] = False
    assert found.boxes[bars] == (slice(0, 12),) * 3
    assert np.array_equal(found.inside(bars), expected)
