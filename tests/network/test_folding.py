import numpy as np
import pytest
import torch
from torch.nn import functional

from strokeseg.network.folding import conv_fold, fold_conv, fold_transposed
from tests.networks import random_image


def unfolded(folded, features):
    """(factor x C, I, J, K / factor) to (C, I, J, K), phases side by side."""
    factor = folded.shape[0] // features
    parts = folded.reshape(factor, features, *folded.shape[1:])
    return np.moveaxis(parts, 0, -1).reshape(features, *folded.shape[1:3], -1)


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("length", [1, 3, 5])
def test_a_folded_convolution_computes_the_same(factor, length):
    image = random_image((1, 2, 6, 5, 16))
    weight = random_image((3, 2, 3, 1, length), seed=1)
    padding = (1, 0, length // 2)
    plain = functional.conv3d(torch.tensor(image), torch.tensor(weight), padding=padding)[0]
    folded = functional.conv3d(
        torch.tensor(image),
        torch.tensor(fold_conv(weight, factor)),
        stride=(1, 1, factor),
        padding=padding,
    )[0]
    np.testing.assert_allclose(unfolded(folded.numpy(), 3), plain.numpy(), atol=1e-5)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("length", [1, 3, 5, 7])
def test_a_folded_transposed_convolution_computes_the_same(factor, length):
    image = random_image((1, 2, 4, 3, 9))
    weight = random_image((2, 3, 1, 1, length), seed=1)
    plain = functional.conv_transpose3d(
        torch.tensor(image),
        torch.tensor(weight),
        stride=(1, 1, factor),
        padding=(0, 0, length // 2),
        output_padding=(0, 0, factor - 1),
    )[0]
    folded_weight, before, after = fold_transposed(weight, factor)
    whole = functional.conv_transpose3d(torch.tensor(image), torch.tensor(folded_weight))[0]
    folded = whole[..., before : whole.shape[-1] - after]
    np.testing.assert_allclose(unfolded(folded.numpy(), 3), plain.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("features", "multiple", "factor"),
    [(6, 32, 2), (2, 32, 8), (2, 4, 4), (2, 3, 1), (8, 32, 2), (9, 32, 1), (40, 32, 1)],
)
def test_as_many_neighbours_are_folded_as_fill_a_register(features, multiple, factor):
    assert conv_fold(features, multiple) == factor
