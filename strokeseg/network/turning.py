"""Kernels turned to other axes: a network that learnt on other axes than RAS then sees RAS.

Where nothing has a stride, turning the image, running the network and turning the result back is
the same as running the network with turned kernels.
"""

from collections.abc import Mapping

import numpy as np

from strokeseg.arrays import FloatArray

_RAS = ("RL", "AP", "SI")
_KERNEL_AXES = 5


def turned_to_ras(state: Mapping[str, FloatArray], axes: str) -> dict[str, FloatArray]:
    """Turn every kernel of a network from `axes` to RAS.

    Parameters
    ----------
    state
        Tensors by name; kernels are (out, in, I, J, K).
    axes
        Directions that the axes of the network's images run towards, such as LIA.

    Returns
    -------
    dict
        The same tensors, turned.
    """
    order = [next(a for a, letter in enumerate(axes) if letter in pair) for pair in _RAS]
    backwards = tuple(a + 2 for a, letter in enumerate(axes) if letter in "LPI")
    turned = {}
    for name, tensor in state.items():
        if tensor.ndim == _KERNEL_AXES:
            flipped = np.flip(tensor, backwards)
            tensor = np.ascontiguousarray(flipped.transpose(0, 1, *(a + 2 for a in order)))
        turned[name] = tensor
    return turned
