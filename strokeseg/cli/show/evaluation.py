"""An evaluation as tables for a person: few digits, units in the headings."""

import math
from collections.abc import Sequence

from strokeseg.evaluation.comparison import ModelComparison
from strokeseg.evaluation.evaluating import Evaluation
from strokeseg.evaluation.metrics.case_metrics import METRIC_OF, METRICS, CaseMetrics, Metric
from strokeseg.evaluation.statistics import ALL, GROUPS, Summary, group_of
from strokeseg.evaluation.tables import stars

Rows = list[list[str]]

_CASE_METRICS = (
    *("dice", "hd95_mm", "assd_mm", "avd_ml", "ald", "lf1", "lf1_iou25"),
    *("sensitivity", "precision", "pr_auc"),
)
_DIGITS = {"": 3, "mm": 2, "ml": 2, "lesions": 2}
_MISSING = "-"


def heading(metric: Metric) -> str:
    """Return a metric's title with its unit; lesions need none."""
    return f"{metric.title} ({metric.unit})" if metric.unit in ("mm", "ml") else metric.title


def number(value: float, unit: str) -> str:
    """Write a value with the digits that its unit deserves."""
    if math.isnan(value):
        return _MISSING
    return str(value) if isinstance(value, int) else f"{value:.{_DIGITS[unit]}f}"


def case_rows(evaluation: Evaluation) -> tuple[list[str], Rows]:
    """Make columns and rows of the cases: volumes, then metrics."""
    metrics = [METRIC_OF[name] for name in _CASE_METRICS]
    columns = ["case", "true ml", "found ml", *(heading(metric) for metric in metrics)]
    rows = []
    for case in evaluation.cases:
        m = case.metrics
        if m is None:
            rows.append([case.name, "failed", *[""] * (len(columns) - 2)])
            continue
        volumes = [number(m.truth_ml, "ml"), number(m.prediction_ml, "ml")]
        values = [number(getattr(m, metric.name), metric.unit) for metric in metrics]
        rows.append([case.name, *volumes, *values])
    return columns, rows


def summary_rows(evaluation: Evaluation) -> tuple[list[str], Rows]:
    """Make columns and rows of the summary over all cases."""
    columns = ["metric", "mean", "95 % interval", "median", "n", "left out"]
    rows = []
    for row in evaluation.summary:
        if row.group == ALL:
            unit = METRIC_OF[row.metric].unit
            rows.append(
                [
                    heading(METRIC_OF[row.metric]),
                    number(row.mean, unit),
                    _interval(row.ci95_low, row.ci95_high, unit),
                    number(row.median, unit),
                    str(row.n),
                    _left_out(row),
                ]
            )
    return columns, rows


def size_rows(evaluation: Evaluation) -> tuple[list[str], Rows]:
    """Make columns and rows of the means by lesion size; n where some cases are left out."""
    sizes = _sizes(evaluation.metrics)
    means = {(row.group, row.metric): row for row in evaluation.summary}
    columns = ["mean", *(f"{group} (n = {n})" for group, n in sizes.items())]
    rows = []
    for metric in METRICS:
        cells = []
        for group, n in sizes.items():
            row = means[group, metric.name]
            few = f" (n = {row.n})" if 0 < row.n < n else ""
            cells.append(number(row.mean, metric.unit) + few)
        rows.append([heading(metric), *cells])
    return columns, rows


def comparison_rows(comparison: ModelComparison) -> tuple[list[str], Rows]:
    """Make columns and rows of the paired differences over all cases."""
    first, second = comparison.names
    columns = ["metric", first, second, "difference", "95 % interval", "p", "", "pairs", "left out"]
    rows = []
    for metric in METRICS:
        row = comparison.overall()[metric.name]
        rows.append(
            [
                heading(metric),
                number(row.mean_first, metric.unit),
                number(row.mean_second, metric.unit),
                number(row.mean_difference, metric.unit),
                _interval(row.ci95_low, row.ci95_high, metric.unit),
                _probability(row.p),
                stars(row),
                str(row.n_pairs),
                str(row.n_left_out or ""),
            ]
        )
    return columns, rows


def _sizes(measured: Sequence[CaseMetrics]) -> dict[str, int]:
    groups = [group_of(metrics.truth_ml) for metrics in measured]
    return {group: groups.count(group) for group in GROUPS if group in groups}


def _interval(low: float, high: float, unit: str) -> str:
    return _MISSING if math.isnan(low) else f"{number(low, unit)} to {number(high, unit)}"


def _left_out(row: Summary) -> str:
    parts = ((row.n_infinite, "infinite"), (row.n_undefined, "undefined"))
    return ", ".join(f"{n} {what}" for n, what in parts if n)


def _probability(p: float) -> str:
    if math.isnan(p):
        return _MISSING
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"
