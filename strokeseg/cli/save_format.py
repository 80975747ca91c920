"""`--save-format`: mask and maps as NRRD or MetaImage, beside the NIfTI files."""

from typing import Annotated

import typer

from strokeseg.cli.arguments import RESULTS

SaveFormat = Annotated[
    str,
    typer.Option(
        "--save-format",
        metavar="nifti|nrrd|mha|input",
        rich_help_panel=RESULTS,
        help="Also write mask and maps as NRRD or MetaImage, or in the reference's own format.",
    ),
]
