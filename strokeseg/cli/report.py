"""`strokeseg report`: pages to look through a cohort in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from strokeseg.cli import arguments as a
from strokeseg.cli.show.lines import say, show_facts, tell_damaged
from strokeseg.phrases import counted


def report(
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="Where `strokeseg batch` put its results.")
    ],
    *,
    title: Annotated[
        str | None, typer.Option(help="Heading of the pages; else the folder's name.")
    ] = None,
    viewer_mb: Annotated[
        float,
        typer.Option(
            "--viewer-mb",
            help="Largest packed size of one volume in the viewer; larger ones are shown coarser. "
            "0 leaves the viewer out.",
        ),
    ] = 4.0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make unchanged cases anew too.")] = False,
    threads: a.Threads = None,
    quiet: a.Quiet = False,
    debug: a.Debug = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Make OUTPUT/report/index.html: the cohort as pages that open from disk, without a network.

    A table that sorts and filters, and a page per case with a viewer. Running it again keeps the
    reviews that the browser holds.
    """
    from strokeseg.machine import at_most
    from strokeseg.report.building import build_report

    def tell(done: int, total: int) -> None:
        step = max(1, total // 10)
        if not quiet and (done % step == 0 or done == total):
            say(f"{done} of {counted(total, 'case')}")

    with at_most(threads):
        built = build_report(output, title=title, viewer_mb=viewer_mb, fresh=fresh, on_case=tell)
    if not quiet:
        kept = f" ({built.kept} unchanged)" if built.kept else ""
        show_facts(
            {
                "cases": f"{built.cases}{kept}",
                "failed": str(built.failed),
                "open": str(built.index.resolve()),
            }
        )
    tell_damaged(built.damaged.items())
