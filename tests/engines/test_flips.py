import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from strokeseg.engines.flips import FLIPS, flip


def test_there_are_eight_flips_and_the_first_is_the_scan_itself():
    assert len(FLIPS) == 8
    assert len(set(FLIPS)) == 8
    assert FLIPS[0] == ()
    assert FLIPS[-1] == (0, 1, 2)


@given(
    axes=st.sampled_from(FLIPS),
    shape=st.tuples(*[st.integers(1, 4)] * 3),
    channels=st.integers(0, 3),
)
def test_a_flip_is_its_own_inverse(axes, shape, channels):
    lead = (channels,) if channels else ()
    array = np.arange(np.prod(lead + shape)).reshape(lead + shape)
    np.testing.assert_array_equal(flip(flip(array, axes), axes), array)


def test_a_flip_mirrors_the_last_three_axes_and_leaves_the_classes():
    logits = np.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4)
    np.testing.assert_array_equal(flip(logits, (0, 2)), logits[:, ::-1, :, ::-1])


def test_a_flip_is_a_view():
    array = np.zeros((2, 2, 2))
    flip(array, (1,))[0, 0, 0] = 1
    assert array[0, 1, 0] == 1
