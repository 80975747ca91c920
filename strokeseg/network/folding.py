"""Convolutions with few features, rewritten to compute neighbouring voxels side by side.

A CPU multiplies 16 features at a time. At the finest level the network has but a few (its classes),
so most of that work is thrown away. Folded, a convolution puts `factor` neighbours along K into the
features: (C, I, J, K) becomes (factor x C, I, J, K / factor), the phase running slower than the
class. The numbers are the same; only zeros are added to the kernels.
"""

import numpy as np

from strokeseg.arrays import FloatArray

LANES = 16


def conv_fold(features: int, multiple: int) -> int:
    """Choose how many neighbours to fold a stride-1 convolution by.

    Parameters
    ----------
    features
        Features that it puts out.
    multiple
        What the length along K is a multiple of.

    Returns
    -------
    int
        A power of two; 1 where folding gains nothing.
    """
    factor = 1
    while features * factor * 2 <= LANES and multiple % (factor * 2) == 0:
        factor *= 2
    return factor


def fold_conv(weight: FloatArray, factor: int) -> FloatArray:
    """Fold a convolution of stride 1 along K.

    Parameters
    ----------
    weight : (out, in, KI, KJ, KK) array
        Its kernel.
    factor
        How many neighbours to compute at once.

    Returns
    -------
    (factor x out, in, KI, KJ, KK + factor - 1) float32 array
        The kernel of a convolution of stride `factor` along K, with the same padding.
    """
    outputs, inputs, *plane, length = weight.shape
    folded = np.zeros((factor * outputs, inputs, *plane, length + factor - 1), np.float32)
    for phase in range(factor):
        rows = slice(phase * outputs, (phase + 1) * outputs)
        folded[rows, ..., phase : phase + length] = weight
    return folded


def fold_transposed(weight: FloatArray, factor: int) -> tuple[FloatArray, int, int]:
    """Fold a transposed convolution of stride `factor` along K.

    With padding p, voxel ``factor * m + phase`` of the result is the sum over the offsets d of
    ``image[m + d] * weight[phase + p - factor * d]``.

    Parameters
    ----------
    weight : (in, out, KI, KJ, KK) array
        Its kernel, padded by (KK - 1) / 2.
    factor
        Its stride along K, which is how many neighbours are computed at once.

    Returns
    -------
    folded : (in, factor x out, KI, KJ, D) float32 array
        The kernel of a transposed convolution of stride 1 along K.
    before, after
        Its padding along K.
    """
    inputs, outputs, *plane, length = weight.shape
    padding = (length - 1) // 2
    after = (length - 1 - padding) // factor
    before = (factor - 1 + padding) // factor
    folded = np.zeros((inputs, factor * outputs, *plane, before + after + 1), np.float32)
    for phase in range(factor):
        rows = slice(phase * outputs, (phase + 1) * outputs)
        for offset in range(-after, before + 1):
            tap = phase + padding - factor * offset
            if 0 <= tap < length:
                folded[:, rows, ..., before - offset] = weight[..., tap]
    return folded, before, after
