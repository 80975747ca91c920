"""Mask and maps as NRRD or MetaImage, beside the NIfTI files."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from strokeseg.arrays import AnyArray
from strokeseg.errors import EngineError, UsageError
from strokeseg.images.itk import write_itk
from strokeseg.results.output_names import OutputNames
from strokeseg.space.grid import Grid

NIFTI, INPUT = "nifti", "input"
ENDINGS = (".nrrd", ".mha")
# What is written for each ending of an input; pairs of header and data become one file.
_WRITTEN = {".nrrd": ".nrrd", ".nhdr": ".nrrd", ".mha": ".mha", ".mhd": ".mha"}
_PACKED = ".nii.gz"
# By the fields of `OutputNames`: those that lie on the reference's own grid.
_MAPS = ("mask", "probability", "tissue", "parts", "lesion_labels", "filled")


def check_format(given: str) -> None:
    """Check that a format can be written.

    Raises
    ------
    UsageError
        There is no such format.
    EngineError
        SimpleITK is not installed.
    """
    from strokeseg.space.registration import simpleitk

    if given not in (NIFTI, INPUT, *(ending[1:] for ending in ENDINGS)):
        raise UsageError(f"--save-format {given}: give nifti, nrrd, mha or input")
    if given not in (NIFTI, INPUT):
        try:
            simpleitk()
        except EngineError as error:
            raise EngineError(
                f"--save-format {given} needs SimpleITK: pip install 'strokeseg[itk]'"
            ) from error


def endings_of(given: str, reference: Path | None) -> tuple[str, ...]:
    """Give the endings of the files to write beside NIfTI, for a format and a reference."""
    if given == INPUT:
        ending = None if reference is None else _WRITTEN.get(reference.suffix.lower())
        return () if ending is None else (ending,)
    return () if given == NIFTI else (f".{given}",)


def other_names(
    names: OutputNames, kinds: Iterable[str], endings: Sequence[str]
) -> dict[Path, str]:
    """Name the files to write beside NIfTI, each with the field of `OutputNames` that it is of."""
    chosen = names.by_field(kinds)
    return {
        path.with_name(path.name.removesuffix(_PACKED) + ending): name
        for name, path in chosen.items()
        if name in _MAPS
        for ending in endings
    }


def other_writers(
    wanted: Mapping[Path, str], maps: Callable[[], Mapping[str, AnyArray | None]], grid: Grid
) -> dict[str, Callable[[Path], None]]:
    """Give what writes each of the files, by its name; a map that was not made has none."""
    made = maps() if wanted else {}
    return {
        path.name: partial(write_itk, data=data, grid=grid)
        for path, name in wanted.items()
        if (data := made.get(name)) is not None
    }
