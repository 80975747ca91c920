"""Scans that a person names without saying what they are: told by their names, as in a batch."""

from collections.abc import Iterable
from pathlib import Path

from strokeseg.cohort.cases.image_names import read_name
from strokeseg.errors import UsageError
from strokeseg.images.modalities import MODALITIES

_CHOICES = ", ".join(f"--{name}" for name in MODALITIES)


def told_scans(paths: Iterable[Path], *, averages: bool = False) -> dict[str, tuple[Path, ...]]:
    """Tell what each scan shows from its name, or else its folder's.

    Those of one contrast are several runs, where their mean is wanted.

    Raises
    ------
    UsageError
        A name does not say it, or says that it is no scan, or two are of one contrast; the message
        shows the choices.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for path in paths:
        modality = _modality_of(path)
        if modality in found and not averages:
            raise UsageError(
                f"{found[modality][0]} and {path} both seem to be {modality}: give one of them, or "
                f"the other by what it is ({_CHOICES} or --image NAME={path})"
            )
        found[modality] = (*found.get(modality, ()), path)
    return found


def _modality_of(path: Path) -> str:
    own = read_name(path.name)
    if own.role == "unknown" and path.parent.name:
        around = read_name(path.parent.name)
        own = around if around.role == "scan" else own
    if own.role == "scan" and own.modality is not None:
        return own.modality
    if own.role in ("mask", "derived"):
        what = "looks like a mask, or like something made from a scan"
    else:
        what = "does not say in its name what it shows"
    raise UsageError(
        f"{path} {what}: give it by its contrast ({_CHOICES} FILE), or as --image NAME={path}"
    )
