"""Two models on the same truths: paired differences, and how likely they are by chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from strokeseg.errors import UsageError
from strokeseg.evaluation.evaluating import Evaluation
from strokeseg.evaluation.metrics.case_metrics import METRICS, CaseMetrics
from strokeseg.evaluation.statistics import (
    ALL,
    GROUPS,
    Values,
    group_of,
    mean_interval,
    note_on,
    values_of,
)

STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
STARS_MEAN = "* p < 0.05, ** p < 0.01, *** p < 0.001"
TEST = "two-sided Wilcoxon signed-rank test, not corrected for the number of metrics"
# Up to so many differences every pattern of their signs is looked at, ties among them or not.
_EXACT_UP_TO = 13


@dataclass(frozen=True, eq=False)
class Difference:
    """One metric of two models over the cases of one group.

    Attributes
    ----------
    group, metric : str
        As in `strokeseg.evaluation.statistics.Summary`.
    n_pairs : int
        Cases where both models have a finite value; all figures are theirs.
    n_left_out : int
        Cases of either model that make no such pair.
    mean_first, mean_second : float
    mean_difference, ci95_low, ci95_high, median_difference : float
        First minus second, with the bootstrap interval of the mean.
    p : float
        See `TEST`; 1 where no pair differs, NaN where there is no pair.
    note : str
        As in `Summary`.
    """

    group: str
    metric: str
    n_pairs: int
    n_left_out: int
    mean_first: float
    mean_second: float
    mean_difference: float
    ci95_low: float
    ci95_high: float
    median_difference: float
    p: float
    note: str = ""

    @property
    def stars(self) -> str:
        """The paper's stars, see `STARS_MEAN`; empty where p is 0.05 or more."""
        return next((stars for below, stars in STARS if self.p < below), "")


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """Two evaluations, case by case.

    Attributes
    ----------
    names : tuple of two str
        What the models are called; differences are the first minus the second.
    pairs : tuple of (CaseMetrics, CaseMetrics)
        Of the cases that both have, in the order of the first.
    differences : tuple of Difference
    """

    names: tuple[str, str]
    pairs: tuple[tuple[CaseMetrics, CaseMetrics], ...]
    differences: tuple[Difference, ...]

    def overall(self) -> dict[str, Difference]:
        """Give the differences over all cases, by metric."""
        return {d.metric: d for d in self.differences if d.group == ALL}


def compare(first: Evaluation, second: Evaluation) -> ModelComparison:
    """Compare two models on the truths that both have a prediction for.

    Raises
    ------
    UsageError
        They have none in common.
    """
    ours, theirs = _by_truth(first), _by_truth(second)
    shared = [key for key in ours if key in theirs]
    if not shared:
        raise UsageError(
            f"{first.predictions} and {second.predictions} share no case that could be evaluated: "
            "there is nothing to compare"
        )
    pairs = tuple((ours[key], theirs[key]) for key in shared)
    lonely = [m for a, b in ((ours, theirs), (theirs, ours)) for k, m in a.items() if k not in b]
    rows = []
    for group in GROUPS:
        members = [p for p in pairs if group in (ALL, group_of(p[0].truth_ml))]
        alone = sum(group in (ALL, group_of(m.truth_ml)) for m in lonely)
        if members:
            rows += [difference(group, metric.name, members, alone) for metric in METRICS]
    return ModelComparison((first.name, second.name), pairs, tuple(rows))


def difference(
    group: str, metric: str, pairs: Sequence[tuple[CaseMetrics, CaseMetrics]], alone: int = 0
) -> Difference:
    """Compare one metric over pairs; `alone` is how many cases have no partner at all."""
    first, second = finite_pairs(metric, pairs)
    apart = first - second
    low, high = mean_interval(apart)
    any_pair = bool(apart.size)
    return Difference(
        group=group,
        metric=metric,
        n_pairs=apart.size,
        n_left_out=len(pairs) - apart.size + alone,
        mean_first=float(first.mean()) if any_pair else math.nan,
        mean_second=float(second.mean()) if any_pair else math.nan,
        mean_difference=float(apart.mean()) if any_pair else math.nan,
        ci95_low=low,
        ci95_high=high,
        median_difference=float(np.median(apart)) if any_pair else math.nan,
        p=p_value(apart),
        note=note_on(apart.size),
    )


def finite_pairs(
    metric: str, pairs: Sequence[tuple[CaseMetrics, CaseMetrics]]
) -> tuple[Values, Values]:
    """Collect one metric of both models where both are finite."""
    first = values_of(metric, [pair[0] for pair in pairs])
    second = values_of(metric, [pair[1] for pair in pairs])
    both = np.isfinite(first) & np.isfinite(second)
    return first[both], second[both]


def p_value(differences: Values) -> float:
    """Test whether paired differences lie about 0, see `TEST`; those of 0 are dropped.

    Returns
    -------
    float
        1 where no pair differs, NaN where there is none.
    """
    if not differences.size:
        return math.nan
    moved = differences[differences != 0]
    if not moved.size:
        return 1.0
    if moved.size > _EXACT_UP_TO:
        return float(stats.wilcoxon(moved).pvalue)
    # Twice the ranks, which are whole numbers with ties too.
    ranks = np.rint(2 * stats.rankdata(np.abs(moved))).astype(np.int64)
    patterns = np.arange(2**moved.size)[:, None] >> np.arange(moved.size) & 1
    off_centre = np.abs(2 * (patterns @ ranks) - ranks.sum())
    found = abs(2 * int(ranks[moved > 0].sum()) - int(ranks.sum()))
    return float(np.mean(off_centre >= found))


def _by_truth(evaluation: Evaluation) -> dict[tuple[str, str], CaseMetrics]:
    return {
        (case.pair.truth.name, str(case.pair.truth.path)): case.metrics
        for case in evaluation.cases
        if case.metrics is not None
    }
