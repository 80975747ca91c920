"""What the outputs of a case are called, what they say, and whether they can be written."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from strokeseg.errors import UsageError
from strokeseg.files.safe_names import name_fault
from strokeseg.files.tables import table
from strokeseg.images.file_names import _IMAGE_ENDINGS
from strokeseg.measure.lesions import Lesion

KINDS = ("mask", "probability", "tissue", "uncertainty", "lesions", "qc")
DEFAULT_KINDS = frozenset({"mask", "lesions", "qc"})
UNNAMED_PREFIX = "image"

LESION_COLUMNS = (
    "index",
    "volume_ml",
    "centroid_x_mm",
    "centroid_y_mm",
    "centroid_z_mm",
    "hemisphere",
    "start_i_vox",
    "start_j_vox",
    "start_k_vox",
    "stop_i_vox",
    "stop_j_vox",
    "stop_k_vox",
    "mean_probability",
    "max_probability",
    "surface_area_mm2",
    "touches_border",
)
TISSUE_COLUMNS = ("index", "name", "volume_ml")

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
    stem = _IMAGE_ENDINGS.sub("", reference.name)
    short = _DESC_ENTITY.sub("", _BIDS_SUFFIX.sub("", stem))
    return short.lstrip(".") or stem.lstrip(".") or UNNAMED_PREFIX


def lesion_table(lesions: Iterable[Lesion]) -> str:
    """Return the per-lesion table as TSV; its header alone if there is no lesion."""
    rows = [
        (
            str(lesion.index),
            f"{lesion.volume_ml:.4f}",
            *(f"{value:.2f}" for value in lesion.centroid_mm),
            lesion.hemisphere or "n/a",
            *(str(value) for value in (*lesion.start_vox, *lesion.stop_vox)),
            f"{lesion.mean_probability:.4f}",
            f"{lesion.max_probability:.4f}",
            f"{lesion.surface_area_mm2:.2f}",
            "true" if lesion.touches_border else "false",
        )
        for lesion in lesions
    ]
    return table(LESION_COLUMNS, rows)


def tissue_table(class_names: Sequence[str], volumes_ml: Sequence[float]) -> str:
    """Return the lookup table of the classes as TSV: index, name and volume of each."""
    rows = [
        (str(index), name, f"{volume:.4f}")
        for index, (name, volume) in enumerate(zip(class_names, volumes_ml, strict=True))
    ]
    return table(TISSUE_COLUMNS, rows)


def mask_sidecar(sources: Sequence[str], reference: str, model: str) -> Mapping[str, Any]:
    """Return the JSON beside the mask: the inputs, the one whose grid it is on, the model."""
    about = f"Stroke lesion, 1 inside and 0 outside, as found by the model {model}"
    return {"Type": "Lesion", "Manual": False} | _about_image(about, sources, reference)


def probability_sidecar(sources: Sequence[str], reference: str, model: str) -> Mapping[str, Any]:
    """Return the JSON beside the probability: the inputs, whose grid it is on, the model."""
    about = f"Probability of a stroke lesion, 0 to 1, not masked by the brain, by the model {model}"
    return {"Manual": False} | _about_image(about, sources, reference)


def tissue_sidecar(sources: Sequence[str], reference: str, model: str) -> Mapping[str, Any]:
    """Return the JSON beside the classes; it describes the columns of their table too."""
    about = f"Tissues and stroke lesion, as found by the model {model}; the table names the classes"
    columns = {"volume_ml": {"Description": "Volume of the class", "Units": "mL"}}
    return {"Manual": False, **columns} | _about_image(about, sources, reference)


def uncertainty_sidecar(
    sources: Sequence[str], reference: str, flip_count: int
) -> Mapping[str, Any]:
    """Return the JSON beside the uncertainty image, which says what its two volumes are."""
    about = "Uncertainty of the segmentation, two volumes along the fourth axis"
    return {
        "Volumes": [
            {
                "Index": 0,
                "Name": "entropy",
                "Units": "nat",
                "Description": "Entropy of the mean posterior over the classes",
            },
            {
                "Index": 1,
                "Name": "standard deviation",
                "Units": "probability",
                "Description": "Standard deviation of the lesion probability over the flips",
                "Flips": flip_count,
            },
        ],
    } | _about_image(about, sources, reference)


def _about_image(about: str, sources: Sequence[str], reference: str) -> dict[str, Any]:
    """Return what BIDS wants to know of every image that is made from others."""
    return {
        "Description": about,
        "Sources": list(sources),
        "SpatialReference": reference,
    }
