"""The metrics of one case, each with its name, unit and definition."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from strokeseg.arrays import AffineArray, BoolArray, FloatArray
from strokeseg.errors import DataError
from strokeseg.evaluation.metrics.distances import surface_distances
from strokeseg.evaluation.metrics.matching import match_lesions
from strokeseg.evaluation.metrics.voxels import average_precision, dice
from strokeseg.space.grid import Grid


@dataclass(frozen=True)
class Metric:
    """What a column of the tables holds.

    Attributes
    ----------
    name : str
        The column's, and the attribute's of `CaseMetrics`.
    title : str
        What pictures and printed tables call it.
    unit : {"", "mm", "ml", "lesions"}
        Nothing for a share between 0 and 1.
    better : {"higher", "lower"}
        Which is the better result.
    description : str
        Its definition, in one or two sentences.
    """

    name: str
    title: str
    unit: Literal["", "mm", "ml", "lesions"]
    better: Literal["higher", "lower"]
    description: str


METRICS = (
    Metric(
        "dice", "Dice", "", "higher", "2 |P and T| / (|P| + |T|) over voxels; 1 if both are empty."
    ),
    Metric(
        "hd95_mm",
        "HD95",
        "mm",
        "lower",
        "Hausdorff distance at the 95th percentile: the larger of the two directed percentiles, "
        "between surface voxels. Infinite if one mask is empty, 0 if both are.",
    ),
    Metric(
        "assd_mm",
        "ASSD",
        "mm",
        "lower",
        "Average symmetric surface distance: mean over the surface voxels of both masks of the "
        "distance to the other's. Infinite if one mask is empty, 0 if both are.",
    ),
    Metric("avd_ml", "AVD", "ml", "lower", "Absolute volume difference."),
    Metric(
        "ald",
        "ALD",
        "lesions",
        "lower",
        "Absolute lesion difference: how far the numbers of 26-connected lesions are apart.",
    ),
    Metric(
        "lf1",
        "LF1",
        "",
        "higher",
        "F1 over 26-connected lesions, where one shared voxel is a hit: 2 H / (2 H + M + F), with "
        "true lesions hit (H) and missed (M), and predicted ones that touch none (F). 1 if both "
        "are empty.",
    ),
    Metric(
        "lf1_iou25",
        "LF1, IoU >= 0.25",
        "",
        "higher",
        "F1 over 26-connected lesions, where a hit is a pair, each lesion used once, whose "
        "intersection over union is at least 0.25; the most pairs that can be made are. 1 if both "
        "are empty.",
    ),
    Metric(
        "sensitivity",
        "Sensitivity",
        "",
        "higher",
        "Share of the true voxels that were predicted; undefined if the truth is empty.",
    ),
    Metric(
        "precision",
        "Precision",
        "",
        "higher",
        "Share of the predicted voxels that are true; undefined if the prediction is empty.",
    ),
    Metric(
        "lesion_sensitivity",
        "Lesion sensitivity",
        "",
        "higher",
        "Share of the true lesions that share a voxel with the prediction; undefined if there is "
        "none.",
    ),
    Metric(
        "lesion_precision",
        "Lesion precision",
        "",
        "higher",
        "Share of the predicted lesions that share a voxel with the truth; undefined if there is "
        "none.",
    ),
    Metric(
        "pr_auc",
        "PR-AUC",
        "",
        "higher",
        "Area under the precision-recall curve of the probability map over voxels, as average "
        "precision (sum of precision over the steps of recall, nothing interpolated); undefined if "
        "the truth is empty or there is no map.",
    ),
)
METRIC_OF = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True)
class CaseMetrics:
    """Every metric of one case; `METRICS` defines them.

    NaN stands for what is undefined, and infinity for the distance to an empty mask. Beside the
    metrics: volumes in ml and numbers of 26-connected lesions.
    """

    dice: float
    hd95_mm: float
    assd_mm: float
    avd_ml: float
    ald: int
    lf1: float
    lf1_iou25: float
    sensitivity: float
    precision: float
    lesion_sensitivity: float
    lesion_precision: float
    pr_auc: float
    truth_ml: float
    prediction_ml: float
    truth_lesions: int
    prediction_lesions: int


def compare_masks(
    prediction: BoolArray,
    truth: BoolArray,
    space: Grid | Sequence[float],
    probability: FloatArray | None = None,
) -> CaseMetrics:
    """Measure how well a prediction agrees with the truth.

    Parameters
    ----------
    prediction, truth : (I, J, K) bool arrays
        On one grid; numbers are taken too, if all of them are 0 or 1.
    space : Grid or three float
        The grid, or the voxel sizes along the array axes, in mm.
    probability : (I, J, K) float array, optional
        Lesion probability on the same grid, for `pr_auc`.

    Raises
    ------
    DataError
        If shapes differ, a mask holds more than 0 and 1, or a probability is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.zeros((8, 8, 8), bool)
    >>> truth[2:4, 2:4, 2:4] = True
    >>> compare_masks(truth, truth, (1.0, 1.0, 3.0)).dice
    1.0
    """
    found, true = _as_mask("prediction", prediction), _as_mask("truth", truth)
    axes_mm = _axes_mm(space, found, true)
    voxel_ml = abs(float(np.linalg.det(axes_mm))) / 1000.0
    hit = int(np.count_nonzero(found & true))
    found_count, true_count = int(np.count_nonzero(found)), int(np.count_nonzero(true))
    surfaces = surface_distances(found, true, axes_mm)
    lesions = match_lesions(found, true)
    return CaseMetrics(
        dice=dice(found, true),
        hd95_mm=surfaces.hd95_mm,
        assd_mm=surfaces.assd_mm,
        avd_ml=abs(found_count - true_count) * voxel_ml,
        ald=lesions.count_difference,
        lf1=lesions.lf1,
        lf1_iou25=lesions.lf1_iou25,
        sensitivity=_share(hit, true_count),
        precision=_share(hit, found_count),
        lesion_sensitivity=_share(lesions.truth_hit, lesions.truth_count),
        lesion_precision=_share(lesions.prediction_hit, lesions.prediction_count),
        pr_auc=math.nan if probability is None else _pr_auc(probability, true),
        truth_ml=true_count * voxel_ml,
        prediction_ml=found_count * voxel_ml,
        truth_lesions=lesions.truth_count,
        prediction_lesions=lesions.prediction_count,
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _as_mask(name: str, values: BoolArray) -> BoolArray:
    array = np.asarray(values)
    if array.ndim != 3 or not array.size:
        raise DataError(f"the {name} has the shape {array.shape}; an array of three axes is needed")
    mask = array.astype(np.bool_, copy=False)
    if array.dtype != np.bool_ and not np.array_equal(array, mask):
        raise DataError(f"the {name} holds more than 0 and 1; make a mask of it first")
    return mask


def _axes_mm(space: Grid | Sequence[float], prediction: BoolArray, truth: BoolArray) -> AffineArray:
    if prediction.shape != truth.shape:
        raise DataError(
            f"the prediction has the shape {prediction.shape}, the truth {truth.shape}: bring them "
            "onto one grid first"
        )
    if isinstance(space, Grid):
        if space.shape != truth.shape:
            raise DataError(f"the masks have the shape {truth.shape}, their grid {space.shape}")
        return np.asarray(space.affine[:3, :3])
    sizes = np.asarray(space, dtype=np.float64)
    if sizes.shape != (3,) or not np.isfinite(sizes).all() or not (sizes > 0).all():
        raise DataError(f"the voxel sizes are {space}; three numbers above 0 are needed, in mm")
    return np.diag(sizes)


def _pr_auc(probability: FloatArray, truth: BoolArray) -> float:
    scores = np.asarray(probability)
    if scores.shape != truth.shape:
        raise DataError(
            f"the probability has the shape {scores.shape}, the truth {truth.shape}: bring them "
            "onto one grid first"
        )
    if not np.isfinite(scores).all():
        raise DataError("the probability has NaN or infinite voxels; PR-AUC needs an order of all")
    return average_precision(scores, truth)
