"""The brain in a scan, by a model that finds brains; on the scan's own grid."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from strokeseg.arrays import BoolArray
from strokeseg.engines.flips import FLIPS
from strokeseg.engines.scan import lesion_maps, scan_logits
from strokeseg.images.reading import Volume
from strokeseg.measure.brain import brain_volume_ml
from strokeseg.measure.brain_box import widened
from strokeseg.measure.components import Box, bounding_box
from strokeseg.measure.one_brain import one_brain
from strokeseg.models.loading import LoadedModel
from strokeseg.prediction.field_of_view import MARGIN_MM
from strokeseg.prediction.preparation import lay_windows, prepared_image
from strokeseg.space.grid import Grid, working_grid
from strokeseg.space.resample import coverage, resample_image, resample_labels

LEAST_BRAIN_ML = 200.0


@dataclass(frozen=True, eq=False)
class FoundBrain:
    """A brain on the grid of the scan in which it was found."""

    mask: BoolArray
    grid: Grid

    @property
    def volume_ml(self) -> float:
        """Its volume."""
        return brain_volume_ml(self.mask, self.grid)

    def box_on(self, grid: Grid) -> Box | None:
        """Give the box around it, and a margin, on another grid; None where hardly any of it is."""
        reach = coverage(self.grid, grid, slice(0, grid.shape[0]))
        there = resample_labels(self.mask.view(np.uint8), self.grid, grid).view(np.bool_) & reach
        box = bounding_box(there)
        if box is None or brain_volume_ml(there, grid) < LEAST_BRAIN_ML:
            return None
        return widened(box, MARGIN_MM, grid)


def extract_brain(
    volume: Volume,
    loaded: LoadedModel,
    *,
    tta: bool | None = None,
    on_window: Callable[[], None] | None = None,
) -> FoundBrain:
    """Find the brain in a scan.

    Parameters
    ----------
    volume
        The scan, of any contrast; a CT is not cut to the brain window first.
    loaded
        A model that finds brains.
    tta
        Whether to average over the flips; as the model's config says if None.
    on_window
        Called after each window.

    Returns
    -------
    FoundBrain
        One piece without holes, empty where none was found.

    Raises
    ------
    EngineError
        The engine fails.
    """
    config = loaded.model.config
    working = working_grid(volume.grid, config.voxel_size_mm)
    image = resample_image(volume.data, volume.grid, working)
    seen = prepared_image(image, config)
    del image
    plan = lay_windows(seen, config, config.window, 0.5)
    averaged = config.flips if tta is None else tta
    flips = FLIPS if averaged else FLIPS[:1]
    logits = scan_logits(loaded.engine, seen, plan, flips, on_window, kept_bytes=0).mean
    # A head that is seen whole takes gigabytes, which nothing needs from here on.
    loaded.engine.release()
    odds = lesion_maps(logits)[0]
    del logits
    native = resample_image(odds, working, volume.grid)
    return FoundBrain(one_brain(native > 0), volume.grid)
