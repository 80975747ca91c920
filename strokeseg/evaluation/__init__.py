"""Masks against the truth: metrics, pairs, statistics, the comparison of two models.

It imports `results`, `measure` and below, and never a prediction. Start with `evaluating`.

>>> from strokeseg.evaluation import compare_masks  # doctest: +SKIP
>>> compare_masks(prediction, truth, voxel_size_mm).hd95_mm  # doctest: +SKIP
"""

from strokeseg.evaluation.comparison import compare
from strokeseg.evaluation.evaluating import Evaluation, Terms, evaluate
from strokeseg.evaluation.metrics.case_metrics import METRICS, CaseMetrics, compare_masks
from strokeseg.evaluation.statistics import summarise

__all__ = [
    "METRICS",
    "CaseMetrics",
    "Evaluation",
    "Terms",
    "compare",
    "compare_masks",
    "evaluate",
    "summarise",
]
