"""`--save-format`: mask and maps as NRRD or MetaImage, beside the NIfTI files."""

from typing import Annotated

import typer

from strokeseg.cli.arguments import RESULTS

SaveFormat = Annotated[
    str,
    typer.Option(
        "--save-format",
        metavar="FORMAT",
        rich_help_panel=RESULTS,
        help="nrrd or mha: mask and maps as such, too; input: in the reference's own format.",
    ),
]
