"""Several scans of one lesion: how their log-odds become one, so that a blind one has no veto.

A sequence that does not show a lesion says nothing against it. The mean of log-odds lets it; the
other rules do not, and all of them leave a scan that is alone as it is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.errors import UsageError

FusionRule = Literal["mean_logits", "noisy_or", "best_two", "pooled"]
RULES: tuple[FusionRule, ...] = ("mean_logits", "noisy_or", "best_two", "pooled")

OTHER = "other"
# Beyond this a probability is 0 or 1 in float32.
FURTHEST = 80.0


@dataclass(frozen=True)
class Fusion:
    """How the scans of a case become one answer.

    Parameters
    ----------
    rule
        ``mean_logits``: the mean of the logits, before the softmax (Chalcroft et al.).
        ``noisy_or``: 1 - prod(1 - p), each scan a witness of its own.
        ``best_two``: the mean of the two highest probabilities.
        ``pooled``: between mean and maximum, (1 / s) log mean exp(s l) of the log-odds l, with the
        sharpness s; 0 is the mean.
    weights
        How much a sequence counts beside the others, by modality; 1 where it is not named, 0 for
        one that is not heard while another one is.
    temperatures
        What a sequence's log-odds are divided by where there are others; 1 where not named.
    floors
        The least probability of lesion that a sequence may say where there are others: it cannot
        speak against one more than that. 0 where not named.
    sharpness
        Of ``pooled``.

    `OTHER` in place of a modality stands for every one that is not named.

    Raises
    ------
    UsageError
        If the rule is unknown or a number is out of range.
    """

    rule: FusionRule = "mean_logits"
    weights: Mapping[str, float] = field(default_factory=dict)
    temperatures: Mapping[str, float] = field(default_factory=dict)
    floors: Mapping[str, float] = field(default_factory=dict)
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        """Check every value."""
        if self.rule not in RULES:
            raise UsageError(f"--fusion is {self.rule!r}: give one of {', '.join(RULES)}")
        for name, weight in self.weights.items():
            if not 0 <= weight <= 1000:
                raise UsageError(f"--weight {name}={weight:g}: give 0 to 1000, such as 1")
        if not all(0 < value <= 100 for value in self.temperatures.values()):
            raise UsageError("a temperature of the fusion must be above 0, up to 100")
        if not all(0 <= value < 1 for value in self.floors.values()):
            raise UsageError("a floor of the fusion must be 0 to below 1")
        if not 0 <= self.sharpness <= 100:
            raise UsageError("the sharpness of the fusion must be 0 to 100")

    def weight(self, modality: str) -> float:
        """Give the weight of a modality."""
        return _named(self.weights, modality, 1.0)

    def temperature(self, modality: str) -> float:
        """Give what a modality's log-odds are divided by."""
        return _named(self.temperatures, modality, 1.0)

    def floor(self, modality: str) -> float:
        """Give the least probability of lesion that a modality may say."""
        return _named(self.floors, modality, 0.0)

    def as_record(self) -> dict[str, Any]:
        """Give it as plain values."""
        return asdict(self)


def _named(values: Mapping[str, float], modality: str, usual: float) -> float:
    return values.get(modality, values.get(OTHER, usual))


def said(odds: FloatArray, modality: str, fusion: Fusion) -> FloatArray:
    """Give what a scan's log-odds count for beside others, by temperature and floor."""
    heard = np.clip(odds, -FURTHEST, FURTHEST) / np.float32(fusion.temperature(modality))
    floor = fusion.floor(modality)
    if floor > 0:
        np.maximum(heard, np.float32(math.log(floor / (1 - floor))), out=heard)
    return np.asarray(heard, np.float32)


def fuse(odds: Sequence[FloatArray], counts: Sequence[FloatArray], fusion: Fusion) -> FloatArray:
    """Fuse the log-odds of several scans, voxel by voxel.

    Parameters
    ----------
    odds : float32 arrays of one shape
        Of the lesion, one per scan, as `said` gives them.
    counts : float32 arrays of that shape
        The weight of each scan where its field of view reaches, 0 elsewhere. Where all are 0, all
        count alike.
    fusion
        The rule.

    Returns
    -------
    float32 array
        Log-odds, within `FURTHEST`.
    """
    stacked, shares = np.stack(odds), np.stack(counts)
    shares = np.where(shares.max(axis=0) > 0, shares, np.float32(1))
    if fusion.rule == "mean_logits" or (fusion.rule == "pooled" and fusion.sharpness == 0):
        return np.asarray((stacked * shares).sum(axis=0) / shares.sum(axis=0), np.float32)
    if fusion.rule == "pooled":
        return _pooled(stacked, shares, fusion.sharpness)
    # Only how weights compare matters: the heaviest scan that reaches a voxel counts in full.
    shares = shares / shares.max(axis=0)
    if fusion.rule == "noisy_or":
        # log(1 - p) is -log(1 + exp(l)), and adds up.
        nobody = -(shares * np.logaddexp(np.float32(0), stacked)).sum(axis=0)
        return _log_odds(-np.expm1(nobody), np.exp(nobody), nobody)
    probability = shares / (1 + np.exp(-stacked))
    top = np.sort(probability, axis=0)[-2:]
    reaching = np.minimum((shares > 0).sum(axis=0), len(top))
    chosen = top.sum(axis=0) / reaching
    return _log_odds(chosen, 1 - chosen, np.log(np.maximum(1 - chosen, 1e-30)))


def silence(modalities: Sequence[str], fusion: Fusion) -> float:
    """Give the probability of lesion where all of these scans say the least they may."""
    if len(modalities) < 2 or fusion.rule == "mean_logits":
        return 0.0
    least = np.full(1, -FURTHEST, np.float32)
    odds = [said(least, name, fusion) for name in modalities]
    counts = [np.full(1, fusion.weight(name), np.float32) for name in modalities]
    return float(1 / (1 + np.exp(-np.float64(fuse(odds, counts, fusion)[0]))))


def _pooled(odds: FloatArray, shares: FloatArray, sharpness: float) -> FloatArray:
    scaled = odds * np.float32(sharpness)
    highest = scaled.max(axis=0)
    mean = (shares * np.exp(scaled - highest)).sum(axis=0) / shares.sum(axis=0)
    fused = (np.log(np.maximum(mean, 1e-30)) + highest) / np.float32(sharpness)
    return np.asarray(np.clip(fused, -FURTHEST, FURTHEST), np.float32)


def _log_odds(lesion: FloatArray, other: FloatArray, log_other: FloatArray) -> FloatArray:
    """Log-odds from both probabilities; `log_other` is exact where `other` is nearly 0."""
    fused = np.log(np.maximum(lesion, 1e-30)) - np.where(other > 1e-30, log_other, -FURTHEST)
    return np.asarray(np.clip(fused, -FURTHEST, FURTHEST), np.float32)


class Voices:
    """The lesion's log-odds by modality, the mean over the models of one; fused in the end."""

    def __init__(self, fusion: Fusion, modalities: int) -> None:
        self.are_heard = modalities > 1 and fusion.rule != "mean_logits"
        self._fusion = fusion
        self._odds: dict[str, FloatArray] = {}
        self._reach: dict[str, FloatArray] = {}

    def add(self, modality: str, odds: FloatArray, reach: BoolArray) -> None:
        """Hear one member."""
        if modality in self._odds:
            self._odds[modality] += odds * reach
            self._reach[modality] += reach
        else:
            self._odds[modality] = np.where(reach, odds, np.float32(0))
            self._reach[modality] = reach.astype(np.float32)

    def fused(self) -> FloatArray:
        """Give the log-odds of all."""
        names, fusion = tuple(self._odds), self._fusion
        odds = [
            said(
                np.asarray(self._odds[name] / np.maximum(self._reach[name], 1), np.float32),
                name,
                fusion,
            )
            for name in names
        ]
        counts = [
            np.float32(fusion.weight(name)) * np.minimum(self._reach[name], 1) for name in names
        ]
        # One that is not heard speaks where it is alone.
        spoken = np.maximum.reduce(counts) > 0
        counts = [
            np.where(spoken, count, np.minimum(self._reach[name], 1))
            for count, name in zip(counts, names, strict=True)
        ]
        return fuse(odds, counts, fusion)
