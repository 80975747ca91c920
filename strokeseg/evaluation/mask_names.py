"""What the name of a file tells: whether it is a lesion mask, and whose.

BIDS names are pairs ``key-value`` joined by ``_``. Which person, session and run a file belongs to
makes its case; how a mask was made (label, desc) and where it lies (space, res, den) do not.
"""

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType

from strokeseg.images.file_names import image_stem, is_header_name

# What pairs two files: where both names have it, it must be equal.
IDENTITY = ("sub", "ses", "run")
_FORM = ("label", "desc", "space", "res", "den")

_ENTITY = re.compile(r"([a-z]+)-([a-z0-9+.]+)", re.IGNORECASE)
_BREAK = re.compile(r"[\s._-]+")
_SUFFIX = re.compile(
    r"(^|[\s._-]+)(label-(l|lesion)|mask|msk|roi|seg|segmentation|lesions?|labels?|labelmap|stroke"
    r"|infarct|truth|gt|groundtruth|manual|pred|prediction)$",
    re.IGNORECASE,
)
_LESION = re.compile(r"(^|_)label-l(_|$)|lesion|infarct|stroke", re.IGNORECASE)
_BRAIN = re.compile(r"(desc|label)-brain(_|$)|brain[._-]?mask", re.IGNORECASE)
_MASKS = frozenset(
    (
        *("mask", "msk", "roi", "seg", "segmentation", "lesion", "lesions", "label", "labels"),
        *("labelmap", "truth", "gt", "groundtruth", "manual", "pred", "prediction"),
    )
)
_IMAGES = frozenset(
    (
        *("t1", "t1w", "mprage", "t2", "t2w", "t2star", "t2starw", "flair", "pd", "pdw", "pdt2"),
        *("inplanet1", "inplanet2", "t1map", "t2map", "dwi", "sbref", "trace", "tracew", "adc"),
        *("fa", "md", "swi", "bold", "cbf", "perf", "ct", "cta", "ncct", "map", "uncertainty"),
        *("probseg", "prob", "probs", "probability", "probabilities", "softmax", "logits"),
    )
)


class Likelihood(IntEnum):
    """How much a name looks like that of a lesion mask; the least is the best."""

    LESION = 0
    MASK = 1
    PLAIN = 2
    CLASSES = 3


def stem_of(path: Path) -> str | None:
    """Return an image's name without its ending; None if it is no image's (or a header's)."""
    return None if is_header_name(path.name) else image_stem(path.name) or None


def likelihood(stem: str) -> Likelihood | None:
    """Tell how much a stem looks like a lesion mask's; None for scans, maps and brain masks."""
    last = _BREAK.split(stem.lower())[-1]
    if last in _IMAGES or _BRAIN.search(stem):
        return None
    if last == "dseg":
        return Likelihood.CLASSES
    if _LESION.search(stem):
        return Likelihood.LESION
    return Likelihood.MASK if last in _MASKS else Likelihood.PLAIN


def entities_of(name: str) -> Mapping[str, str]:
    """Read the entities of a BIDS name, run as a number; none if it has no subject."""
    found = {}
    for part in name.split("_"):
        match = _ENTITY.fullmatch(part)
        if match:
            value = match[2]
            found[match[1].lower()] = (
                str(int(value)) if match[1] == "run" and value.isdigit() else value
            )
    return MappingProxyType(found if "sub" in found else {})


def case_name(stem: str) -> str:
    """Name the case of a mask: its entities but those of form, else the stem without "mask".

    ``sub-01_ses-2_space-T1w_label-L_mask`` gives ``sub-01_ses-2``, ``p7_lesion_mask`` gives ``p7``,
    and ``mask``, which names nobody, the empty string.
    """
    if entities_of(stem):
        parts = [part for part in stem.split("_") if _ENTITY.fullmatch(part)]
        return "_".join(part for part in parts if part.partition("-")[0].lower() not in _FORM)
    short = stem
    while True:
        shorter = _SUFFIX.sub("", short)
        if shorter == short:
            return short
        short = shorter


def folder_name(parts: Sequence[str]) -> str:
    """Name a case after the folders that its file is in: those of BIDS joined, else the last."""
    entities = [part for part in parts if _ENTITY.fullmatch(part)]
    if any(part.startswith("sub-") for part in entities):
        return "_".join(entities)
    return parts[-1] if parts else ""


def map_names(stem: str) -> tuple[str, ...]:
    """List the stems that the probability map beside a mask can have."""
    bare = re.sub(r"_mask$", "", stem)
    labelled = bare if "label-" in bare else f"{bare}_label-L"
    return tuple(dict.fromkeys((f"{bare}_probseg", f"{labelled}_probseg")))
