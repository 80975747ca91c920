"""Where a scan's brain is, found before windows are spent on it.

A first look of the network, one pass without flips, over all that a scan shows; then a second one
at the box that it finds, normalised as that box alone, for among face and neck a network takes
cheeks and muscles for tissue that it knows better among brain. What is found then, and a margin, is
what the passes see. The network knows brains of its own voxel size alone (at twice that size it
finds them everywhere), so the looks are at that size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from strokeseg.arrays import FloatArray, LabelArray
from strokeseg.engines.flips import FLIPS
from strokeseg.engines.scan import scan_logits
from strokeseg.measure.brain_box import brain_box, grid_of, moved, widened
from strokeseg.measure.components import Box
from strokeseg.models.config import FieldOfView
from strokeseg.models.loading import LoadedModel
from strokeseg.prediction.preparation import lay_windows, prepared_image
from strokeseg.space.grid import Grid

MARGIN_MM = 8.0
LOOK_OVERLAP = 0.25
WHITE = "WM"


@dataclass(frozen=True, eq=False)
class Sight:
    """What a network sees of a scan: `kept` of its `whole` working grid.

    `is_cut` says whether it was cut to a brain that was looked for, with `wanted`, and found.
    """

    whole: Grid
    kept: Grid
    wanted: FieldOfView
    is_cut: bool

    def as_record(self) -> dict[str, Any]:
        """Give it as plain values; the corners are of what was kept, in world mm."""
        corners = self.kept.corners_mm
        share = np.prod(self.kept.shape) / np.prod(self.whole.shape)
        return {
            "wanted": self.wanted,
            "kept": "brain" if self.is_cut else "whole",
            "kept_share": round(float(share), 4),
            "low_mm": corners.min(axis=0).round(2).tolist(),
            "high_mm": corners.max(axis=0).round(2).tolist(),
        }


def find_brain(
    image: FloatArray,
    grid: Grid,
    loaded: LoadedModel,
    window: int,
    on_window: Callable[[], None] | None = None,
) -> Box | None:
    """Look for the brain in a scan.

    Parameters
    ----------
    image : (I, J, K) float32 array
        The scan on the working grid, not normalised yet.
    grid : Grid
        That grid.
    loaded
        The network; one that knows no white matter finds nothing.
    window
        Edge of its windows.
    on_window
        Called after each window.

    Returns
    -------
    tuple of three slices, or None
        The brain's box and a margin, a smaller one where that saves windows; None where no brain
        was found.
    """
    names = loaded.model.config.class_names
    if WHITE not in names:
        return None
    white = names.index(WHITE)
    first = brain_box(_look(image, loaded, window, on_window), grid, white)
    if first is None:
        return None
    outer = widened(first, MARGIN_MM, grid, window)
    labels = _look(image[outer], loaded, window, on_window)
    second = brain_box(labels, grid_of(outer, grid), white)
    return None if second is None else widened(moved(second, outer), MARGIN_MM, grid, window)


def _look(
    image: FloatArray,
    loaded: LoadedModel,
    window: int,
    on_window: Callable[[], None] | None,
) -> LabelArray:
    """Let the network say the class of every voxel, in one pass."""
    config = loaded.model.config
    seen = prepared_image(image, config)
    plan = lay_windows(seen, config, window, LOOK_OVERLAP)
    logits = scan_logits(loaded.engine, seen, plan, FLIPS[:1], on_window).mean
    labels: LabelArray = logits.argmax(axis=0).astype(np.uint8)
    return labels
