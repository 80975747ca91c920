"""What the outputs of a case are called, and which of them are asked for."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from types import MappingProxyType
from typing import Self

from strokeseg.errors import UsageError
from strokeseg.files.safe_names import name_fault
from strokeseg.images.file_names import without_ending

DEFAULT_KINDS = frozenset({"mask", "lesions", "qc"})
UNNAMED_PREFIX = "image"
LABEL = "_label-L"
MNI = "_space-MNI152"
TRANSFORM_ENDING = "_mode-image_xfm.tfm"
FILLED = "_desc-lesionfilled_T1w"
# What `all` does not mean: it needs an extra, or other scans or models than most.
ON_REQUEST = ("mni", "filled", "parts")


@dataclass(frozen=True)
class ResultFile:
    """One file that a case can have.

    Parameters
    ----------
    ending : str
        What stands behind the prefix in its name.
    kind : str
        What it comes with: one of `KINDS`, or the record.
    in_bids : bool
        Whether BIDS has a name for it.
    """

    ending: str
    kind: str
    in_bids: bool = True


# By the field of `OutputNames`, in the order in which they are written. The masks follow BIDS
# derivatives: label-L is a lesion, probseg its probability, dseg the classes.
RESULT_FILES: Mapping[str, ResultFile] = MappingProxyType(
    {
        "mask": ResultFile(f"{LABEL}_mask.nii.gz", "mask"),
        "mask_sidecar": ResultFile(f"{LABEL}_mask.json", "mask"),
        "probability": ResultFile(f"{LABEL}_probseg.nii.gz", "probability"),
        "probability_sidecar": ResultFile(f"{LABEL}_probseg.json", "probability"),
        "tissue": ResultFile("_dseg.nii.gz", "tissue"),
        "tissue_sidecar": ResultFile("_dseg.json", "tissue"),
        "tissue_table": ResultFile("_dseg.tsv", "tissue"),
        "uncertainty": ResultFile("_desc-uncertainty_map.nii.gz", "uncertainty", in_bids=False),
        "uncertainty_sidecar": ResultFile(
            "_desc-uncertainty_map.json", "uncertainty", in_bids=False
        ),
        "lesions": ResultFile(f"{LABEL}_lesions.tsv", "lesions", in_bids=False),
        "parts": ResultFile(f"{LABEL}_dseg.nii.gz", "parts", in_bids=False),
        "parts_sidecar": ResultFile(f"{LABEL}_dseg.json", "parts", in_bids=False),
        "parts_table": ResultFile(f"{LABEL}_dseg.tsv", "parts", in_bids=False),
        "mni_mask": ResultFile(f"{MNI}{LABEL}_mask.nii.gz", "mni"),
        "mni_mask_sidecar": ResultFile(f"{MNI}{LABEL}_mask.json", "mni"),
        "mni_probability": ResultFile(f"{MNI}{LABEL}_probseg.nii.gz", "mni"),
        "mni_probability_sidecar": ResultFile(f"{MNI}{LABEL}_probseg.json", "mni"),
        "mni_transform": ResultFile(
            f"_from-native_to-MNI152{TRANSFORM_ENDING}", "mni", in_bids=False
        ),
        "filled": ResultFile(f"{FILLED}.nii.gz", "filled"),
        "filled_sidecar": ResultFile(f"{FILLED}.json", "filled"),
        "lesion_labels": ResultFile("_desc-lesions_dseg.nii.gz", "lesions"),
        "qc": ResultFile("_qc.png", "qc", in_bids=False),
        "record": ResultFile("_strokeseg.json", "record", in_bids=False),
    }
)
ALL_KINDS = tuple(dict.fromkeys(f.kind for f in RESULT_FILES.values() if f.kind != "record"))
KINDS = tuple(kind for kind in ALL_KINDS if kind not in ON_REQUEST)
RECORD_ENDING = RESULT_FILES["record"].ending
ERROR_ENDING = "_error.json"

_BIDS_SUFFIX = re.compile(
    r"_(t1w?|t2w?|t2star|t2starw|flair|pdw?|pdt2|pdt2w|inplanet1|inplanet2|t1map|t2map|mprage|dwi"
    r"|sbref|trace|tracew|adc|bold|ct)$",
    re.IGNORECASE,
)
_NOT_A_WORD = re.compile(r"[^A-Za-z0-9]")
_DESC_ENTITY = re.compile(r"_desc-[^_]*")


@dataclass(frozen=True)
class OutputNames:
    """The full path of every file that a case can have, see `RESULT_FILES`."""

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
    parts: Path
    parts_sidecar: Path
    parts_table: Path
    mni_mask: Path
    mni_mask_sidecar: Path
    mni_probability: Path
    mni_probability_sidecar: Path
    mni_transform: Path
    filled: Path
    filled_sidecar: Path
    lesion_labels: Path
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
        return cls(**{name: directory / f"{prefix}{f.ending}" for name, f in RESULT_FILES.items()})

    @property
    def directory(self) -> Path:
        """The folder that all of them are in."""
        return self.record.parent

    def transforms(self, moved: Iterable[str], reference: str) -> dict[str, Path]:
        """Name the transforms of scans that were moved onto the reference, by scan."""
        prefix = self.record.name.removesuffix(RECORD_ENDING)
        to = _NOT_A_WORD.sub("", reference)
        return {
            name: self.directory
            / f"{prefix}_from-{_NOT_A_WORD.sub('', name)}_to-{to}{TRANSFORM_ENDING}"
            for name in moved
        }

    def old_transforms(self) -> list[Path]:
        """Find the transforms that are there of this case."""
        prefix = self.record.name.removesuffix(RECORD_ENDING)
        return sorted(self.directory.glob(f"{escape(prefix)}_from-*_to-*{TRANSFORM_ENDING}"))

    def chosen(self, kinds: Iterable[str]) -> tuple[Path, ...]:
        """Return the files that belong to `kinds`, and the record, which is always last."""
        return tuple(self.by_field(kinds).values())

    def by_field(self, kinds: Iterable[str]) -> dict[str, Path]:
        """Give the same files by the names of their fields."""
        wanted = frozenset(kinds) | {"record"}
        return {name: getattr(self, name) for name, f in RESULT_FILES.items() if f.kind in wanted}


def parse_kinds(text: str) -> frozenset[str]:
    """Read the list of `--save`, such as ``mask,lesions`` or ``all``.

    Raises
    ------
    UsageError
        If a kind is not known, or none is given.
    """
    kinds = {kind.strip().lower() for kind in text.split(",")} - {""}
    unknown = sorted(kinds - {*ALL_KINDS, "all"})
    if unknown or not kinds:
        what = f"does not know {', '.join(unknown)}" if unknown else "was given nothing"
        raise UsageError(f"--save {what}: choose from {', '.join(ALL_KINDS)}, or all")
    return frozenset((kinds - {"all"}).union(KINDS)) if "all" in kinds else frozenset(kinds)


def check_kinds(kinds: Iterable[str]) -> frozenset[str]:
    """Check that each of the kinds of results is one, and give them back.

    Raises
    ------
    UsageError
        One is not known, or they are a text, whose letters would be taken for kinds.
    """
    if isinstance(kinds, str):
        raise UsageError(f"kinds is the text {kinds!r}: give a list, such as ['mask', 'qc']")
    chosen = frozenset(kinds)
    unknown = sorted(map(repr, chosen - {*ALL_KINDS}))
    if unknown:
        raise UsageError(f"kinds has {', '.join(unknown)}: choose from {', '.join(ALL_KINDS)}")
    return chosen


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
    ``a.nii`` gives ``a``, a zip of DICOM its name without ``.zip``. An image that is not from a
    file gives ``image``.
    """
    if reference is None:
        return UNNAMED_PREFIX
    stem = without_ending(reference.name).removesuffix(".zip")
    short = _DESC_ENTITY.sub("", _BIDS_SUFFIX.sub("", stem))
    return short.lstrip(".") or stem.lstrip(".") or UNNAMED_PREFIX
