"""`strokeseg collect`: the tables of a cohort, made anew from what lies in its folder."""

from pathlib import Path
from typing import Annotated

import typer

from strokeseg.cli import arguments as a
from strokeseg.cli.show.lines import show_facts, tell_damaged
from strokeseg.phrases import counted


def collect(
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT", help="Where `strokeseg batch` put its results.", show_default=False
        ),
    ],
    *,
    quiet: a.Quiet = False,
    debug: a.Debug = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Write cohort.tsv and lesions.tsv from the cases' own records.

    For batches that ran in parts (--shard) or were stopped; every other batch does so at its end. A
    case whose record is damaged counts as failed and is named; the exit code is 1 then.
    """
    write_and_show(output, quiet=quiet, may_be_empty=False)


def write_and_show(
    output: Path, *, quiet: bool, anonymise: bool = False, may_be_empty: bool = True
) -> None:
    """Write the tables of a cohort and say what is in them.

    Raises
    ------
    typer.Exit
        With 1, if records are damaged.
    """
    import secrets

    from strokeseg.cohort.collect import collect as collect_tables

    run = secrets.token_hex(8)
    tables = collect_tables(output, run, anonymous=anonymise, may_be_empty=may_be_empty)
    cohort, lesions = tables.cohort, tables.lesions
    if anonymise:
        cohort, lesions = Path(cohort.name), Path(lesions.name)
    if not quiet:
        show_facts(
            {
                "done": str(tables.done),
                "failed": str(tables.failed),
                "with warnings": str(tables.warned),
                "table": str(cohort),
                "lesions": f"{lesions} ({counted(tables.lesion_count, 'lesion')})",
            }
        )
    tell_damaged(tables.damaged.items())
