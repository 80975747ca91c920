"""An evaluation as files: TSV with a sidecar that defines its columns, and JSON.

``n/a`` is what is undefined, ``inf`` the distance to an empty mask. JSON has null and ``"inf"``.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from strokeseg._version import __version__
from strokeseg.evaluation.comparison import STARS_MEAN, TEST, Difference, ModelComparison
from strokeseg.evaluation.evaluating import EvaluatedCase, Evaluation
from strokeseg.evaluation.metrics.case_metrics import METRIC_OF, METRICS, CaseMetrics
from strokeseg.evaluation.statistics import RESAMPLES, SEED, Summary, group_of
from strokeseg.files.tables import table

CASE_COLUMNS = (
    "model",
    "case",
    *(field.name for field in fields(CaseMetrics)),
    "group",
    "compared",
    "note",
    "prediction",
    "truth",
)
SUMMARY_COLUMNS = ("model", "group", "metric", "unit", *(f.name for f in fields(Summary)[2:]))
COMPARISON_COLUMNS = (
    *("first", "second", "group", "metric", "unit"),
    *(field.name for field in fields(Difference)[2:]),
    "stars",
)
INTERVAL = f"95 % bootstrap interval of the mean: BCa, {RESAMPLES} resamples, seed {SEED}"

_VOLUMES = {
    "truth_ml": "Volume of the true lesions.",
    "prediction_ml": "Volume of the predicted lesions.",
    "truth_lesions": "Number of true lesions, 26-connected.",
    "prediction_lesions": "Number of predicted lesions, 26-connected.",
}
_OTHERS = {
    "model": "What the predictions are called.",
    "case": "The case.",
    "group": "Volume of the true lesions: none, below 5 ml, 5 to 20 ml, above 20 ml.",
    "compared": "'same grid': voxel by voxel; 'resampled': the prediction was brought onto the "
    "truth's grid, nearest voxel; '1 mm': both were resliced to 1 mm and 256^3.",
    "note": "What was unusual, or why the case could not be evaluated.",
    "prediction": "The predicted mask.",
    "truth": "The true mask.",
}


def case_table(evaluations: Sequence[Evaluation]) -> str:
    """Return one row per model and case; a case that failed has its error as note."""
    rows = [
        (evaluation.name, *_case_cells(case))
        for evaluation in evaluations
        for case in evaluation.cases
    ]
    return table(CASE_COLUMNS, rows)


def summary_table(evaluations: Sequence[Evaluation]) -> str:
    """Return one row per model, group of lesion sizes and metric."""
    rows = [
        (
            evaluation.name,
            row.group,
            row.metric,
            METRIC_OF[row.metric].unit,
            *(cell(value) for value in list(asdict(row).values())[2:]),
        )
        for evaluation in evaluations
        for row in evaluation.summary
    ]
    return table(SUMMARY_COLUMNS, rows)


def comparison_table(comparison: ModelComparison) -> str:
    """Return one row per group of lesion sizes and metric; differences are first minus second."""
    rows = [
        (
            *comparison.names,
            row.group,
            row.metric,
            METRIC_OF[row.metric].unit,
            *(cell(value) for value in list(asdict(row).values())[2:]),
            stars(row),
        )
        for row in comparison.differences
    ]
    return table(COMPARISON_COLUMNS, rows)


def definitions(evaluation: Evaluation) -> dict[str, Any]:
    """Say what each column of the table of cases holds, as a BIDS sidecar does."""
    columns: dict[str, Any] = {name: {"Description": text} for name, text in _OTHERS.items()}
    for metric in METRICS:
        columns[metric.name] = {"LongName": metric.title, "Description": metric.description}
        if metric.unit:
            columns[metric.name]["Units"] = metric.unit
    for name, text in _VOLUMES.items():
        columns[name] = {"Description": text, "Units": "ml" if name.endswith("_ml") else "lesions"}
    ordered = {name: columns[name] for name in CASE_COLUMNS}
    return ordered | {
        "Protocol": evaluation.terms.protocol,
        "Intervals": INTERVAL,
        "Test": f"{TEST}; {STARS_MEAN}",
        "GeneratedBy": {"Name": "strokeseg", "Version": __version__},
    }


def as_json(evaluations: Sequence[Evaluation], comparison: ModelComparison | None) -> str:
    """Return everything as JSON."""
    content = {
        "strokeseg": __version__,
        "protocol": evaluations[0].terms.protocol,
        "truths": str(evaluations[0].truths),
        "models": [_model(evaluation) for evaluation in evaluations],
        "comparison": None if comparison is None else _comparison(comparison),
        "definitions": {metric.name: metric.description for metric in METRICS},
        "intervals": INTERVAL,
    }
    return json.dumps(_plain(content), indent=2, ensure_ascii=False) + "\n"


def cell(value: float | str) -> str:
    """Write a number for a table: 6 digits, ``n/a`` for NaN, ``inf``."""
    if isinstance(value, str):
        return value
    return (
        "n/a" if math.isnan(value) else f"{value:.6g}" if isinstance(value, float) else str(value)
    )


def stars(row: Difference) -> str:
    """Write the stars of a difference; ``ns`` where there are none, nothing without a test."""
    return "" if math.isnan(row.p) else row.stars or "ns"


def note_of(case: EvaluatedCase) -> str:
    """Join what there is to say about a case."""
    return f"error: {case.error}" if case.error is not None else "; ".join(case.notes)


def _case_cells(case: EvaluatedCase) -> list[str]:
    names = [field.name for field in fields(CaseMetrics)]
    metrics = case.metrics
    return [
        case.name,
        *("" if metrics is None else cell(getattr(metrics, name)) for name in names),
        "" if metrics is None else group_of(metrics.truth_ml),
        case.how or "",
        note_of(case),
        str(case.pair.prediction.path),
        str(case.pair.truth.path),
    ]


def _model(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "name": evaluation.name,
        "predictions": str(evaluation.predictions),
        "cases": [_case(case) for case in evaluation.cases],
        "failed": len(evaluation.failures),
        "without_truth": [rest._asdict() for rest in evaluation.pairing.without_truth],
        "without_prediction": [rest._asdict() for rest in evaluation.pairing.without_prediction],
        "summary": [asdict(row) for row in evaluation.summary],
    }


def _case(case: EvaluatedCase) -> dict[str, Any]:
    return {
        "case": case.name,
        "metrics": None if case.metrics is None else asdict(case.metrics),
        "group": None if case.metrics is None else group_of(case.metrics.truth_ml),
        "compared": case.how,
        "notes": list(case.notes),
        "error": None if case.error is None else str(case.error),
        "prediction": str(case.pair.prediction.path),
        "truth": str(case.pair.truth.path),
    }


def _comparison(comparison: ModelComparison) -> dict[str, Any]:
    first, second = comparison.names
    return {
        "first": first,
        "second": second,
        "difference": "first minus second",
        "test": TEST,
        "stars": STARS_MEAN,
        "differences": [asdict(d) | {"stars": d.stars} for d in comparison.differences],
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf"
    return str(value) if isinstance(value, Path) else value
