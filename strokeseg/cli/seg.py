"""`--save dicom`: the mask as DICOM SEG too, where the scan came as DICOM."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from strokeseg.errors import CannotCreateError, EngineError, UsageError

if TYPE_CHECKING:
    from strokeseg.results.result import Result

KIND = "dicom"


def without_dicom(save: str) -> tuple[str, bool]:
    """Take ``dicom`` out of what is to be saved, and tell whether it was in."""
    kinds = [kind.strip() for kind in save.split(",")]
    kept = [kind for kind in kinds if kind.lower() != KIND]
    return ",".join(kept) or "mask", len(kept) < len(kinds)


class Choice(Protocol):
    """What of an output a SEG depends on."""

    @property
    def overwrite(self) -> bool:
        """Whether files may be replaced."""

    @property
    def anonymise(self) -> bool:
        """Whether results are to name nobody."""


def check_seg(images: Mapping[str, Path], reference: str, target: Path, choice: Choice) -> None:
    """Check, before any work, that a SEG can be written.

    Raises
    ------
    UsageError
        If the reference is no DICOM, or results are to name nobody.
    CannotCreateError
        If the file is there and may not be replaced.
    EngineError
        If highdicom is not installed.
    """
    from importlib.util import find_spec

    from strokeseg.images.dicom import is_dicom

    if choice.anonymise:
        raise UsageError("--save dicom names the patient as the source does: leave --anonymise out")
    if not is_dicom(images[reference]):
        raise UsageError(
            f"--save dicom needs DICOM, and --{reference} {images[reference]} is none; choose "
            "another --reference, or leave it out"
        )
    if find_spec("highdicom") is None:
        raise EngineError("--save dicom needs highdicom: pip install 'strokeseg[dicom]'")
    if target.exists() and not choice.overwrite:
        raise CannotCreateError(f"{target} exists already: pass --overwrite, or another -o")


def save_seg(result: "Result", target: Path, source: Path) -> Path:
    """Write the mask of a result as DICOM SEG; under its name only when it is whole."""
    from strokeseg.results.dicom_seg import write_seg
    from strokeseg.results.record import Record

    models = [str(model.name) for model in Record.read(result.record).models]
    beside = target.with_name(f".{target.name}.tmp")
    try:
        write_seg(beside, result.mask, result.grid, source, models)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    return target
