"""Label maps made ready for synthesis: two classes and a share per voxel, on a RAS grid.

A voxel of a head holds one class, or two where tissues meet; `Subject` keeps the two strongest
and the share of the first, three bytes a voxel, from which any soft mixture is one look-up.
The GM/WM partial volume class, which hard labels lack, is made from smoothed one-hot maps:
where grey and white shares g and w meet, 2 min(g, w) goes to it and min(g, w) leaves each.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from strokeseg.arrays import AffineArray, FloatArray, LabelArray
from strokeseg.errors import DataError
from strokeseg.grid import working_grid
from strokeseg.volume import read

TISSUES = ("background", "GM", "GM/WM", "WM", "CSF")


@dataclass(frozen=True)
class LabelTable:
    """Which label belongs to which generation class, and what tissue each class is.

    `class_names` is in order of class index; `tissue_of_class` gives an index into `TISSUES`.
    """

    class_names: tuple[str, ...]
    tissue_of_class: tuple[int, ...]
    class_of_label: Mapping[int, int]
    grey: tuple[int, ...]
    white: tuple[int, ...]
    border: int
    sigma_mm: float
    landmarks_mm: Mapping[int, tuple[float, float, float]]


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


def read_table(path: Path | None = None) -> LabelTable:
    """Read a label table from TOML (the bundled FreeSurfer/SynthSeg one without `path`)."""
    if path is None:
        text = resources.files("strokeseg.training").joinpath("tables/freesurfer.toml").read_text()
    else:
        text = path.read_text()
    document = tomllib.loads(text)
    classes = document["classes"]
    border = document["partial_volume"]
    names = (*classes, border["name"])
    index = {name: i for i, name in enumerate(names)}
    tissues = [entry["tissue"] for entry in classes.values()] + [border["tissue"]]
    unknown = sorted(set(tissues) - set(TISSUES))
    if unknown:
        raise DataError(f"label table {path}: unknown tissue {unknown[0]!r}, use one of {TISSUES}")
    return LabelTable(
        class_names=names,
        tissue_of_class=tuple(TISSUES.index(t) for t in tissues),
        class_of_label={
            label: index[name] for name, entry in classes.items() for label in entry["labels"]
        },
        grey=tuple(index[name] for name in border["grey"]),
        white=tuple(index[name] for name in border["white"]),
        border=index[border["name"]],
        sigma_mm=float(border["sigma_mm"]),
        landmarks_mm={int(k): tuple(v) for k, v in document["landmarks_mm"].items()},
    )


def fit_affine_to_mni(
    labels: npt.NDArray[np.int16], affine: AffineArray, table: LabelTable
) -> AffineArray:
    """Affine (4x4, map's mm to MNI152 mm) from the centres of mass of known structures.

    Twelve parameters, least squares over the landmarks that the map has (at least six).
    """
    present = [label for label in table.landmarks_mm if np.any(labels == label)]
    if len(present) < 6:
        raise DataError(f"only {len(present)} landmark structures in the label map, 6 are needed")
    centres = np.asarray(ndimage.center_of_mass(np.ones_like(labels), labels, present))
    here = np.c_[centres, np.ones(len(present))] @ affine.T
    there = np.asarray([table.landmarks_mm[label] for label in present], dtype=np.float64)
    solution, *_ = np.linalg.lstsq(here, there, rcond=None)
    fitted = np.eye(4)
    fitted[:3] = solution.T
    return fitted


def prepare_subject(path: Path, table: LabelTable, voxel_size_mm: float) -> Subject:
    """Read a label map (any orientation) and bring it to a RAS grid of `voxel_size_mm`.

    The label map is smoothed class by class, so that a coarser grid keeps partial volumes;
    the head is cut out with a margin of 4 voxels.

    Raises
    ------
    DataError
        A label is in the map and not in the table.
    """
    volume = read(path)
    fine = working_grid(volume.grid, 1.0)
    labels = _onto_ras(volume.data.astype(np.int16), volume.grid.affine)
    unknown = sorted(set(np.unique(labels).tolist()) - set(table.class_of_label))
    if unknown:
        raise DataError(f"{path}: label {unknown[0]} is not in the label table; add it to a class")
    lookup = np.zeros(int(labels.max()) + 1, dtype=np.uint8)
    for label, class_index in table.class_of_label.items():
        if label < lookup.size:
            lookup[label] = class_index
    classes = lookup[labels]
    box = _head_box(classes, margin=4)
    to_mni = fit_affine_to_mni(labels, fine.affine, table)
    affine = fine.affine.copy()
    affine[:3, 3] = fine.affine[:3, :3] @ [s.start for s in box] + fine.affine[:3, 3]
    step = round(voxel_size_mm)
    first, second, share = _two_strongest(classes[box], table, step)
    affine[:3, 3] += affine[:3, :3] @ np.full(3, (step - 1) / 2)
    affine[:3, :3] *= step
    return Subject(path.name.split(".")[0], first, second, share, affine, to_mni)


def _onto_ras(labels: npt.NDArray[np.int16], affine: AffineArray) -> npt.NDArray[np.int16]:
    """Permute and flip the axes of a label map to R, A, S."""
    axes = [int(np.argmax(np.abs(affine[world, :3]))) for world in range(3)]
    turned = labels.transpose(axes)
    flips = tuple(slice(None, None, -1 if affine[w, axes[w]] < 0 else 1) for w in range(3))
    return np.ascontiguousarray(turned[flips])


def _head_box(classes: LabelArray, margin: int) -> tuple[slice, slice, slice]:
    """Give the box around everything that is not air, `margin` voxels wider."""
    found = ndimage.find_objects((classes > 0).astype(np.uint8))[0]
    bounds = [
        slice(max(s.start - margin, 0), min(s.stop + margin, n))
        for s, n in zip(found, classes.shape, strict=True)
    ]
    return bounds[0], bounds[1], bounds[2]


def _two_strongest(
    classes: LabelArray, table: LabelTable, step: int
) -> tuple[LabelArray, LabelArray, LabelArray]:
    """Soften each class, give the border its share, keep the two strongest per voxel."""
    shape = tuple(n // step for n in classes.shape)
    soft = np.zeros((len(table.class_names), *shape), dtype=np.float32)
    for index in np.unique(classes).tolist():
        one_hot = (classes == index).astype(np.float32)
        smooth = ndimage.gaussian_filter(one_hot, table.sigma_mm, truncate=3.0)
        soft[index] = _block_mean(smooth, step)
    grey = soft[list(table.grey)].sum(axis=0)
    white = soft[list(table.white)].sum(axis=0)
    shared = np.minimum(grey, white)
    soft[list(table.grey)] *= 1 - shared / np.maximum(grey, 1e-6)
    soft[list(table.white)] *= 1 - shared / np.maximum(white, 1e-6)
    soft[table.border] = 2 * shared
    first = soft.argmax(axis=0).astype(np.uint8)
    strongest = np.take_along_axis(soft, first[None], axis=0)[0]
    np.put_along_axis(soft, first[None], -1.0, axis=0)
    second = soft.argmax(axis=0).astype(np.uint8)
    runner_up = np.take_along_axis(soft, second[None], axis=0)[0]
    share = strongest / np.maximum(strongest + np.maximum(runner_up, 0), 1e-6)
    return first, second, np.round(share * 255).astype(np.uint8)


def _block_mean(image: FloatArray, step: int) -> FloatArray:
    """Mean over blocks of step^3 voxels."""
    if step == 1:
        return image
    i, j, k = (n // step for n in image.shape)
    trimmed = image[: i * step, : j * step, : k * step]
    blocks = trimmed.reshape(i, step, j, step, k, step)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32)
