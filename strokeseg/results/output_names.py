"""What the outputs of a case are called, and which of them are asked for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from strokeseg.errors import UsageError
from strokeseg.files.safe_names import name_fault
from strokeseg.images.file_names import without_ending

KINDS = ("mask", "probability", "tissue", "uncertainty", "lesions", "qc")
DEFAULT_KINDS = frozenset({"mask", "lesions", "qc"})
UNNAMED_PREFIX = "image"

_BIDS_SUFFIX = re.compile(
    r"_(t1w?|t2w?|t2star|t2starw|flair|pdw?|pdt2|pdt2w|inplanet1|inplanet2|t1map|t2map|mprage|dwi"
    r"|sbref|trace|tracew|adc|bold|ct)$",
    re.IGNORECASE,
)
_DESC_ENTITY = re.compile(r"_desc-[^_]*")


@dataclass(frozen=True)
class OutputNames:
    """The full path of every file that a case can have.

    The masks follow BIDS derivatives: ``label-L`` is a lesion, ``probseg`` its probability,
    ``dseg`` the classes.
    """

    mask: Path
    mask_sidecar: Path
    probability: Path
    probability_sidecar: Path
    tissue: Path
    tissue_sidecar: Path
    tissue_table: Path
    uncertainty: Path
    uncertainty_sidecar: Path
    lesions: Path
    qc: Path
    record: Path

    @classmethod
    def for_prefix(cls, directory: Path, prefix: str) -> Self:
        """Name the files of one case.

        Raises
        ------
        UsageError
            If `prefix` is empty, hidden, or holds a folder.
        """
        if not prefix or prefix.startswith(".") or re.search(r"[/\\\0]", prefix):
            raise UsageError(
                f"{prefix!r} is no prefix for file names: give a name without a folder, as sub-01"
            )
        return cls(
            mask=directory / f"{prefix}_label-L_mask.nii.gz",
            mask_sidecar=directory / f"{prefix}_label-L_mask.json",
            probability=directory / f"{prefix}_label-L_probseg.nii.gz",
            probability_sidecar=directory / f"{prefix}_label-L_probseg.json",
            tissue=directory / f"{prefix}_dseg.nii.gz",
            tissue_sidecar=directory / f"{prefix}_dseg.json",
            tissue_table=directory / f"{prefix}_dseg.tsv",
            uncertainty=directory / f"{prefix}_desc-uncertainty_map.nii.gz",
            uncertainty_sidecar=directory / f"{prefix}_desc-uncertainty_map.json",
            lesions=directory / f"{prefix}_label-L_lesions.tsv",
            qc=directory / f"{prefix}_qc.png",
            record=directory / f"{prefix}_strokeseg.json",
        )

    @property
    def directory(self) -> Path:
        """The folder that all of them are in."""
        return self.record.parent

    def chosen(self, kinds: Iterable[str]) -> tuple[Path, ...]:
        """Return the files that belong to `kinds`, and the record, which is always last."""
        wanted = frozenset(kinds) | {"record"}
        return tuple(
            getattr(self, field.name)
            for field in fields(self)
            if field.name.removesuffix("_sidecar").removesuffix("_table") in wanted
        )


def parse_kinds(text: str) -> frozenset[str]:
    """Read the list of `--save`, such as ``mask,lesions`` or ``all``.

    Raises
    ------
    UsageError
        If a kind is not known, or none is given.
    """
    kinds = {kind.strip().lower() for kind in text.split(",")} - {""}
    unknown = sorted(kinds - {*KINDS, "all"})
    if unknown or not kinds:
        what = f"does not know {', '.join(unknown)}" if unknown else "was given nothing"
        raise UsageError(f"--save {what}: choose from {', '.join(KINDS)}, or all")
    return frozenset(KINDS) if "all" in kinds else frozenset(kinds)


def check_prefix(prefix: str) -> str:
    """Check that a prefix makes good names of files on every disk, and give it back.

    Raises
    ------
    UsageError
        It does not, see `strokeseg.files.safe_names`.
    """
    fault = name_fault(prefix)
    if fault:
        raise UsageError(
            f"{prefix!a} is no prefix for file names, it {fault}: give --prefix sub-01"
        )
    return prefix


def prefix_of(reference: Path | None) -> str:
    """Return the prefix of the outputs for a reference input.

    The file name without its ending, without BIDS's suffix for the modality and without
    ``desc-``, which the outputs have of their own: ``sub-01_desc-x_T1w.nii.gz`` gives ``sub-01``,
    ``a.nii`` gives ``a``. An image that is not from a file gives ``image``.
    """
    if reference is None:
        return UNNAMED_PREFIX
    stem = without_ending(reference.name)
    short = _DESC_ENTITY.sub("", _BIDS_SUFFIX.sub("", stem))
    return short.lstrip(".") or stem.lstrip(".") or UNNAMED_PREFIX
