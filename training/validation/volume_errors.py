"""How far volumes are off on validation cases, and the interval that holds them 9 times in 10."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from strokeseg.arrays import AnyArray
from strokeseg.errors import DataError
from strokeseg.models.volume_interval import (
    COVERAGE,
    PREDICTORS,
    Figures,
    VolumeInterval,
    logarithm,
)

FLOORS = (0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class VolumeCase:
    """A case's true volume, and what the prediction says of its own."""

    name: str
    group: str
    true_ml: float
    figures: Figures

    @property
    def error(self) -> float:
        """The true volume's distance from the one that was found, on the logarithm."""
        return logarithm(self.true_ml) - logarithm(self.figures.volume_ml)


@dataclass(frozen=True)
class Trial:
    """An interval, and how it does on each case when it is made from the others.

    Parameters
    ----------
    interval
        From all cases.
    left_out
        The interval of each case in ml, made without that case.
    score
        Mean of width and 2 / (1 - COVERAGE) times what a true volume lies beyond, on the logarithm:
        the less, the better.
    """

    interval: VolumeInterval
    left_out: tuple[tuple[float, float], ...]
    score: float


def choose(cases: Sequence[VolumeCase]) -> list[Trial]:
    """Try every predictor and floor; the best comes first.

    Raises
    ------
    DataError
        There are too few cases for such a coverage.
    """
    least = round(2 / (1 - COVERAGE)) + 1
    if len(cases) < least:
        raise DataError(
            f"{len(cases)} validation cases: an interval for {COVERAGE:.0%} needs {least} at least"
        )
    trials = [_trial(cases, name, 1.0) for name in PREDICTORS if name == "size"]
    trials += [
        _trial(cases, name, floor) for name in PREDICTORS for floor in FLOORS if name != "size"
    ]
    return sorted(trials, key=lambda trial: trial.score)


def made(errors: AnyArray, scales: AnyArray) -> tuple[float, float]:
    """Give how many scales the interval reaches below and above, by split conformal prediction.

    Each tail leaves out half of what is not covered, counted among one case more than there are.
    """
    ratios = errors / scales
    share = (1 + COVERAGE) / 2
    rank = min(len(ratios), math.ceil((len(ratios) + 1) * share)) - 1
    below, above = np.sort(-ratios)[rank], np.sort(ratios)[rank]
    return max(0.0, float(below)), max(0.0, float(above))


def _trial(cases: Sequence[VolumeCase], name: str, floor: float) -> Trial:
    errors = np.array([case.error for case in cases])
    scales = floor + np.array([PREDICTORS[name](case.figures) for case in cases])
    below, above = made(errors, scales)
    interval = VolumeInterval(name, floor, round(below, 4), round(above, 4), len(cases))
    left_out, scores = [], []
    for number, case in enumerate(cases):
        others = np.arange(len(cases)) != number
        reach = made(errors[others], scales[others])
        without = VolumeInterval(name, floor, *reach, len(cases) - 1)
        low, high = without.around(case.figures)
        left_out.append((low, high))
        ends = logarithm(low), logarithm(high)
        beyond = max(ends[0] - logarithm(case.true_ml), logarithm(case.true_ml) - ends[1], 0.0)
        scores.append(ends[1] - ends[0] + 2 / (1 - COVERAGE) * beyond)
    return Trial(interval, tuple(left_out), float(np.mean(scores)))


def covered(cases: Sequence[VolumeCase], intervals: Sequence[tuple[float, float]]) -> float:
    """Give the share of cases whose true volume lies in its interval."""
    pairs = zip(cases, intervals, strict=True)
    return float(np.mean([low <= case.true_ml <= high for case, (low, high) in pairs]))


def tables(cases: Sequence[VolumeCase], trials: Sequence[Trial]) -> str:
    """Give what was tried, and how the best does by group, as Markdown."""
    errors = np.abs([case.error for case in cases])
    lines = [
        f"n = {len(cases)}; each case's interval is made from the others.",
        "",
        "| predictor | floor | score | held | median width, ml | rank correlation with the error |",
        "|---|---|---|---|---|---|",
    ]
    for trial in trials:
        name = trial.interval.predictor
        said = np.array([PREDICTORS[name](case.figures) for case in cases])
        rank = "-" if np.ptp(said) == 0 else f"{stats.spearmanr(said, errors).statistic:.2f}"
        mark = " (chosen)" if trial is trials[0] else ""
        width = np.median([high - low for low, high in trial.left_out])
        numbers = f"{trial.score:.2f} | {covered(cases, trial.left_out):.2f} | {width:.1f}"
        lines.append(f"| {name}{mark} | {trial.interval.floor:g} | {numbers} | {rank} |")
    lines += ["", "| group | n | held | median true ml | median found ml | median interval, ml |"]
    lines.append("|---|---|---|---|---|---|")
    for group in ("all", *sorted({case.group for case in cases})):
        rows = [n for n, case in enumerate(cases) if group in ("all", case.group)]
        some = [cases[n] for n in rows]
        ends = [trials[0].left_out[n] for n in rows]
        true, found = (
            np.median([case.true_ml for case in some]),
            np.median([case.figures.volume_ml for case in some]),
        )
        low, high = np.median(ends, axis=0).tolist()
        lines.append(
            f"| {group} | {len(rows)} | {covered(some, ends):.2f} | {true:.1f} | {found:.1f} | "
            f"{low:.1f} to {high:.1f} |"
        )
    return "\n".join(lines) + "\n"
