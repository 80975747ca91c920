"""Rank statistics of one measure: tests, effects and intervals, by scipy.

Covariates are regressed out of ranks, and the residuals are tested (Quade's way): two groups by
Wilcoxon's rank sum, more by Kruskal-Wallis, numbers by Spearman's correlation, which is partial
then. Intervals are percentile bootstrap intervals at 95 %, from 9999 resamples with a fixed seed.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from strokeseg.evaluation.statistics import CONFIDENCE, RESAMPLES, SEED, Values

_BATCH = 1000


def rank_residuals(values: Values, design: Values) -> Values:
    """Rank values, and leave what a design (n, k) does not explain of the ranks.

    Parameters
    ----------
    values : (n,) float64 array
        Finite.
    design : (n, k) float64 array
        Covariates, from `covariate_columns`; k may be 0. An intercept is always in.
    """
    return residuals(np.asarray(stats.rankdata(values), dtype=np.float64), design)


def residuals(values: Values, design: Values) -> Values:
    """Leave what a design, with an intercept, does not explain; values (n,) or (n, m)."""
    whole = np.c_[np.ones(len(values)), design]
    solution, *_ = np.linalg.lstsq(whole, values, rcond=None)
    left: Values = values - whole @ solution
    # What is explained wholly leaves rounding, of which ranks would make something.
    scale = np.abs(values).max(initial=0.0)
    return np.where(np.abs(left) < 1e-9 * scale, 0.0, np.round(left, 9))


def degrees_taken(design: Values) -> int:
    """Count the degrees of freedom that covariates take, an intercept aside."""
    return int(np.linalg.matrix_rank(np.c_[np.ones(len(design)), design])) - 1


def group_test(parts: Sequence[Values]) -> tuple[float, float]:
    """Test whether groups differ: statistic (U of the second, or H) and two-sided p.

    Two are compared by Wilcoxon's rank sum (Mann-Whitney's U), more by Kruskal-Wallis.
    """
    together = np.concatenate(parts)
    if (together == together[0]).all():
        return math.nan, 1.0
    if len(parts) == 2:
        ranked = stats.mannwhitneyu(parts[1], parts[0])
        return float(ranked.statistic), float(ranked.pvalue)
    found = stats.kruskal(*parts)
    return float(found.statistic), float(found.pvalue)


def auroc(first: Values, second: Values) -> float:
    """Give the probability that one of the second is larger than one of the first, ties by half."""
    return float(_auroc(first, second))


def cliffs_delta(area: float) -> float:
    """Give Cliff's delta of an AUROC: how much more often larger than smaller."""
    return 2 * area - 1


def rank_correlation(values: Values, others: Values, taken: int = 0) -> tuple[float, float]:
    """Correlate ranks or residuals of ranks: Spearman's rho, partial after covariates, and p.

    Parameters
    ----------
    values, others
        From `rank_residuals`.
    taken
        Degrees of freedom that the covariates took.
    """
    if not (np.ptp(values) and np.ptp(others)):
        return math.nan, 1.0
    rho = float(np.clip(stats.pearsonr(values, others).statistic, -1.0, 1.0))
    degrees = len(values) - 2 - taken
    if degrees < 1:
        return rho, math.nan
    t = rho * math.sqrt(degrees / max(1 - rho**2, 1e-300))
    return rho, float(2 * stats.t.sf(abs(t), degrees))


def median_interval(values: Values) -> tuple[float, float]:
    """Give the bootstrap interval of a median; NaN for fewer than two values."""
    if len(values) < 2:
        return math.nan, math.nan
    return _interval((values,), np.median, paired=False)


def auroc_interval(first: Values, second: Values) -> tuple[float, float]:
    """Give the bootstrap interval of an AUROC, each group resampled on its own."""
    return _interval((first, second), _auroc, paired=False)


def correlation_interval(values: Values, others: Values) -> tuple[float, float]:
    """Give the bootstrap interval of a correlation of ranks, cases resampled whole."""
    if not (np.ptp(values) and np.ptp(others)):
        return math.nan, math.nan
    return _interval((values, others), _rho, paired=True)


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Correct p-values for their number by Holm's step-down method; NaN is none, and stays."""
    known = [index for index, value in enumerate(p) if not math.isnan(value)]
    corrected = list(p)
    least = 0.0
    for place, index in enumerate(sorted(known, key=lambda index: p[index])):
        least = max(least, min(1.0, p[index] * (len(known) - place)))
        corrected[index] = least
    return tuple(corrected)


def _auroc(first: Values, second: Values, axis: int = -1) -> Values:
    ranks = stats.rankdata(np.concatenate([first, second], axis=axis), axis=axis)
    n, m = first.shape[axis], second.shape[axis]
    above = np.take(ranks, range(n, n + m), axis=axis).sum(axis=axis) - m * (m + 1) / 2
    area: Values = above / (n * m)
    return area


def _rho(values: Values, others: Values, axis: int = -1) -> Values:
    a, b = (stats.rankdata(one, axis=axis) for one in (values, others))
    a, b = (one - one.mean(axis=axis, keepdims=True) for one in (a, b))
    spread = np.sqrt((a**2).sum(axis=axis) * (b**2).sum(axis=axis))
    # A resample of one case again and again has no correlation.
    rho: Values = (a * b).sum(axis=axis) / np.maximum(spread, 1e-12)
    return rho


def _interval(
    samples: tuple[Values, ...], statistic: Callable[..., Values], *, paired: bool
) -> tuple[float, float]:
    found = stats.bootstrap(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        vectorized=True,
        paired=paired,
        confidence_level=CONFIDENCE,
        method="percentile",
        random_state=np.random.default_rng(SEED),
    ).confidence_interval
    return float(found.low), float(found.high)
