"""`strokeseg compare`: do lesions and tissues of a cohort go with what is known of its people."""

from pathlib import Path
from typing import Annotated

import typer

from strokeseg.cli import arguments as a
from strokeseg.cli.show.lines import say, say_warning, show_table, show_text
from strokeseg.errors import CannotCreateError, UsageError
from strokeseg.phrases import counted

MOST_LINES = 10


def compare(
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT", help="Where `strokeseg batch` put its results.", show_default=False
        ),
    ],
    *,
    by: Annotated[
        str,
        typer.Option(
            metavar="TSV:COLUMN",
            show_default=False,
            help="A table with a row per participant_id or case, and its column to compare by: "
            "groups, or numbers.",
        ),
    ],
    covariates: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C",
            show_default=False,
            help="Columns to regress out of the ranks; brain_volume_ml is the cohort's own.",
        ),
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Else OUTPUT/compare.", show_default=False
        ),
    ] = None,
    volume: Annotated[
        bool,
        typer.Option(
            "--volume/--no-volume",
            help="Whether the map of voxels regresses the lesion's volume out.",
        ),
    ] = True,
    wide: Annotated[
        bool,
        typer.Option("--wide", help="Show every column, however narrow the terminal is."),
    ] = False,
    quiet: a.Quiet = False,
    debug: a.Debug = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Compare groups of a cohort, or correlate with a number, measure by measure and by voxel.

    Two groups by Wilcoxon's rank sum, more by Kruskal-Wallis, numbers by Spearman; p is corrected
    by Holm's method. Where masks can be brought to MNI152, a lesion-symptom map is made, too.
    """
    from strokeseg.groups.comparing import compare_groups
    from strokeseg.groups.participants import split_by
    from strokeseg.groups.tables import INTERVALS, shown_rows
    from strokeseg.groups.writing import NAMES, RECORD_NAME, map_of, save_comparison

    table, column = split_by(by)
    names = () if covariates is None else tuple(each.strip() for each in covariates.split(","))
    if not all(names):
        raise UsageError(f"--covariates {covariates}: name columns, with commas between them")
    target = directory or output / "compare"
    strange = [name for name in NAMES if (target / name).exists()]
    if strange and RECORD_NAME not in strange:
        raise CannotCreateError(
            f"{target / strange[0]} is there and is no comparison of strokeseg: choose another -o"
        )
    made = compare_groups(output, table, column, names)
    left_out = list(made.cases.left_out.items())
    for case, why in left_out[:MOST_LINES]:
        say_warning(f"{case} is left out: {why}")
    if len(left_out) > MOST_LINES:
        say_warning(f"and {len(left_out) - MOST_LINES} more are left out")
    for doubt in made.cases.doubts:
        say_warning(doubt)
    found, why_none = map_of(made, output, volume=volume)
    if found is not None and found.left_out:
        count = counted(len(found.left_out), "case")
        case, why = next(iter(found.left_out.items()))
        say_warning(f"{count} not on the map of voxels; {case}: {why}")
    written = save_comparison(made, found, target, {"output": str(output), "table": str(table)})
    if quiet:
        return
    dropped = show_table(*shown_rows(made), title=f"by {column}: {made.test}", wide=wide)
    show_text(f"below medians, AUROC and rho: {INTERVALS}; below p: Holm")
    if found is None:
        say(f"no map of voxels: {why_none}")
    else:
        best = found.peaks[0]
        x, y, z = best.place_mm
        show_text(
            f"voxels: {found.voxels} in {found.cases} cases, |t| > {found.threshold:.2f} is "
            f"family-wise p < 0.05;\nstrongest t {best.t:.2f} at {x:.0f}, {y:.0f}, {z:.0f} mm "
            f"(MNI152), p {best.p_fwe:.3f}"
        )
    if dropped:
        say(f"no room for {', '.join(dropped)}: --wide shows them")
    for path in written:
        say(f"written: {path}")
