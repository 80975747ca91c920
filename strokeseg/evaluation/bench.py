"""Several models on the same truths, a row each: how good, how sure, how long, how much memory."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from strokeseg.evaluation.comparison import Difference, compare
from strokeseg.evaluation.evaluating import Evaluation
from strokeseg.evaluation.statistics import ALL, Summary
from strokeseg.evaluation.tables import cell, stars
from strokeseg.files.tables import table

BENCH_METRICS = ("dice", "hd95_mm", "avd_ml", "lf1")
MISSING = math.nan


@dataclass(frozen=True)
class Cost:
    """What a model's cases cost: median seconds, and the most memory that one of them took."""

    seconds: float = MISSING
    peak_memory_gb: float = MISSING


@dataclass(frozen=True, eq=False)
class Row:
    """One model.

    Parameters
    ----------
    name
        What it is called.
    n, failed
        Cases that were measured, and those that failed.
    summaries
        Of `BENCH_METRICS`, over all cases, by metric.
    dice_difference
        Of its Dice from the first model's, case by case; None for the first model.
    cost
        What it cost.
    """

    name: str
    n: int
    failed: int
    summaries: Mapping[str, Summary]
    dice_difference: Difference | None
    cost: Cost


def bench(evaluations: Sequence[Evaluation], costs: Mapping[str, Cost]) -> tuple[Row, ...]:
    """Put models side by side, the first one being what the others are compared with.

    Parameters
    ----------
    evaluations
        One for each model, on the same truths.
    costs
        By the models' names.
    """
    first = evaluations[0]
    rows = []
    for evaluation in evaluations:
        apart = None
        if evaluation is not first and evaluation.metrics and first.metrics:
            apart = compare(evaluation, first).overall()["dice"]
        rows.append(
            Row(
                evaluation.name,
                len(evaluation.metrics),
                len(evaluation.failures),
                {row.metric: row for row in evaluation.summary if row.group == ALL},
                apart,
                costs.get(evaluation.name, Cost()),
            )
        )
    return tuple(rows)


def bench_table(rows: Sequence[Row]) -> str:
    """Return the comparison as a table, one row per model."""
    return table(*bench_cells(rows))


def bench_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Give the columns and the rows of the comparison."""
    columns = ["model", "n", "failed"]
    for metric in BENCH_METRICS:
        columns += [f"{metric}_mean", f"{metric}_median", f"{metric}_n"]
    columns += ["dice_ci95_low", "dice_ci95_high", "dice_minus_first", "p", "stars"]
    columns += ["seconds_median", "peak_memory_gb"]
    cells = []
    for row in rows:
        line: list[float | str] = [row.name, str(row.n), str(row.failed)]
        for metric in BENCH_METRICS:
            found = row.summaries.get(metric)
            values = (MISSING, MISSING, 0) if found is None else (found.mean, found.median, found.n)
            line += values
        dice, apart = row.summaries.get("dice"), row.dice_difference
        line += [MISSING, MISSING] if dice is None else [dice.ci95_low, dice.ci95_high]
        line += ["", "", ""] if apart is None else [apart.mean_difference, apart.p, stars(apart)]
        line += [row.cost.seconds, row.cost.peak_memory_gb]
        cells.append([cell(value) for value in line])
    return columns, cells
