"""A cohort's measures against one column of its participants, each tested and described."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from strokeseg.errors import DataError
from strokeseg.evaluation.statistics import Values
from strokeseg.groups.measures import BRAIN, BRAIN_COVARIATE, Measured, read_measures, unit_of
from strokeseg.groups.participants import (
    Participants,
    is_missing,
    is_numeric,
    number_of,
    read_participants,
)
from strokeseg.groups.ranks import (
    auroc,
    auroc_interval,
    correlation_interval,
    degrees_taken,
    group_test,
    holm,
    median_interval,
    rank_correlation,
    rank_residuals,
)

# Of fewer no rank test can reach p < 0.05.
LEAST_CASES = 6
LEAST_IN_GROUP = 3
MOST_GROUPS = 12
RANK_SUM = "Wilcoxon rank sum"
KRUSKAL = "Kruskal-Wallis"
SPEARMAN = "Spearman"


@dataclass(frozen=True)
class Span:
    """A figure, and its 95 % bootstrap interval; NaN where there is none."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, eq=False)
class Cases:
    """Who is compared.

    Attributes
    ----------
    names : tuple of str
        The cases that have a row, a value in the column, and every covariate.
    groups : tuple of str
        The groups' names, sorted; none where the column is numeric.
    outcome : (n,) float64 array
        Number of the group, or the column's value.
    design : (n, k) float64 array
        Covariates' ranks, or whether a case is of a kind.
    left_out : mapping
        Why each other case is left out.
    doubts : tuple of str
        What to mind of the whole.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    outcome: Values
    design: Values
    left_out: Mapping[str, str]
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Tested:
    """One measure: its values, medians and test.

    Attributes
    ----------
    measure, unit : str
    values, outcome : (n,) float64 arrays
        Of the cases that have the measure.
    medians : tuple of Span
        Of each group, or of all where the column is numeric.
    counts : tuple of int
        As many.
    statistic, p, p_holm : float
        Of the test; the last is corrected for the number of measures.
    area, rho : Span
        AUROC of two groups, the second over the first, or the correlation.
    """

    measure: str
    unit: str
    values: Values
    outcome: Values
    medians: tuple[Span, ...]
    counts: tuple[int, ...]
    statistic: float
    p: float
    p_holm: float = math.nan
    area: Span = Span()
    rho: Span = Span()


@dataclass(frozen=True, eq=False)
class GroupComparison:
    """Every measure of a cohort against one column."""

    column: str
    covariates: tuple[str, ...]
    cases: Cases
    tested: tuple[Tested, ...]

    @property
    def test(self) -> str:
        """The test that was made."""
        count = len(self.cases.groups)
        return SPEARMAN if not count else RANK_SUM if count == 2 else KRUSKAL


def compare_groups(
    output: Path, table: Path, column: str, covariates: Sequence[str] = ()
) -> GroupComparison:
    """Compare the groups that a column names, or correlate with its numbers.

    Parameters
    ----------
    output
        Of a batch, with its ``cohort.tsv``.
    table, column
        The participants, and what of them is asked.
    covariates
        Columns whose ranks are regressed out of the measures' ranks; ``brain_volume_ml`` is the
        cohort's own where the participants have no such column.

    Raises
    ------
    InputNotFoundError
        A table is not there.
    DataError
        A table lacks a column, no case has a row, there is one group only, or too few cases.
    """
    measured, people = read_measures(output), read_participants(table)
    cases = choose_cases(measured, people, column, covariates)
    # What is regressed out of itself leaves nothing.
    held = {BRAIN} if BRAIN_COVARIATE in covariates else set(covariates)
    tested = [_tested(measured, name, cases) for name in measured.names if name not in held]
    kept = [one for one in tested if one is not None]
    corrected = holm([one.p for one in kept])
    rows = tuple(replace(one, p_holm=p) for one, p in zip(kept, corrected, strict=True))
    if not rows:
        raise DataError(f"{output}: no measure has values in enough cases of each group")
    return GroupComparison(column, tuple(covariates), cases, rows)


def choose_cases(
    measured: Measured, people: Participants, column: str, covariates: Sequence[str]
) -> Cases:
    """Find who can be compared.

    Raises
    ------
    DataError
        See `compare_groups`.
    """
    own = {BRAIN_COVARIATE} - set(people.columns) if BRAIN in measured.names else set()
    for name in (column, *(name for name in covariates if name not in own)):
        people.check(name)
    if column in covariates:
        raise DataError(f"{column} is compared, and cannot be a covariate, too")
    found, left_out = {}, {}
    for case, values in sorted(measured.cases.items()):
        row = people.row_of(case)
        if row is None:
            left_out[case] = f"no row of {people.path.name} is of it"
            continue
        cells = {
            name: str(values.get(BRAIN, "")) if name in own else row[name]
            for name in (column, *covariates)
        }
        lacking = [name for name, cell in cells.items() if is_missing(cell)]
        if lacking:
            left_out[case] = f"{', '.join(lacking)}: missing"
        else:
            found[case] = cells
    if not found:
        case, why = next(iter(left_out.items()), ("the cohort", "no case is done"))
        raise DataError(f"{people.path}: no case can be compared ({case}: {why})")
    groups, outcome = _outcome(people.path, column, [cells[column] for cells in found.values()])
    told = {name: [cells[name] for cells in found.values()] for name in covariates}
    columns = [covariate_columns(name, cells) for name, cells in told.items()]
    design = np.concatenate([np.empty((len(found), 0)), *columns], axis=1)
    left = len(found) - degrees_taken(design) - max(2, len(groups))
    if left < 2:
        raise DataError(
            f"{people.path}: {len(found)} cases are too few for these covariates; give fewer"
        )
    return Cases(tuple(found), groups, outcome, design, left_out, _twice(tuple(found)))


def covariate_columns(name: str, cells: Sequence[str]) -> Values:
    """Make columns of a covariate: the ranks of numbers, else whether a case is of each kind.

    Raises
    ------
    DataError
        Every case is a kind of its own.
    """
    numbers = np.array([number_of(cell) for cell in cells])
    if np.isfinite(numbers).all():
        return rank_residuals(numbers, np.empty((len(cells), 0)))[:, np.newaxis]
    kinds = sorted(set(cells))
    if len(kinds) > max(2, len(cells) // 2):
        raise DataError(f"covariate {name}: is neither a number nor a few kinds ({kinds[0]}, ...)")
    return np.array([[float(cell == kind) for kind in kinds[1:]] for cell in cells])


def _outcome(path: Path, column: str, cells: Sequence[str]) -> tuple[tuple[str, ...], Values]:
    """Give each case the number of its group, or the number that it has."""
    if len(cells) < LEAST_CASES:
        raise DataError(
            f"{path}, column {column}: {len(cells)} cases are too few; at least {LEAST_CASES} are "
            "needed"
        )
    if is_numeric(cells):
        return (), np.array([number_of(cell) for cell in cells])
    groups = tuple(sorted(set(cells)))
    if len(groups) == 1:
        raise DataError(
            f"{path}, column {column}: all cases are {groups[0]}; two groups are needed"
        )
    if len(groups) > MOST_GROUPS:
        raise DataError(
            f"{path}, column {column}: holds {len(groups)} groups ({groups[0]}, {groups[1]}, ...); "
            f"at most {MOST_GROUPS} are compared, or numbers alone"
        )
    for group in groups:
        count = cells.count(group)
        if count < LEAST_IN_GROUP:
            raise DataError(
                f"{path}, column {column}: group {group} has {count} of the cases, and at least "
                f"{LEAST_IN_GROUP} are needed; write n/a to leave them out"
            )
    return groups, np.array([float(groups.index(cell)) for cell in cells])


def _tested(measured: Measured, measure: str, cases: Cases) -> Tested | None:
    """Test one measure over the cases that have it; None where these are too few."""
    values = np.array([measured.cases[name][measure] for name in cases.names])
    there = np.isfinite(values)
    values, outcome, design = values[there], cases.outcome[there], cases.design[there]
    members = [outcome == number for number in range(len(cases.groups))]
    if len(values) < LEAST_CASES or any(each.sum() < LEAST_IN_GROUP for each in members):
        return None
    left = rank_residuals(values, design)
    described = [values[each] for each in members] or [values]
    medians = tuple(Span(float(np.median(part)), *median_interval(part)) for part in described)
    row = Tested(
        measure=measure,
        unit=unit_of(measure),
        values=values,
        outcome=outcome,
        medians=medians,
        counts=tuple(len(part) for part in described),
        statistic=math.nan,
        p=math.nan,
    )
    if not cases.groups:
        others = rank_residuals(outcome, design)
        rho, p = rank_correlation(left, others, degrees_taken(design))
        return replace(row, statistic=rho, p=p, rho=Span(rho, *correlation_interval(left, others)))
    parts = [left[each] for each in members]
    statistic, p = group_test(parts)
    area = Span()
    if len(parts) == 2:
        area = Span(auroc(*parts), *auroc_interval(*parts))
    return replace(row, statistic=statistic, p=p, area=area)


def _twice(names: Sequence[str]) -> tuple[str, ...]:
    """Say which participants are in more than once."""
    people = [name.split("_")[0] for name in names if name.startswith("sub-")]
    several = sorted({person for person in people if people.count(person) > 1})
    if not several:
        return ()
    return (
        f"more than one session is counted of {', '.join(several)}: tests take them for different "
        "people",
    )
