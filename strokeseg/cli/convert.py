"""`strokeseg convert`: DICOM to NIfTI, with a table of the series."""

from pathlib import Path
from typing import Annotated

import typer

from strokeseg.cli import arguments as a
from strokeseg.cli.show.lines import say, show_table
from strokeseg.errors import CannotCreateError
from strokeseg.phrases import counted

_COLUMNS = ("number", "description", "contrast", "shape", "file")


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="DICOM", help="A folder, a zip or a file, of any series.", show_default=False
        ),
    ],
    *,
    output: a.Output = Path(),
    quiet: a.Quiet = False,
    debug: a.Debug = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Convert DICOM to NIfTI by dcm2niix; names and dates of patients are left out.

    Of a scan whose gantry was tilted or whose slices are uneven, only the corrected one is kept.
    """
    from shutil import move
    from tempfile import TemporaryDirectory

    from strokeseg.files.targets import check_outputs
    from strokeseg.images.dicom import convert_dicom

    check_outputs([output / ".new"], [], overwrite=False)
    with TemporaryDirectory(prefix="strokeseg-nifti-") as private:
        series = convert_dicom(source, Path(private))
        kept = {one.path for one in series}
        files = [
            file
            for file in sorted(Path(private).iterdir())
            if file in kept or (file.suffix in (".json", ".bval", ".bvec"))
        ]
        there = [file.name for file in files if (output / file.name).exists()]
        if there:
            raise CannotCreateError(f"{output / there[0]} exists already: choose another -o")
        output.mkdir(parents=True, exist_ok=True)
        for file in files:
            move(file, output / file.name)
    if not quiet:
        show_table(_COLUMNS, [(*one.row(), one.path.name) for one in series])
        say(f"{counted(len(series), 'series', 'series')} in {output}")
