"""`strokeseg overlap`: where the lesions of a cohort lie, in one image and one picture."""

from pathlib import Path
from typing import Annotated

import typer

from strokeseg.cli import arguments as a
from strokeseg.cli.show.lines import say_warning, show_facts, tell_damaged
from strokeseg.errors import CannotCreateError, UsageError

SPACE = "Space of the map"


def overlap(
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT", help="Where `strokeseg batch` put its results.", show_default=False
        ),
    ],
    *,
    directory: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Else OUTPUT/overlap.", show_default=False
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=SPACE,
            help="All masks are in this space as they are, such as MNI152NLin6Asym.",
        ),
    ] = None,
    align: Annotated[
        bool,
        typer.Option(
            "--align",
            rich_help_panel=SPACE,
            help="Bring every case to MNI152 by its tissue map, wherever it seems to be.",
        ),
    ] = False,
    voxel_size_mm: Annotated[
        int,
        typer.Option(
            "--voxel-size-mm", min=1, max=2, rich_help_panel=SPACE, help="Of an MNI152 map."
        ),
    ] = 1,
    background: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A brain in the space of the map to draw on; else one is made of the cases.",
            show_default=False,
        ),
    ] = None,
    quiet: a.Quiet = False,
    debug: a.Debug = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Count in how many cases each place of the brain is lesion.

    Masks that share a space (one grid, a space- entity, MNI152 in the header) are summed as they
    are. Others are brought to MNI152 by an affine from their tissue map, so save it: strokeseg
    batch ... --save mask,tissue. overlap.json says how each case came to its place.
    """
    from strokeseg.lesion_map.common_space import SpaceChoice
    from strokeseg.lesion_map.mapping import NAMES, RECORD_NAME, make_map, save_map
    from strokeseg.results.archive import OVERLAP_FOLDER, some_filed_cases

    if space is not None and align:
        raise UsageError("--space says where the masks are, --align says to move them: give one")
    target = directory or output / OVERLAP_FOLDER
    strange = [name for name in NAMES if (target / name).exists()]
    if strange and RECORD_NAME not in strange:
        raise CannotCreateError(
            f"{target / strange[0]} is there and is no lesion map of strokeseg: choose another -o"
        )
    wish = SpaceChoice(space, align, float(voxel_size_mm))
    cases = some_filed_cases(output)
    made = make_map(cases, wish, background=background)
    written = save_map(made, target)
    for name, reason in made.skipped.items():
        say_warning(f"{name} is not on the map: {reason}")
    for member in made.members:
        for doubt in member.doubts:
            say_warning(f"{member.placed.case.name}: {doubt}")
    for doubt in made.doubts:
        say_warning(doubt)
    if not quiet:
        most, members = int(made.count.max()), len(made.members)
        show_facts(
            {
                "cases": f"{members}" + (f", {len(made.skipped)} left out" if made.skipped else ""),
                "space": made.space,
                "most in one place": f"{most} ({100 * most / members:.0f} %)",
                "written": ", ".join(path.name for path in written),
                "in": str(target.resolve()),
            }
        )
    tell_damaged((case.name, case.damage) for case in cases if case.damage)
