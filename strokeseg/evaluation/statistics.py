"""Many cases in one row: means with intervals, medians, and paired differences.

Intervals are bootstrap intervals of the mean, bias-corrected and accelerated (BCa), at 95 %, from
9999 resamples with a fixed seed, so that the same cases give the same interval in any table.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from strokeseg.evaluation.metrics.case_metrics import METRICS, CaseMetrics

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 20240401
# Of fewer cases no resampling finds what it has not seen, and no rank test can reach p < 0.05.
FEW = 6
FEW_NOTE = f"fewer than {FEW} cases: interval and p say little"
_BATCH = 500

ALL = "all"
GROUPS = (ALL, "none", "<5 ml", "5-20 ml", ">20 ml")

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """One metric over the cases of one group.

    Attributes
    ----------
    group : str
        "all", or the volume of the true lesion: see `group_of`.
    metric : str
    n : int
        Cases with a finite value: the mean, its interval and the median are theirs.
    n_infinite, n_undefined : int
        Cases left out: distances to an empty mask, and values that do not exist.
    mean, ci95_low, ci95_high, median : float
        NaN where there is none.
    note : str
        `FEW_NOTE` where so few cases have a value that the interval says little; else empty.
    """

    group: str
    metric: str
    n: int
    n_infinite: int
    n_undefined: int
    mean: float
    ci95_low: float
    ci95_high: float
    median: float
    note: str = ""


def group_of(truth_ml: float) -> str:
    """Name the group of a case by the volume of its true lesion: none, <5, 5-20 or >20 ml."""
    if truth_ml == 0:
        return GROUPS[1]
    return GROUPS[2] if truth_ml < 5 else GROUPS[3] if truth_ml <= 20 else GROUPS[4]


def summarise(cases: Iterable[CaseMetrics]) -> tuple[Summary, ...]:
    """Summarise every metric over all cases, and over those of each size that there are."""
    measured = tuple(cases)
    rows = []
    for group in GROUPS:
        members = [m for m in measured if group in (ALL, group_of(m.truth_ml))]
        if members:
            rows += [_summary(group, metric.name, members) for metric in METRICS]
    return tuple(rows)


def mean_interval(values: Values) -> tuple[float, float]:
    """Give the 95 % bootstrap interval of a mean (BCa).

    Parameters
    ----------
    values : (n,) float64 array
        Finite.

    Returns
    -------
    low, high : float
        NaN for fewer than two values; the value itself where all are equal.
    """
    if values.size < 2:
        return math.nan, math.nan
    if (values == values[0]).all():
        return float(values[0]), float(values[0])
    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="BCa",
        random_state=np.random.default_rng(SEED),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def note_on(count: int) -> str:
    """Say of how few cases an interval or a p-value is; nothing where they are enough, or none."""
    return FEW_NOTE if 0 < count < FEW else ""


def values_of(metric: str, cases: Sequence[CaseMetrics]) -> Values:
    """Collect one metric of many cases."""
    return np.array([getattr(case, metric) for case in cases], dtype=np.float64)


def _summary(group: str, metric: str, members: Sequence[CaseMetrics]) -> Summary:
    values = values_of(metric, members)
    finite = values[np.isfinite(values)]
    low, high = mean_interval(finite)
    return Summary(
        group=group,
        metric=metric,
        n=finite.size,
        n_infinite=int(np.count_nonzero(np.isinf(values))),
        n_undefined=int(np.count_nonzero(np.isnan(values))),
        mean=float(finite.mean()) if finite.size else math.nan,
        ci95_low=low,
        ci95_high=high,
        median=float(np.median(finite)) if finite.size else math.nan,
        note=note_on(finite.size),
    )
