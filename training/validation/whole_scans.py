"""The validation set beyond crops: whole scans, several of a head, real ones without stroke.

Drawn heads come from the held-out label maps and lesions; the real scans and slices are those that
`data/README.md` keeps for validation. Each goes through the product's own chain.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.images.reading import Volume, read_scan
from strokeseg.space.grid import Grid
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
        The folder of real scans; those that are not there are left out.
    sizes
        How many.
    """
    sizes = sizes or Sizes()
    yield from _drawn(sources, config, sizes)
    yield from free_scans(data)
    yield from slice_slabs(data, config.data.voxel_size_mm, sizes)


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


def free_scans(data: Path) -> Iterator[ScanCase]:
    """Give the real scans without stroke: one by one, then those of one visit together."""
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
        for visit, scans in visits.items():
            if len(scans) > 1:
                name = f"{visit}{'+'.join(scans)}"
                yield ScanCase(name, "no stroke, several sequences", scans, None)


def slice_slabs(data: Path, voxel_size_mm: float, sizes: Sizes) -> Iterator[ScanCase]:
    """Give held-out FLAIR slices as slabs, in all three planes by turns."""
    path = data / SLICES_FILE
    if not path.is_file():
        return
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
            has_lesion = bool(lesions[plane][row].sum() >= 100)
            free = not lesions[plane][row].any()
            if (row + axis) % len(planes) or not wanted[has_lesion] or not (has_lesion or free):
                continue
            wanted[has_lesion] -= 1
            image, lesion = (
                _slab(stack[plane][row].astype(np.float32), axis, voxel_size_mm)
                for stack in (images, lesions)
            )
            grid = Grid(image.shape, np.diag([*[voxel_size_mm] * 3, 1.0]))
            truth = lesion > 0.5 if has_lesion else None
            group = SLICES if has_lesion else FREE_SLICES
            yield ScanCase(
                f"soop-{subject} {plane}", group, {"flair": read_scan((image, grid.affine))}, truth
            )


def _slab(image: FloatArray, axis: int, voxel_size_mm: float) -> FloatArray:
    """Average a slice of 1 mm over voxels, and repeat it along its axis."""
    step = round(voxel_size_mm)
    rows, columns = (size // step for size in image.shape)
    coarse = image[: rows * step, : columns * step].reshape(rows, step, columns, step)
    repeated = np.repeat(
        np.expand_dims(coarse.mean(axis=(1, 3)), axis), round(SLAB_MM / voxel_size_mm), axis
    )
    return np.ascontiguousarray(repeated, dtype=np.float32)
