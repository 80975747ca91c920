"""The contrasts that have a name of their own, and their order."""

from collections.abc import Mapping

import numpy as np

from strokeseg.errors import UsageError

MODALITIES = ("t1", "flair", "t2", "dwi", "adc", "pd", "ct")


def check_named(images: object) -> None:
    """Check that scans are given by their contrasts: {"t1": ..., "flair": ...}.

    Raises
    ------
    UsageError
        They are one scan without its contrast, or anything else that no name is given to, or a
        value can be no scan.
    """
    example = 'give each scan by its contrast, as in predict({"t1": "a.nii", "flair": "b.nii"})'
    if not isinstance(images, Mapping):
        raise UsageError(f"scans are of type {type(images).__name__}: {example}")
    for name, source in images.items():
        if not isinstance(name, str):
            raise UsageError(f"a contrast is {name!r}: {example}")
        if source is None:
            raise UsageError(
                f"{name} is None: give a path, a nibabel image, or a pair (array, affine)"
            )
        if isinstance(source, np.ndarray):
            raise UsageError(
                f"{name} is an array {source.shape} without a place: give (array, affine), affine "
                "(4, 4) from voxel to RAS+ mm"
            )


def order_modalities(names: Mapping[str, object]) -> tuple[str, ...]:
    """Sort the given modalities: those of `MODALITIES` in their order, others as they came."""
    known = [name for name in MODALITIES if name in names]
    return (*known, *(name for name in names if name not in MODALITIES))


def choose_reference(names: tuple[str, ...], wanted: str | None) -> str:
    """Give the modality whose grid the results have.

    Raises
    ------
    UsageError
        If no image was given, or the wanted one was not.
    """
    if not names:
        raise UsageError("no image was given: pass at least one, such as --t1 FILE")
    if wanted is None:
        return names[0]
    if wanted not in names:
        raise UsageError(f"--reference {wanted} was not given: choose from {', '.join(names)}")
    return wanted
