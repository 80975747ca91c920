"""The logits of overlapping windows become those of one image: their Gaussian-weighted mean."""

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from strokeseg.arrays import FloatArray
from strokeseg.engines.base import Engine
from strokeseg.engines.windows import Overlap, WindowPlan

# A slab of logits that stays in a core's cache while it is worked on.
SLAB_BYTES = 2 << 20
# Up to this much, the logits of all windows are kept and stitched slab by slab; beyond it they are
# summed up window by window, which takes less memory and more time.
KEPT_BYTES = 800 << 20


def keeps_windows(plan: WindowPlan, classes: int, kept_bytes: int) -> bool:
    """Whether the logits of all windows are kept until the last of them is there."""
    count = len(plan.starts)
    return count == 1 or count * 4 * classes * math.prod(plan.window) <= kept_bytes


class Stitcher:
    """Runs the windows of an image and stitches their logits; serves one image after the other.

    Parameters
    ----------
    engine
        The network.
    plan
        The windows of the images.
    on_window
        Called after each window.
    pool
        Threads for the work around the network. The result does not depend on their number.
    kept_bytes
        Up to this much, the logits of all windows are kept; nor does the result depend on that.
    images
        Of a network that takes several images at a time, how many, as a tuple of one.
    """

    def __init__(
        self,
        engine: Engine,
        plan: WindowPlan,
        on_window: Callable[[], None],
        pool: ThreadPoolExecutor,
        kept_bytes: int = KEPT_BYTES,
        images: tuple[int, ...] = (),
    ) -> None:
        self._engine = engine
        self._plan = plan
        self._on_window = on_window
        self._pool = pool
        self._padded = np.full((*images, *plan.padded_shape), plan.padding, np.float32)
        count = len(plan.starts)
        self._keeps_all = keeps_windows(plan, engine.classes, kept_bytes)
        self._logits = [
            np.empty((engine.classes, *plan.window), np.float32)
            for _ in range(count if self._keeps_all else 1)
        ]
        self._sums = np.zeros(
            (engine.classes, *plan.image_shape) if not self._keeps_all else (0,), np.float32
        )
        if count > 1:
            self._weights = plan.weights
            self._scale = np.zeros(plan.image_shape, np.float32)
            for part in plan.overlaps:
                self._scale[part.image] += self._weights[part.window]
            np.reciprocal(self._scale, out=self._scale, where=self._scale > 0)

    def run(self, image: FloatArray) -> None:
        """Compute the logits of every window.

        Parameters
        ----------
        image : (I, J, K) or (images, I, J, K) float32 array
            The normalised image, of the plan's shape.

        Raises
        ------
        EngineError
            If the engine fails.
        """
        i, j, k = (
            slice(before, before + size)
            for before, size in zip(self._plan.pad_before, self._plan.image_shape, strict=True)
        )
        self._padded[..., i, j, k] = image
        self._sums.fill(0)
        for index, (start, part) in enumerate(
            zip(self._plan.starts, self._plan.overlaps, strict=True)
        ):
            i, j, k = (slice(s, s + e) for s, e in zip(start, self._plan.window, strict=True))
            patch = np.ascontiguousarray(self._padded[..., i, j, k])
            kept = self._logits[index if self._keeps_all else 0]
            self._engine.logits(patch, kept)
            if not self._keeps_all:
                self.each_slab(
                    lambda low, high, kept=kept, part=part: self._add(  # type: ignore[misc]
                        self._sums[:, low:high], kept, part, (low, high)
                    )
                )
            self._on_window()

    def each_slab(self, work: Callable[[int, int], None]) -> None:
        """Call `work(low, high)` for slabs along I that together make up the image."""
        plane = 4 * self._engine.classes * int(np.prod(self._plan.image_shape[1:]))
        thickness = max(1, SLAB_BYTES // plane)
        size = self._plan.image_shape[0]
        lows = range(0, size, thickness)
        highs = (min(low + thickness, size) for low in lows)
        _drain(self._pool.map(work, lows, highs))

    def slab(self, low: int, high: int) -> FloatArray:
        """Stitch part of the image last run.

        Parameters
        ----------
        low, high
            First slice along I, and the one after the last.

        Returns
        -------
        (C, high - low, J, K) float32 array
            Logits; to be read before the next `run`, and not to be written to.
        """
        if len(self._plan.starts) == 1:
            i, j, k = self._plan.overlaps[0].window
            return self._logits[0][:, i.start + low : i.start + high, j, k]
        if not self._keeps_all:
            stitched: FloatArray = self._sums[:, low:high] * self._scale[low:high]
            return stitched
        total = np.zeros(
            (self._engine.classes, high - low, *self._plan.image_shape[1:]), np.float32
        )
        for kept, part in zip(self._logits, self._plan.overlaps, strict=True):
            self._add(total, kept, part, (low, high))
        total *= self._scale[low:high]
        return total

    def _add(
        self, total: FloatArray, logits: FloatArray, part: Overlap, bounds: tuple[int, int]
    ) -> None:
        """Add one window's weighted logits to the slab `total` with the given bounds."""
        rows = part.image[0]
        low, high = max(rows.start, bounds[0]), min(rows.stop, bounds[1])
        if low >= high:
            return
        shift = part.window[0].start - rows.start
        i, j, k = slice(low + shift, high + shift), part.window[1], part.window[2]
        target = total[:, low - bounds[0] : high - bounds[0], part.image[1], part.image[2]]
        target += logits[:, i, j, k] * self._weights[i, j, k]


def _drain(results: Iterable[None]) -> None:
    """Wait for every result, so that a failure in a thread is raised here."""
    for _ in results:
        pass
