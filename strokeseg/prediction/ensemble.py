"""Several scans, one answer: logits meet on the reference's grid, and become classes there.

Logits are averaged before the softmax, each scan counting only where its field of view reaches
(Chalcroft et al., arXiv 2404.01946); with another fusion (`strokeseg.models.fusion`) that holds for
the tissues, and the lesion's log-odds are fused by its rule. The work goes slab by slab along the
first axis, so that a large native grid never holds the logits of all its classes at once.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray, LabelArray, Shape3
from strokeseg.engines.base import ScanLogits
from strokeseg.engines.scan import lesion_maps
from strokeseg.machine import thread_count
from strokeseg.models.fusion import FURTHEST, Fusion, Voices
from strokeseg.space.grid import Grid
from strokeseg.space.resample import coverage, resample_image, resample_logits

SLAB_BYTES = 8 << 20
PLAIN = Fusion()


@dataclass(frozen=True, eq=False)
class Member:
    """One scan's logits on its working grid, and where the scan itself reaches.

    `modality` is what fusion knows it by. A scan that was cut to its brain has logits there alone:
    with `is_cut` it is silent beyond, and what no scan sees is background.
    """

    logits: ScanLogits
    working: Grid
    native: Grid
    modality: str = ""
    is_cut: bool = False

    @property
    def seen(self) -> Grid:
        """Where its logits count."""
        return self.working if self.is_cut else self.native


@dataclass(frozen=True, eq=False)
class Posterior:
    """What the ensemble says of each voxel of the reference's grid.

    Parameters
    ----------
    probability : (I, J, K) float32 array
        Of the lesion class.
    is_argmax : (I, J, K) bool array or None
        Whether the lesion is the most probable class, where that was asked for.
    tissue : (I, J, K) uint8 array
        The most probable of the other classes.
    entropy : (I, J, K) float32 array or None
        Of the posterior over all classes, in nat.
    """

    probability: FloatArray
    is_argmax: BoolArray | None
    tissue: LabelArray
    entropy: FloatArray | None


@dataclass(frozen=True, eq=False)
class FlipSpread:
    """How far the flips disagree, on the reference's working grid.

    Parameters
    ----------
    std : (I, J, K) float32 array or None
        Standard deviation of the lesion probability over the flips, where it was asked for.
    levels : list of (I, J, K) uint8 arrays
        What each flip alone would give: 0 no lesion, 1 lesion, 2 where it reaches the least peak.
    """

    std: FloatArray | None
    levels: list[LabelArray]


def posterior(
    members: Sequence[Member],
    target: Grid,
    *,
    with_entropy: bool,
    with_argmax: bool = True,
    slab_bytes: int = SLAB_BYTES,
    fusion: Fusion = PLAIN,
) -> Posterior:
    """Fuse the members' logits and classify every voxel of `target`.

    Parameters
    ----------
    members
        At least one, all with the same classes; the lesion is the last.
    target
        The reference's native grid.
    with_entropy
        Whether the entropy is wanted too.
    with_argmax
        Whether it is wanted where the lesion is the most probable class.
    slab_bytes
        About how many logits to have at once in each thread. The result does not depend on it.
    fusion
        How the lesion's log-odds are fused, and how much each modality counts.
    """
    shape = target.shape
    result = Posterior(
        np.empty(shape, np.float32),
        np.empty(shape, np.bool_) if with_argmax else None,
        np.empty(shape, np.uint8),
        np.empty(shape, np.float32) if with_entropy else None,
    )

    def work(slab: slice) -> None:
        _classify(fused_logits(members, target, slab, fusion), slab, result)

    classes = len(members[0].logits.mean)
    _each_slab(shape, classes, work, slab_bytes)
    return result


def fused_logits(
    members: Sequence[Member], target: Grid, slab: slice, fusion: Fusion = PLAIN
) -> FloatArray:
    """Fuse the members' logits on some planes of `target`.

    The mean, each where its scan reaches, by its weight; where none reaches, all count alike. The
    lesion's is then set so that its log-odds are those of the fusion. Returns (C, planes, J, K),
    not to be written to.
    """
    if len(members) == 1 and not members[0].is_cut:
        member = members[0]
        return resample_logits(member.logits.mean, member.working, target, slab)
    shape = (slab.stop - slab.start, *target.shape[1:])
    total = plain = np.zeros((), np.float32)
    count, seen = np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
    voices = Voices(fusion, len({member.modality for member in members}))
    for member in members:
        logits = resample_logits(member.logits.mean, member.working, target, slab)
        reach = coverage(member.seen, target, slab)
        weight = reach * np.float32(fusion.weight(member.modality))
        total = total + logits * weight
        plain = plain + logits
        count += weight
        seen |= reach
        if voices.are_heard:
            voices.add(member.modality, lesion_maps(logits)[0], reach)
    nowhere = count == 0
    count[nowhere] = 1
    total = np.where(nowhere, plain / np.float32(len(members)), total / count)
    if voices.are_heard:
        # The lesion's log-odds stand, whatever the tissues share among themselves.
        total[-1] += voices.fused() - lesion_maps(total)[0]
    if all(member.is_cut for member in members):
        total[:, ~seen] = -FURTHEST
        total[0, ~seen] = FURTHEST
    return np.asarray(total, np.float32)


def flip_spread(
    members: Sequence[Member],
    working: Grid,
    threshold: float | None,
    min_peak: float = 0.0,
    *,
    with_std: bool = True,
    fusion: Fusion = PLAIN,
) -> FlipSpread:
    """Compare the flips, on the reference's working grid.

    The lesion's log-odds are fused over the members; a flip's own lesion is where the
    probability reaches `threshold`, or where the lesion is the most probable class if that is
    None (0.5 where several members are averaged). From `min_peak` on a voxel is a peak. The
    deviation is left out without `with_std`.
    """
    flips = len(members[0].logits.per_flip)
    sums = [np.zeros(working.shape, np.float32) for _ in range(2 if with_std else 0)]
    levels = []
    for index in range(flips):
        probability = _flip_log_odds(members, working, index, fusion)
        level = np.empty(working.shape, np.uint8)

        def work(
            slab: slice, p: FloatArray = probability, level: LabelArray = level, index: int = index
        ) -> None:
            part = p[slab]
            np.negative(part, out=part)
            np.exp(part, out=part)
            part += 1
            np.reciprocal(part, out=part)
            for power, total in enumerate(sums):
                total[slab] += part * part if power else part
            if threshold is None and len(members) == 1:
                found = members[0].logits.per_flip[index].is_argmax[slab]
            else:
                found = part >= np.float32(0.5 if threshold is None else threshold)
            np.add(found, found & (part >= np.float32(min_peak)), out=level[slab], dtype=np.uint8)

        _each_slab(working.shape, 4, work)
        levels.append(level)
    return FlipSpread(_deviation(sums[0], sums[1], flips) if with_std else None, levels)


def _deviation(total: FloatArray, squares: FloatArray, count: int) -> FloatArray:
    """Turn sums and sums of squares into the standard deviation; both are written over."""
    total /= count
    squares /= count
    np.square(total, out=total)
    squares -= total
    np.maximum(squares, 0, out=squares)
    return np.sqrt(squares, out=squares)


def _flip_log_odds(
    members: Sequence[Member], working: Grid, index: int, fusion: Fusion
) -> FloatArray:
    """Fuse one flip's log-odds over the members, on `working`; held within +-80."""
    every = slice(0, working.shape[0])
    if len(members) == 1:
        odds = members[0].logits.per_flip[index].log_odds.astype(np.float32)
        only = resample_image(odds, members[0].working, working)
        if members[0].is_cut:
            only = np.where(coverage(members[0].seen, working, every), only, -FURTHEST)
        return np.clip(only, -FURTHEST, FURTHEST, out=only)
    total, count = np.zeros(working.shape, np.float32), np.zeros(working.shape, np.float32)
    seen = np.zeros(working.shape, np.bool_)
    voices = Voices(fusion, len({member.modality for member in members}))
    for member in members:
        odds = member.logits.per_flip[index].log_odds.astype(np.float32)
        odds = resample_image(odds, member.working, working)
        reach = coverage(member.seen, working, every)
        seen |= reach
        if voices.are_heard:
            voices.add(member.modality, odds, reach)
            continue
        weight = reach * np.float32(fusion.weight(member.modality))
        total += odds * weight
        count += weight
    if voices.are_heard:
        total = voices.fused()
    else:
        count[count == 0] = 1
        total /= count
    if all(member.is_cut for member in members):
        total[~seen] = -FURTHEST
    return np.clip(total, -FURTHEST, FURTHEST, out=total)


def _classify(logits: FloatArray, slab: slice, result: Posterior) -> None:
    """Fill one slab of the result from its logits (C, planes, J, K)."""
    others, lesion = logits[:-1], logits[-1]
    best = others[0].copy()
    tissue = result.tissue[slab]
    tissue[...] = 0
    for index in range(1, len(others)):
        higher = others[index] > best
        tissue[higher] = index
        np.maximum(best, others[index], out=best)
    if result.is_argmax is not None:
        np.greater(lesion, best, out=result.is_argmax[slab])
    highest = np.maximum(best, lesion)
    total = np.zeros_like(highest)
    weighted = np.zeros_like(highest) if result.entropy is not None else None
    term = np.empty_like(highest)
    for channel in logits:
        np.subtract(channel, highest, out=term)
        if weighted is not None:
            shifted = np.maximum(term, -80)
            np.exp(term, out=term)
            weighted += shifted * term
        else:
            np.exp(term, out=term)
        total += term
    np.divide(term, total, out=result.probability[slab])
    if result.entropy is not None and weighted is not None:
        np.subtract(np.log(total), weighted / total, out=result.entropy[slab])


def slab_planes(shape: Shape3, channels: int, slab_bytes: int = SLAB_BYTES) -> int:
    """How many planes along I a slab has."""
    return min(shape[0], max(1, slab_bytes // (4 * channels * shape[1] * shape[2])))


def _each_slab(
    shape: Shape3, channels: int, work: Callable[[slice], None], slab_bytes: int = SLAB_BYTES
) -> None:
    """Call `work` for slabs along I; their bounds do not depend on the number of threads."""
    thickness = slab_planes(shape, channels, slab_bytes)
    slabs = [slice(low, min(low + thickness, shape[0])) for low in range(0, shape[0], thickness)]
    with ThreadPoolExecutor(thread_count()) as pool:
        for _ in pool.map(work, slabs):
            pass
