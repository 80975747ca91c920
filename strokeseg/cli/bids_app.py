"""The options that every BIDS App has, for `strokeseg bids`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from strokeseg._version import __version__

PANEL = "As BIDS Apps have it"
OPTIONS = ("--n-cpus", "--mem-mb", "--work-dir", "--skip-bids-validation")

CpuCount = Annotated[
    int | None,
    typer.Option("--n-cpus", "--nprocs", min=1, rich_help_panel=PANEL, help="As --threads."),
]
MemoryMb = Annotated[
    int | None,
    typer.Option("--mem-mb", min=1, rich_help_panel=PANEL, help="As --max-memory, in MB (10^6)."),
]
WorkDir = Annotated[
    Path | None,
    typer.Option(
        "-w",
        "--work-dir",
        metavar="DIR",
        rich_help_panel=PANEL,
        help="Taken and not needed: nothing but results is written.",
    ),
]
SkipValidation = Annotated[
    bool,
    typer.Option(
        "--skip-bids-validation",
        rich_help_panel=PANEL,
        help="Taken and not needed: what is used of the dataset is checked as it is read.",
    ),
]


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"strokeseg {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version",
        is_eager=True,
        callback=_show_version,
        rich_help_panel=PANEL,
        help="Print name and version.",
    ),
]


def with_hyphens(arguments: Sequence[str]) -> list[str]:
    """Give the options of BIDS Apps with hyphens; ``--n_cpus`` and others have underscores, too."""
    turned = []
    for word in arguments:
        name, equals, value = word.partition("=")
        hyphened = name.replace("_", "-")
        turned.append(hyphened + equals + value if hyphened in OPTIONS else word)
    return turned
