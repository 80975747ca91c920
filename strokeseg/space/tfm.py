"""Transforms as ITK keeps them in files."""

import numpy as np

from strokeseg.arrays import AffineArray


def tfm_text(to_moving: AffineArray) -> str:
    """Write a transform as ITK does in ``.tfm``: LPS mm of the fixed image to those of the moving.

    Parameters
    ----------
    to_moving : (4, 4) array
        The same in RAS mm.
    """
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    matrix = turn @ to_moving @ turn
    values = " ".join(repr(float(v)) for v in [*matrix[:3, :3].ravel(), *matrix[:3, 3]])
    return (
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {values}\nFixedParameters: 0 0 0\n"
    )
