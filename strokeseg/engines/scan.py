"""One scan through the network: every flip and window, stitched, turned back and averaged."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.engines.base import DeviceEngine, Engine, FlipLesion, ScanLogits
from strokeseg.engines.flips import FLIPS, flip
from strokeseg.engines.stitching import KEPT_BYTES, Stitcher
from strokeseg.engines.windows import WindowPlan
from strokeseg.machine import thread_count


def scan_logits(
    engine: Engine,
    image: FloatArray,
    plan: WindowPlan,
    flips: tuple[tuple[int, ...], ...] = FLIPS,
    on_window: Callable[[], None] | None = None,
    kept_bytes: int = KEPT_BYTES,
) -> ScanLogits:
    """Run the network over a scan and its flips.

    Each flip of the image goes through the same windows; overlapping windows are averaged with
    Gaussian weights, the result is flipped back and averaged over the flips.

    Parameters
    ----------
    engine
        The network.
    image : (I, J, K) or (images, I, J, K) float32 array
        The normalised scan on the working grid; of a second stage all its channels.
    plan
        Its windows.
    flips
        Axes to mirror, one entry a pass; ``((),)`` is a single pass.
    on_window
        Called after each window.
    kept_bytes
        See `strokeseg.engines.stitching.Stitcher`.

    Returns
    -------
    ScanLogits
        Mean logits, and the lesion in each flip; 0 where the plan has no window.

    Raises
    ------
    EngineError
        If the engine fails.
    ValueError
        If `flips` is empty.
    """
    if not flips:
        raise ValueError("flips is empty; give at least one pass, such as ((),)")
    report = on_window or _nothing
    if isinstance(engine, DeviceEngine):
        return engine.scan(image, plan, flips, report)
    mean = np.empty((engine.classes, *plan.image_shape), np.float32)
    per_flip = []
    with ThreadPoolExecutor(thread_count()) as pool:
        stitcher = Stitcher(engine, plan, report, pool, kept_bytes, image.shape[:-3])
        for index, axes in enumerate(flips):
            lesion = FlipLesion(
                np.empty(plan.image_shape, np.float32), np.empty(plan.image_shape, np.bool_)
            )
            stitcher.run(flip(image, axes))
            _reduce(stitcher, mean, lesion, axes, index, len(flips))
            per_flip.append(lesion)
    return ScanLogits(mean, per_flip)


def lesion_maps(logits: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Compare the lesion, the last class, with all the others.

    Parameters
    ----------
    logits : (C, I, J, K) float32 array
        At least two classes.

    Returns
    -------
    log_odds : (I, J, K) float32 array
        Logit of the lesion minus the log of the sum of the others' exponentials.
    is_argmax : (I, J, K) bool array
        Whether the lesion's logit is the highest.
    """
    others, lesion = logits[:-1], logits[-1]
    highest = others.max(axis=0)
    is_argmax: BoolArray = lesion > highest
    if len(others) == 1:
        return lesion - highest, is_argmax
    total = np.zeros_like(highest)
    term = np.empty_like(highest)
    for other in others:
        np.subtract(other, highest, out=term)
        np.exp(term, out=term)
        total += term
    np.log(total, out=total)
    total += highest
    return np.subtract(lesion, total, out=total), is_argmax


def _reduce(
    stitcher: Stitcher,
    mean: FloatArray,
    lesion: FlipLesion,
    axes: tuple[int, ...],
    index: int,
    count: int,
) -> None:
    """Add flip `index` of `count`, which the stitcher last ran, to `mean`, and fill in `lesion`."""
    size = mean.shape[1]

    def work(low: int, high: int) -> None:
        # The slab is turned back rather than its target: numpy writes forwards much faster.
        rows = slice(size - high, size - low) if 0 in axes else slice(low, high)
        logits = stitcher.slab(low, high)
        turned = flip(logits, axes)
        if index == 0:
            mean[:, rows] = turned
        else:
            mean[:, rows] += turned
        if index == count - 1 and count > 1:
            mean[:, rows] /= count
        odds, is_argmax = lesion_maps(logits)
        lesion.log_odds[rows] = flip(odds, axes)
        lesion.is_argmax[rows] = flip(is_argmax, axes)

    stitcher.each_slab(work)


def _nothing() -> None:
    """Report to nobody."""
