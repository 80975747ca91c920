"""Several scans, one answer: logits meet on the reference's grid, and become classes there.

Logits are averaged before the softmax, each scan counting only where its field of view reaches
(Chalcroft et al., arXiv 2404.01946); with another fusion (`strokeseg.models.fusion`) that holds for
the tissues, and the lesion's log-odds are fused by its rule. The work goes slab by slab along the
first axis, so that a large native grid never holds the logits of all its classes at once.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray, LabelArray, Shape3
from strokeseg.engines.base import ScanLogits
from strokeseg.engines.scan import lesion_maps
from strokeseg.machine import in_threads
from strokeseg.models.fusion import FURTHEST, Fusion, Voices
from strokeseg.prediction.second_look import SecondLook, with_second
from strokeseg.space.grid import Grid
from strokeseg.space.resample import coverage, resample_logits

SLAB_BYTES = 8 << 20
PLAIN = Fusion()


@dataclass(frozen=True, eq=False)
class Member:
    """One scan's logits on its working grid, and where the scan itself reaches.

    `modality` is what fusion knows it by. A scan that was cut to its brain has logits there alone:
    with `is_cut` it is silent beyond, and what no scan sees is background. A member of a model with
    other classes than the result's `tells_classes` not, and speaks for the lesion alone. `model` is
    its number. `second` is what its second stage says, where that looked.
    """

    logits: ScanLogits
    working: Grid
    native: Grid
    modality: str = ""
    is_cut: bool = False
    tells_classes: bool = True
    model: int = 0
    second: SecondLook | None = None

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
        At least one that tells the classes; the lesion is the last.
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

    classes = len(next(m for m in members if m.tells_classes).logits.mean)
    each_slab(shape, classes, work, slab_bytes)
    return result


def classify(logits: FloatArray) -> Posterior:
    """Classify every voxel of logits (C, I, J, K), as `posterior` does once they are fused."""
    shape = logits.shape[1:]
    result = Posterior(
        np.empty(shape, np.float32), np.empty(shape, np.bool_), np.empty(shape, np.uint8), None
    )
    _classify(logits, slice(None), result)
    return result


def fused_logits(
    members: Sequence[Member], target: Grid, slab: slice, fusion: Fusion = PLAIN
) -> FloatArray:
    """Fuse the members' logits on some planes of `target`.

    The mean, each where its scan reaches, by its weight; where none reaches, all count alike. The
    lesion's is then set so that its log-odds are those of the fusion; so it is where members of
    other classes have a say in the lesion alone: their mean log-odds, if no other rule holds.
    Returns (C, planes, J, K), not to be written to.
    """
    if len(members) == 1 and (not members[0].is_cut or fusion.weight(members[0].modality) == 1):
        return _of_one(members[0], target, slab)
    shape = (slab.stop - slab.start, *target.shape[1:])
    classes, lesion = WeightedMean(shape), WeightedMean(shape)
    seen = np.zeros(shape, np.bool_)
    voices = Voices(fusion, len({member.modality for member in members}))
    is_mixed = not all(member.tells_classes for member in members)
    for member in members:
        logits = _logits_of(member, target, slab)
        reach = coverage(member.seen, target, slab)
        seen |= reach
        weight = reach * np.float32(fusion.weight(member.modality))
        if member.tells_classes:
            classes.add(logits, weight)
        if voices.are_heard:
            voices.add(member.modality, lesion_maps(logits)[0], reach)
        elif is_mixed:
            lesion.add(np.clip(lesion_maps(logits)[0], -FURTHEST, FURTHEST), weight)
    total = classes.mean()
    if voices.are_heard or is_mixed:
        odds = voices.fused() if voices.are_heard else lesion.mean()
        # The lesion's log-odds stand, whatever the tissues share among themselves.
        total[-1] += odds - lesion_maps(total)[0]
    if all(member.is_cut for member in members):
        _silence(total, ~seen)
    return np.asarray(total, np.float32)


def _logits_of(member: Member, target: Grid, slab: slice) -> FloatArray:
    """Bring a member's logits to some planes of `target`, with what its second stage says."""
    logits = resample_logits(member.logits.mean, member.working, target, slab)
    return logits if member.second is None else with_second(logits, member.second, target, slab)


def _of_one(member: Member, target: Grid, slab: slice) -> FloatArray:
    """Give the logits of a member by itself, whose mean they are."""
    reach = coverage(member.seen, target, slab) if member.is_cut else None
    if reach is not None and not reach.any():
        logits = np.empty((len(member.logits.mean), *reach.shape), np.float32)
    else:
        logits = _logits_of(member, target, slab)
    if reach is None or reach.all():
        return logits
    own = logits.copy() if np.may_share_memory(logits, member.logits.mean) else logits
    _silence(own, ~reach)
    return own


def _silence(logits: FloatArray, where: BoolArray) -> None:
    """Say that there is background."""
    for channel, values in enumerate(logits):
        np.copyto(values, np.float32(FURTHEST if channel == 0 else -FURTHEST), where=where)


def shares_of(
    members: Sequence[Member], fusion: Fusion, names: Sequence[str]
) -> tuple[dict[str, Any], ...]:
    """Give each member's share in the lesion, where all scans reach, as plain values.

    Parameters
    ----------
    members
        One for each model and scan.
    fusion
        How they are fused. With a rule other than the mean of logits it is the share of a say:
        models that see one scan are averaged first, and scans are then fused by their weights.
    names
        The models' names, by number.
    """
    weights = [fusion.weight(member.modality) for member in members]
    if not any(weights):
        weights = [1.0] * len(members)
    if fusion.rule != "mean_logits" and len({member.modality for member in members}) > 1:
        alike = Counter(member.modality for member in members)
        weights = [w / alike[m.modality] for w, m in zip(weights, members, strict=True)]
    return tuple(
        {
            "model": names[member.model],
            "modality": member.modality,
            "share": round(weight / sum(weights), 6),
            "tells": "classes" if member.tells_classes else "lesion",
        }
        for member, weight in zip(members, weights, strict=True)
    )


class WeightedMean:
    """The mean of arrays, each where it reaches, by its weight; where none does, all count alike.

    Parameters
    ----------
    shape
        Of the weights; arrays may have classes before it.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._total = self._plain = np.zeros((), np.float32)
        self._weight = np.zeros(shape, np.float32)
        self._count = 0

    def add(self, values: FloatArray, weight: FloatArray) -> None:
        """Add an array, with a weight for every voxel."""
        self._total = self._total + values * weight
        self._plain = self._plain + values
        self._weight += weight
        self._count += 1

    def mean(self) -> FloatArray:
        """Give the mean, as an array of the caller's own."""
        nowhere = self._weight == 0
        weight = np.where(nowhere, np.float32(1), self._weight)
        plain = self._plain / np.float32(self._count)
        return np.where(nowhere, plain, self._total / weight)


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


def each_slab(
    shape: Shape3, channels: int, work: Callable[[slice], None], slab_bytes: int = SLAB_BYTES
) -> None:
    """Call `work` for slabs along I; their bounds do not depend on the number of threads."""
    thickness = slab_planes(shape, channels, slab_bytes)
    slabs = [slice(low, min(low + thickness, shape[0])) for low in range(0, shape[0], thickness)]
    in_threads(work, slabs)
