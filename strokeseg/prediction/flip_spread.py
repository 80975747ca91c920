"""How far the flips of a case disagree: what each of them alone would give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray, LabelArray
from strokeseg.models.fusion import FURTHEST, Fusion, Voices
from strokeseg.prediction.ensemble import PLAIN, Member, each_slab
from strokeseg.space.grid import Grid
from strokeseg.space.resample import coverage, resample_image, resample_labels


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
    flips = max(len(member.logits.per_flip) for member in members)
    sums = [np.zeros(working.shape, np.float32) for _ in range(2 if with_std else 0)]
    by_class = threshold is None and len(members) == 1
    levels = []
    for index in range(flips):
        probability = _flip_log_odds(members, working, index, fusion)
        level = np.empty(working.shape, np.uint8)
        most = _most_probable(members[0], working, index) if by_class else None

        def work(
            slab: slice,
            p: FloatArray = probability,
            level: LabelArray = level,
            most: BoolArray | None = most,
        ) -> None:
            part = p[slab]
            np.negative(part, out=part)
            np.exp(part, out=part)
            part += 1
            np.reciprocal(part, out=part)
            for power, total in enumerate(sums):
                total[slab] += part * part if power else part
            if most is not None:
                found = most[slab]
            else:
                found = part >= np.float32(0.5 if threshold is None else threshold)
            np.add(found, found & (part >= np.float32(min_peak)), out=level[slab], dtype=np.uint8)

        each_slab(working.shape, 4, work)
        levels.append(level)
    return FlipSpread(_deviation(sums[0], sums[1], flips) if with_std else None, levels)


def _most_probable(member: Member, working: Grid, index: int) -> BoolArray:
    """Tell where a flip's most probable class is the lesion, on `working`; nowhere beyond a cut."""
    found = member.logits.per_flip[index].is_argmax.view(np.uint8)
    return resample_labels(found, member.working, working).view(np.bool_)


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
        # A member without flips says the same beside every flip of another one.
        flip = member.logits.per_flip[index % len(member.logits.per_flip)]
        odds = flip.log_odds.astype(np.float32)
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
