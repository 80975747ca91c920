"""Label maps made ready for synthesis: two classes and a share per voxel, on a RAS grid.

A voxel of a head holds one class, or two where tissues meet; `Subject` keeps the two strongest
and the share of the first, three bytes a voxel, from which any soft mixture is one look-up.
The GM/WM partial volume class, which hard labels lack, is made from smoothed one-hot maps:
where grey and white shares g and w meet, 2 min(g, w) goes to it and min(g, w) leaves each. So it
is a shell of mixed voxels along the border; the deep nuclei that mix grey and white matter
(thalamus, pallidum, ventral diencephalon, brain stem) join it through the label table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from strokeseg.arrays import AffineArray, FloatArray, LabelArray
from strokeseg.errors import DataError, UsageError
from strokeseg.images.reading import read_map, read_scan
from strokeseg.space.grid import working_grid
from strokeseg.space.mni import fit_landmarks, fit_moments
from strokeseg.space.resample import resample_labels
from strokeseg.training.data.label_table import LabelTable

MARGIN_VOX = 4
TRUNCATE = 3.0


@dataclass(frozen=True)
class Subject:
    """A head as classes: `first` and `second` (uint8, I J K), and `share` of first in 1/255.

    `affine` is voxel to the map's own RAS+ mm; `to_mni` is from there to MNI152 mm.
    """

    name: str
    first: LabelArray
    second: LabelArray
    share: LabelArray
    affine: AffineArray
    to_mni: AffineArray


def prepare_subject(
    path: Path, table: LabelTable, voxel_size_mm: float, *, hyperintensities: Path | None = None
) -> Subject:
    """Read a label map (any orientation and spacing) and bring it to a RAS grid.

    The map is smoothed class by class at 1 mm, so that a coarser grid keeps partial volumes;
    the head is cut out with a margin of 4 voxels. `hyperintensities` is a mask of what of the white
    matter is that class, on any grid.

    Raises
    ------
    DataError
        A label is in the map and not in the table, or nothing but background is.
    UsageError
        The voxel size is not a whole number of mm.
    """
    step = round(voxel_size_mm)
    if step < 1 or abs(step - voxel_size_mm) > 1e-6:
        raise UsageError(f"data.voxel_size_mm is {voxel_size_mm:g}; label maps need a whole number")
    volume = read_scan(path)
    labels = whole_numbers(volume.data, path)
    classes = to_classes(labels, table, path)
    if hyperintensities is not None and table.ageing is not None:
        found = read_map(hyperintensities)
        bright = resample_labels((found.data > 0.5).astype(np.uint8), found.grid, volume.grid)
        of_white = (bright > 0) & (classes == table.ageing.white_matter)
        classes[of_white] = table.ageing.hyperintensity
    fine = working_grid(volume.grid, 1.0)
    affine = volume.grid.affine
    to_mni = fit_landmarks(labels, affine, table.landmarks_mm)
    if to_mni is None:
        tissue = np.asarray(table.tissue_of_class)[classes]
        brain = np.isin(tissue, (1, 2, 3)).astype(np.float32)
        to_mni = fit_moments(brain, affine, str(path))
    classes = resample_labels(classes, volume.grid, fine)
    box = _head_box(classes, MARGIN_VOX, path)
    first, second, share = _two_strongest(classes[box], table, step)
    origin = fine.affine[:3, :3] @ [s.start + (step - 1) / 2 for s in box] + fine.affine[:3, 3]
    coarse = fine.affine.copy()
    coarse[:3, :3] *= step
    coarse[:3, 3] = origin
    return Subject(path.name.split(".")[0], first, second, share, coarse, to_mni)


def whole_numbers(data: FloatArray, path: Path) -> npt.NDArray[np.int32]:
    """Give a label map's voxels as integers.

    Raises
    ------
    DataError
        Some are no whole numbers from 0.
    """
    with np.errstate(invalid="ignore"):
        labels = data.astype(np.int32)
    if labels.min() < 0 or not np.array_equal(labels, data):
        raise DataError(f"{path}: not a label map: labels must be whole numbers from 0")
    return labels


def to_classes(labels: npt.NDArray[np.int32], table: LabelTable, path: Path) -> LabelArray:
    """Turn labels into generation classes, every one by the table.

    Raises
    ------
    DataError
        The table lacks one.
    """
    # Counting takes as much memory as the largest label: an unknown one is refused before.
    highest = int(labels.max())
    known = highest <= max(table.class_of_label)
    present = np.flatnonzero(np.bincount(labels.reshape(-1))).tolist() if known else [highest]
    unknown = sorted(set(present) - set(table.class_of_label))
    if unknown:
        raise DataError(f"{path}: label {unknown[0]} is not in the label table; add it to a class")
    lookup = np.zeros(max(present) + 1, dtype=np.uint8)
    for label in present:
        lookup[label] = table.class_of_label[label]
    return np.asarray(lookup[labels], dtype=np.uint8)


def _head_box(classes: LabelArray, margin: int, path: Path) -> tuple[slice, slice, slice]:
    """Give the box around everything that is not air, `margin` voxels wider."""
    found = ndimage.find_objects((classes > 0).astype(np.uint8))
    if not found:
        raise DataError(f"{path}: the label map holds nothing but background")
    i, j, k = (
        slice(max(s.start - margin, 0), min(s.stop + margin, n))
        for s, n in zip(found[0], classes.shape, strict=True)
    )
    return i, j, k


def _two_strongest(
    classes: LabelArray, table: LabelTable, step: int
) -> tuple[LabelArray, LabelArray, LabelArray]:
    """Soften each class, give the border its share, keep the two strongest per voxel."""
    shape = tuple(n // step for n in classes.shape)
    ranking = Ranking(shape)
    mixing: dict[int, tuple[tuple[slice, ...], FloatArray]] = {}
    grey, white = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for index, box, soft in _soft_classes(classes, table.sigma_mm, step):
        if index not in table.grey and index not in table.white:
            ranking.add(index, box, soft)
            continue
        mixing[index] = (box, soft)
        total = grey if index in table.grey else white
        total[box] += soft
    shared = np.minimum(grey, white)
    for index, (box, soft) in mixing.items():
        total = grey if index in table.grey else white
        kept = 1 - shared[box] / np.maximum(total[box], np.float32(1e-6))
        ranking.add(index, box, (soft * kept).astype(np.float32))
    ranking.add(table.border, (slice(None),) * 3, shared + shared)
    return ranking.result()


def _soft_classes(
    classes: LabelArray, sigma_mm: float, step: int
) -> Iterator[tuple[int, tuple[slice, ...], FloatArray]]:
    """Smooth each class's one-hot map at 1 mm within its own box, and average it over blocks.

    Gives the class, its box of the coarse grid, and its share there.
    """
    margin = int(np.ceil(TRUNCATE * sigma_mm)) + 1
    whole = tuple(n // step for n in classes.shape)
    found_boxes: list[tuple[slice, ...] | None] = ndimage.find_objects(classes.astype(np.int32) + 1)  # type: ignore[assignment]
    for index, found in enumerate(found_boxes):
        if found is None:
            continue
        coarse = tuple(
            slice(max(s.start - margin, 0) // step, min(-(-(s.stop + margin) // step), n))
            for s, n in zip(found, whole, strict=True)
        )
        fine = tuple(slice(s.start * step, s.stop * step) for s in coarse)
        # The margin beyond the blocks lets the filter see what lies around them.
        wide = tuple(
            slice(max(s.start - margin, 0), min(s.stop + margin, n))
            for s, n in zip(fine, classes.shape, strict=True)
        )
        one_hot = (classes[wide] == index).astype(np.float32)
        smooth = ndimage.gaussian_filter(one_hot, sigma_mm, truncate=TRUNCATE)
        inner = tuple(
            slice(f.start - w.start, f.stop - w.start) for f, w in zip(fine, wide, strict=True)
        )
        yield index, coarse, _block_mean(smooth[inner], step)


def _block_mean(image: FloatArray, step: int) -> FloatArray:
    """Mean over blocks of step^3 voxels."""
    if step == 1:
        return image
    i, j, k = (n // step for n in image.shape)
    blocks = image.reshape(i, step, j, step, k, step)
    return np.asarray(blocks.mean(axis=(1, 3, 5)), dtype=np.float32)


class Ranking:
    """The two strongest classes of each voxel so far, and their strengths."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.first = np.zeros(shape, np.uint8)
        self.second = np.zeros(shape, np.uint8)
        self.strongest = np.zeros(shape, np.float32)
        self.runner_up = np.zeros(shape, np.float32)

    def add(self, index: int, box: tuple[slice, ...], share: FloatArray) -> None:
        """Let a class (its share within a box) compete."""
        first, second = self.first[box], self.second[box]
        strongest, runner_up = self.strongest[box], self.runner_up[box]
        wins = share > strongest
        places = ~wins & (share > runner_up)
        second[...] = np.where(wins, first, np.where(places, np.uint8(index), second))
        runner_up[...] = np.where(wins, strongest, np.where(places, share, runner_up))
        first[wins] = index
        strongest[wins] = share[wins]

    def result(self) -> tuple[LabelArray, LabelArray, LabelArray]:
        """Give first class, second class, and the share of the first in 1/255."""
        share = self.strongest / np.maximum(self.strongest + self.runner_up, 1e-6)
        return self.first, self.second, np.round(share * 255).astype(np.uint8)
