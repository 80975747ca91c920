"""How an image was found to lie to another."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from strokeseg.arrays import AffineArray


@dataclass(frozen=True, eq=False)
class Fit:
    """How an image lies to another.

    Parameters
    ----------
    to_moving : (4, 4) array
        The fixed image's mm to the moving image's mm.
    metric_before, metric_after : float
        Mattes mutual information as the headers have them, and where they were brought; less is
        better.
    """

    to_moving: AffineArray
    metric_before: float
    metric_after: float

    @property
    def is_better(self) -> bool:
        """Whether they lie better on each other than before."""
        return self.metric_after < self.metric_before

    @property
    def gain(self) -> float:
        """How much of the metric was gained, as a share of what it is now."""
        gained = self.metric_before - self.metric_after
        return gained / abs(self.metric_after) if self.metric_after else 0.0

    def as_record(self, of_what: str = "") -> dict[str, Any]:
        """Give it as plain values; the matrix brings the moving image's mm to the fixed one's."""
        matrix = np.linalg.inv(self.to_moving)
        return {
            "matrix": [[round(float(value), 6) for value in row] for row in matrix],
            "metric": f"Mattes mutual information{of_what}, less is better",
            "metric_before": round(self.metric_before, 4),
            "metric_after": round(self.metric_after, 4),
        }
