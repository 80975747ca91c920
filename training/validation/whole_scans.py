"""The validation set beyond crops: whole scans, several of a head, real ones without stroke.

Drawn heads come from the held-out label maps and lesions; the real scans and slices are those that
`data/README.md` keeps for validation, and those that the run's own configuration holds out. Each
goes through the product's own chain.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from strokeseg.arrays import BoolArray, FloatArray, LabelArray
from strokeseg.images.reading import Volume, read_scan
from strokeseg.training.data.real_scans import scan_rows
from strokeseg.training.data.slices import PLANES, Slices, coarse_slice
from strokeseg.training.data.sources import Heads, Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.validation.whole_heads import MODALITIES, STAGES, draw_whole_head

SINGLE, SEVERAL = "whole heads, one sequence", "whole heads, several sequences"
SLICES, FREE_SLICES = "real FLAIR slices", "real FLAIR slices without lesion"
TOGETHER = (
    ("T1w", "FLAIR", "DWI"),
    ("T1w", "T2w", "FLAIR"),
    ("DWI", "ADC", "FLAIR"),
    ("T1w", "DWI", "ADC"),
)
FREE_FOLDERS = {
    "elderly": re.compile(r"elderly-(?:19|2[0-3])_(?P<kind>T1w|FLAIR)\.nii\.gz"),
    "ms": re.compile(r"ms-(?:12|19)_ses-\d_(?P<kind>T1w|T2w|FLAIR)\.nii\.gz"),
    "healthy_dwi": re.compile(r"canon-11000_(?P<kind>dwi)\.nii\.gz"),
}
SLICES_FILE = "flair_slices/soop-flair-slices.npz"
# A slice stands for a slab of this many mm, as thick as there is brain for in any plane.
SLAB_MM = 60.0
# Of 1 mm2 each: a slice with less lesion is neither one with lesion nor one without.
LEAST_SLICE_VOX = 100


@dataclass(frozen=True, eq=False)
class ScanCase:
    """Scans by modality and where lesion is among them, on the grid of the truth.

    `truth` is None where there is no lesion; `group` is what means are taken over.
    """

    name: str
    group: str
    scans: Mapping[str, Volume]
    truth: BoolArray | None


@dataclass(frozen=True)
class Sizes:
    """How many cases of each drawn kind, and of slices with and without lesion."""

    single: int = 32
    several: int = 24
    slices: int = 24
    free_slices: int = 16


def validation_scans(
    sources: Sources, config: TrainConfig, data: Path, sizes: Sizes | None = None
) -> Iterator[ScanCase]:
    """Make the cases one after the other.

    Parameters
    ----------
    sources, config
        The held-out heads and lesions, and the run's configuration.
    data
        The folder of real scans; those that are not there are left out. The configuration's own,
        `data.scans` and `data.slices`, are used as well, the slices where `data` has none.
    sizes
        How many.
    """
    sizes = sizes or Sizes()
    yield from _drawn(sources, config, sizes)
    yield from free_scans(data, config)
    if (data / SLICES_FILE).is_file():
        yield from slice_slabs(data, config.data.voxel_size_mm, sizes)
    else:
        yield from own_slabs(sources.slices, config.data.voxel_size_mm, sizes)


def _drawn(sources: Sources, config: TrainConfig, sizes: Sizes) -> Iterator[ScanCase]:
    heads = Heads(sources.subjects, torch.device("cpu"))
    families, stages = tuple(MODALITIES), tuple(STAGES)
    for index in range(sizes.single + sizes.several):
        alone = index < sizes.single
        chosen = (families[index % len(families)],) if alone else TOGETHER[index % len(TOGETHER)]
        seen = [stage for stage in stages if set(STAGES[stage]) & set(chosen)]
        stage = seen[index // len(families) % len(seen)]
        head = draw_whole_head(index, chosen, stage, sources, config, heads)
        scans = {
            MODALITIES[name]: read_scan((image, head.grid.affine))
            for name, image in head.images.items()
        }
        name = f"head-{index:03d} {'+'.join(chosen)} {stage}, {head.cut}"
        truth = head.lesion if head.lesion.any() else None
        yield ScanCase(name, SINGLE if alone else SEVERAL, scans, truth)


def free_scans(data: Path, config: TrainConfig) -> Iterator[ScanCase]:
    """Give the real scans without stroke: one by one, then those of one visit together.

    Those of `data`, by our names, and then the held-out ones of the configuration's `data.scans`
    that are not among them. Of these a visit is what lies in one folder under one name but for its
    last word, as `sub-1_T1w.nii.gz` and `sub-1_FLAIR.nii.gz`.
    """
    for folder, pattern in FREE_FOLDERS.items():
        visits: dict[str, dict[str, Volume]] = {}
        for path in sorted((data / folder).glob("*.nii.gz")):
            found = pattern.fullmatch(path.name)
            if found is None:
                continue
            kind = found["kind"].replace("dwi", "DWI")
            volume = read_scan(path)
            visit = path.name[: found.start("kind")]
            visits.setdefault(visit, {})[MODALITIES[kind]] = volume
            name = path.name.split(".")[0]
            yield ScanCase(name, f"no stroke, {kind}", {MODALITIES[kind]: volume}, None)
        yield from _together(visits)
    ours = data.resolve()
    own: dict[str, dict[str, Volume]] = {}
    for row in scan_rows(config.data.scans, config.data.held_out_scans, wanted=True):
        modality = MODALITIES.get(row.sequence)
        if modality is None or row.image.resolve().is_relative_to(ours):
            continue
        volume = read_scan(row.image)
        visit = str(row.image.parent / row.name.rpartition("_")[0])
        own.setdefault(visit, {})[modality] = volume
        yield ScanCase(row.name, f"no stroke, {row.sequence}", {modality: volume}, None)
    yield from _together({f"{Path(visit).name}_": scans for visit, scans in own.items()})


def _together(visits: Mapping[str, Mapping[str, Volume]]) -> Iterator[ScanCase]:
    """Give the scans of each visit that has several as one case."""
    for visit, scans in visits.items():
        if len(scans) > 1:
            name = f"{visit}{'+'.join(scans)}"
            yield ScanCase(name, "no stroke, several sequences", scans, None)


def own_slabs(slices: Sequence[Slices], voxel_size_mm: float, sizes: Sizes) -> Iterator[ScanCase]:
    """Give slices that the configuration holds out as slabs, of each plane alike many."""
    for number, plane in enumerate(slices):
        seen = [row for row in plane.with_lesion if plane.lesions[row].sum() >= LEAST_SLICE_VOX]
        kinds = ((SLICES, seen, sizes.slices), (FREE_SLICES, plane.without, sizes.free_slices))
        for group, rows, wanted in kinds:
            share = wanted // len(slices) + (number < wanted % len(slices))
            for row in rows[:share]:
                name = f"{plane.subjects[row]} {plane.plane}"
                yield _slab_case(
                    name,
                    group,
                    plane.images[row],
                    plane.lesions[row],
                    PLANES[plane.plane],
                    voxel_size_mm,
                )


def slice_slabs(data: Path, voxel_size_mm: float, sizes: Sizes) -> Iterator[ScanCase]:
    """Give held-out FLAIR slices of our file as slabs, in all three planes by turns."""
    path = data / SLICES_FILE
    planes = ("axial", "coronal", "sagittal")
    with np.load(path) as stored:
        held = np.flatnonzero(stored["subject"] % 10 == 3)
        images = {plane: stored[plane][held] for plane in planes}
        lesions = {
            plane: np.unpackbits(stored[f"{plane}_lesion"], count=stored[plane].size)
            .reshape(stored[plane].shape)[held]
            .astype(np.bool_)
            for plane in planes
        }
        subjects = stored["subject"][held]
    wanted = {True: sizes.slices, False: sizes.free_slices}
    for row, subject in enumerate(subjects.tolist()):
        for axis, plane in ((2, "axial"), (1, "coronal"), (0, "sagittal")):
            has_lesion = bool(lesions[plane][row].sum() >= LEAST_SLICE_VOX)
            free = not lesions[plane][row].any()
            if (row + axis) % len(planes) or not wanted[has_lesion] or not (has_lesion or free):
                continue
            wanted[has_lesion] -= 1
            group = SLICES if has_lesion else FREE_SLICES
            pair = images[plane][row], lesions[plane][row]
            yield _slab_case(f"soop-{subject} {plane}", group, *pair, axis, voxel_size_mm)


def _slab_case(
    name: str,
    group: str,
    image: LabelArray,
    lesion: BoolArray,
    axis: int,
    voxel_size_mm: float,
) -> ScanCase:
    slab, true = (_slab(plane.astype(np.float32), axis, voxel_size_mm) for plane in (image, lesion))
    scan = read_scan((slab, np.diag([*[voxel_size_mm] * 3, 1.0])))
    return ScanCase(name, group, {"flair": scan}, true > 0.5 if group == SLICES else None)


def _slab(image: FloatArray, axis: int, voxel_size_mm: float) -> FloatArray:
    """Average a slice of 1 mm over voxels, and repeat it along its axis."""
    coarse = np.expand_dims(coarse_slice(image, voxel_size_mm), axis)
    repeated = np.repeat(coarse, round(SLAB_MM / voxel_size_mm), axis)
    return np.ascontiguousarray(repeated, dtype=np.float32)
