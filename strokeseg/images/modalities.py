"""The contrasts that have a name of their own, and their order."""

from collections.abc import Mapping

from strokeseg.errors import UsageError

MODALITIES = ("t1", "flair", "t2", "dwi", "adc", "pd", "ct")


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
