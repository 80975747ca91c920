"""`--save dicom`: the mask as DICOM SEG too, where the scan came as DICOM."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from strokeseg.errors import CannotCreateError, EngineError, UsageError

if TYPE_CHECKING:
    from strokeseg.cohort.cases.case import Case

KIND = "dicom"


def without_dicom(save: str) -> tuple[str, bool]:
    """Take ``dicom`` out of what is to be saved, and tell whether it was in.

    A SEG alone brings the mask along. Nothing stays nothing, for which there is an error.
    """
    kinds = [kind.strip() for kind in save.split(",")]
    kept = [kind for kind in kinds if kind.lower() != KIND]
    wanted = len(kept) < len(kinds)
    if wanted and not any(kept):
        kept = ["mask"]
    return ",".join(kept), wanted


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
    from strokeseg.images.dicom import is_dicom

    check_seg_can_be(anonymise=choice.anonymise)
    if not is_dicom(images[reference]):
        raise UsageError(
            f"--save dicom needs DICOM, and --{reference} {images[reference]} is none; choose "
            "another --reference, or leave it out"
        )
    if target.exists() and not choice.overwrite:
        raise CannotCreateError(f"{target} exists already: pass --overwrite, or another -o")


def check_segs(cases: "Iterable[Case]", reference: str | None, *, anonymise: bool) -> None:
    """Check, before any work, that SEGs of a cohort can be written.

    Raises
    ------
    UsageError
        If no case has DICOM as its reference, or results are to name nobody.
    EngineError
        If highdicom is not installed.
    """
    from strokeseg.results.dicom_seg import dicom_of

    check_seg_can_be(anonymise=anonymise)
    if all(dicom_of(case.images, reference) is None for case in cases):
        raise UsageError("--save dicom needs DICOM, and no case has it as its reference")


def check_seg_can_be(*, anonymise: bool) -> None:
    """Check what does not depend on a case.

    Raises
    ------
    UsageError
        If results are to name nobody.
    EngineError
        If highdicom is not installed.
    """
    from importlib.util import find_spec

    if anonymise:
        raise UsageError("--save dicom names the patient as the source does: leave --anonymise out")
    if find_spec("highdicom") is None:
        raise EngineError("--save dicom needs highdicom: pip install 'strokeseg[dicom]'")
