"""`--runs`: of several runs of a contrast, the first or their mean."""

from typing import Annotated

import typer

from strokeseg.cli.arguments import CASES, SCANS
from strokeseg.errors import UsageError

Runs = Annotated[
    str,
    typer.Option(
        "--runs",
        metavar="first|average",
        rich_help_panel=CASES,
        help="Of several runs of a contrast: the first, or their registered mean.",
    ),
]


RunsOfOne = Annotated[
    str,
    typer.Option(
        "--runs",
        metavar="average",
        rich_help_panel=SCANS,
        show_default=False,
        help="A contrast that is given several times (--t1 A --t1 B) is several runs: take their "
        "registered mean, on the grid of the first.",
    ),
]


def wants_mean(runs: str) -> bool:
    """Read ``--runs``; the mean needs SimpleITK.

    Raises
    ------
    UsageError
        If it is neither first nor average.
    EngineError
        If SimpleITK is not installed.
    """
    if runs not in ("first", "average"):
        raise UsageError(f"--runs {runs}: give first or average")
    if runs == "average":
        from strokeseg.space.registration import simpleitk

        simpleitk()
    return runs == "average"
