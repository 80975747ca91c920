"""`--save-format`: mask and maps as NRRD or MetaImage, beside the NIfTI files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strokeseg.cli.arguments import RESULTS
from strokeseg.errors import CannotCreateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from strokeseg.arrays import AnyArray
    from strokeseg.results.output_names import OutputNames
    from strokeseg.results.result import Result

SaveFormat = Annotated[
    str,
    typer.Option(
        "--save-format",
        metavar="nifti|nrrd|mha|input",
        rich_help_panel=RESULTS,
        help="Also write mask and maps as NRRD or MetaImage, or in the reference's own format.",
    ),
]
NIFTI, INPUT = "nifti", "input"
# What is written for each ending of an input; pairs of header and data become one file.
_WRITTEN = {".nrrd": ".nrrd", ".nhdr": ".nrrd", ".mha": ".mha", ".mhd": ".mha"}
_PACKED = ".nii.gz"
_MAPS = ("mask", "probability", "tissue", "parts", "lesion_labels", "filled")


def wanted_ending(given: str, reference: Path) -> str | None:
    """Give the ending of the files to write beside NIfTI; None for none.

    Raises
    ------
    UsageError
        If there is no such format.
    EngineError
        If SimpleITK is not installed.
    """
    from strokeseg.space.registration import simpleitk

    if given not in (NIFTI, INPUT, "nrrd", "mha"):
        raise UsageError(f"--save-format {given}: give nifti, nrrd, mha or input")
    if given == NIFTI:
        return None
    ending = _WRITTEN.get(reference.suffix.lower()) if given == INPUT else f".{given}"
    if ending is not None:
        simpleitk()
    return ending


def paths_beside(names: "OutputNames", kinds: "Iterable[str]", ending: str) -> dict[str, Path]:
    """Name the files to write beside NIfTI, by the fields of `OutputNames`."""
    chosen = names.by_field(kinds)
    return {
        name: chosen[name].with_name(chosen[name].name.removesuffix(_PACKED) + ending)
        for name in _MAPS
        if name in chosen
    }


def check_free(paths: "Iterable[Path]", *, overwrite: bool) -> None:
    """Check that files can be written.

    Raises
    ------
    CannotCreateError
        If one is there and may not be replaced.
    """
    for path in paths:
        if path.exists() and not overwrite:
            raise CannotCreateError(f"{path} exists already: pass --overwrite, or another -o")


def save_beside(result: "Result", paths: "dict[str, Path]") -> tuple[Path, ...]:
    """Write mask and maps of a result; each under its name only when it is whole."""
    from strokeseg.images.itk import write_itk
    from strokeseg.measure.lesions import label_lesions

    written = []
    for name, path in paths.items():
        data: AnyArray | None
        if name == "filled":
            data = None if result.filled is None else result.filled.image
        elif name == "parts":
            data = None if result.parts is None else result.parts.labels
        else:
            data = label_lesions(result.mask) if name == "lesion_labels" else getattr(result, name)
        if data is None:
            continue
        beside = path.with_name(f".tmp-{path.name}")
        try:
            write_itk(beside, data, result.grid)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        written.append(path)
    return tuple(written)
