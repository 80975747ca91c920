"""A comparison of groups as a table on disk, and as one that a terminal shows."""

import math

from strokeseg.evaluation.statistics import RESAMPLES
from strokeseg.evaluation.tables import cell
from strokeseg.files.tables import table
from strokeseg.groups.comparing import GroupComparison, Span, Tested
from strokeseg.groups.ranks import cliffs_delta

ALL = "all"
COLUMNS = (
    *("measure", "unit", "group", "n", "median", "median_ci95_low", "median_ci95_high"),
    *("contrast", "test", "statistic", "p", "p_holm"),
    *("auroc", "auroc_ci95_low", "auroc_ci95_high", "cliffs_delta"),
    *("rho", "rho_ci95_low", "rho_ci95_high"),
)
INTERVALS = f"95 % percentile bootstrap intervals, {RESAMPLES} resamples"


def comparison_table(comparison: GroupComparison) -> str:
    """Return a row per measure and group with its median, and one of `all` with the test."""
    return table(COLUMNS, [line for one in comparison.tested for line in _lines(one, comparison)])


def contrast_of(comparison: GroupComparison) -> str:
    """Say what is compared: the second group over the first, all groups, or a column of numbers."""
    groups = comparison.cases.groups
    if len(groups) == 2:
        return f"{groups[1]} over {groups[0]}"
    return comparison.column if not groups else ", ".join(groups)


def shown_rows(comparison: GroupComparison) -> tuple[list[str], list[list[str]]]:
    """Give columns and rows for a terminal of 80 columns; intervals stand below their figures."""
    two = len(comparison.cases.groups) == 2
    numeric = not comparison.cases.groups
    effect = "AUROC, delta" if two else "rho" if numeric else "H"
    # What matters most comes first: a narrow terminal leaves the last columns out.
    columns = ["measure", effect, "p, Holm", *(comparison.cases.groups or ("median",))]
    rows = []
    for one in comparison.tested:
        told = f"{_span(one.area)}\n{_short(cliffs_delta(one.area.value))}" if two else ""
        told = _span(one.rho) if numeric else told or _short(one.statistic)
        medians = [
            f"{_span(median)}\nn {count}"
            for median, count in zip(one.medians, one.counts, strict=True)
        ]
        rows.append([one.measure, told, f"{p_text(one.p)}\n{p_text(one.p_holm)}", *medians])
    return columns, rows


def p_text(p: float) -> str:
    """Write a p-value."""
    return "" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _lines(one: Tested, comparison: GroupComparison) -> list[tuple[str, ...]]:
    groups = comparison.cases.groups
    lines = [
        (one.measure, one.unit, group, str(count), *_cells(median))
        for group, count, median in zip(groups, one.counts, one.medians, strict=False)
    ]
    padded = [line + ("",) * (len(COLUMNS) - len(line)) for line in lines]
    whole = Span() if groups else one.medians[0]
    last = (
        *(one.measure, one.unit, ALL, str(sum(one.counts)), *_cells(whole)),
        *(contrast_of(comparison), comparison.test),
        *map(cell, (one.statistic, one.p, one.p_holm)),
        *(*_cells(one.area), cell(cliffs_delta(one.area.value)), *_cells(one.rho)),
    )
    return [*padded, last]


def _cells(span: Span) -> tuple[str, str, str]:
    return cell(span.value), cell(span.low), cell(span.high)


def _span(span: Span) -> str:
    return f"{_short(span.value)}\n{_short(span.low)} to {_short(span.high)}"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
