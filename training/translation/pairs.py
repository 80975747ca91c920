"""Slices, or scans, with their labels, which a translator learns from: read once, kept as bytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from strokeseg.arrays import AnyArray, FloatArray, LabelArray
from strokeseg.errors import DataError, InputNotFoundError
from strokeseg.images.reading import read_map, read_scan
from strokeseg.space.grid import working_grid
from strokeseg.space.resample import resample_image, resample_labels
from strokeseg.training.data.inputs import is_held_out, stem
from strokeseg.training.data.label_maps import to_classes, whole_numbers
from strokeseg.training.data.label_table import read_table
from strokeseg.training.data.real_scans import TISSUE_MAP, scan_rows, table_path
from strokeseg.training.data.slices import PLANES
from strokeseg.training.translation.classes import HYPERINTENSITY, LESION, NAMES, codes_of
from strokeseg.training.translation.settings import PairConfig

OWN = "classes"
# The brightest healthy brain becomes this grey of 255, so that a lesion can be brighter.
BRIGHT, BRIGHT_PERCENTILE = 200.0, 99.0
# Slices with less brain than this share of the canvas are left out; of a scan every other is taken.
LEAST_BRAIN, EVERY = 0.06, 2
AXES = {axis: plane for plane, axis in PLANES.items()}
# The plane of what is no slice but a scan.
WHOLE = "scan"


@dataclass(frozen=True)
class Pairs:
    """Slices of one size: `images` and `labels` (N, A, B) uint8, and whose each is, in which plane.

    For a translator of 3 dimensions they are scans (N, I, J, K), and `planes` says so.
    `first_scan`: those before it are slices, those from it on of scans or a person's own pairs.
    """

    images: LabelArray
    labels: LabelArray
    subjects: tuple[str, ...]
    planes: tuple[str, ...]
    first_scan: int


Labelled = tuple[str, str, FloatArray, LabelArray]


def read_pairs(config: PairConfig, *, wanted: bool = False, dimensions: int = 2) -> Pairs:
    """Read all that a configuration names, without the held-out subjects or (`wanted`) only them.

    Of 3 `dimensions` scans stay whole, and there are no slices.

    Raises
    ------
    InputNotFoundError, DataError
        A file is missing, damaged, on another grid, or holds an unknown label; or there is no more
        than one slice.
    """
    slices = list(_slices(config, wanted=wanted)) if dimensions == 2 else []
    whole = chain(_scans(config, wanted=wanted), _own(config, wanted=wanted))
    found = slices + [part for scan in whole for part in _parts(scan, dimensions)]
    if len(found) < 2:
        what = "slices" if dimensions == 2 else "scans"
        raise DataError(f"[data] holds {len(found)} labelled {what}: a translator needs many")
    return Pairs(
        np.stack([_canvas(_grey(image, labels), config.edge_vox) for _, _, image, labels in found]),
        np.stack([_canvas(labels, config.edge_vox) for *_, labels in found]),
        tuple(subject for subject, *_ in found),
        tuple(plane for _, plane, *_ in found),
        len(slices),
    )


def draw_batch(
    pairs: Pairs, config: PairConfig, count: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw labels (N, A, B) uint8 and images (N, 1, A, B) in -1 to 1, mirrored and shifted.

    Of scans (N, I, J, K) and (N, 1, I, J, K).
    """
    total, first = len(pairs.images), pairs.first_scan
    labels: list[LabelArray] = []
    images: list[LabelArray] = []
    for _ in range(count):
        of_scans = rng.random() < config.scan_share
        low, high = (first, total) if of_scans else (0, first)
        index = int(rng.integers(low, high)) if low < high else int(rng.integers(total))
        axes = tuple(range(pairs.images.ndim - 1))
        shift = rng.integers(-config.shift_vox, config.shift_vox + 1, len(axes))
        turn = -1 if rng.random() < 0.5 else 1
        for kept, source in ((labels, pairs.labels), (images, pairs.images)):
            kept.append(np.roll(source[index][::turn], shift, axis=axes))
    grey = torch.from_numpy(np.stack(images)).float()[:, None]
    return torch.from_numpy(np.stack(labels)), grey / 127.5 - 1


def _slices(config: PairConfig, *, wanted: bool) -> Iterator[Labelled]:
    """Read what `slice_labels` wrote."""
    if not config.slices:
        return
    path = Path(config.slices)
    if not path.is_file():
        raise InputNotFoundError(
            f"{path}: no such file; python -m strokeseg.training.slice_labels writes it"
        )
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        for plane in (name for name in PLANES if name in arrays):
            images, labels = arrays[plane], arrays[f"{plane}_labels"]
            subjects = arrays[f"{plane}_subject"]
            if images.shape != labels.shape or len(subjects) != len(images):
                raise DataError(f"{path}: its {plane} labels are not those of its slices")
            _check_own(labels, path)
            for subject, image, label in zip(subjects, images, labels, strict=True):
                if is_held_out(str(subject), config.held_out) == wanted and (label > 0).any():
                    yield str(subject), plane, image.astype(np.float32), label
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as labelled slices ({error})") from error


def _scans(config: PairConfig, *, wanted: bool) -> Iterator[Labelled]:
    """Read the scans of a table."""
    for row in scan_rows(config.scans, config.held_out, wanted=wanted):
        if config.sequences and row.sequence not in config.sequences:
            continue
        volume, marked = read_scan(row.image), read_map(row.labels)
        codes = _codes(whole_numbers(marked.data, row.labels), row.label_table, row.labels)
        grid = working_grid(volume.grid, config.voxel_size_mm)
        labels = resample_labels(codes, marked.grid, grid)
        if row.hyperintensities is not None:
            bright = read_map(row.hyperintensities)
            inside = resample_labels((bright.data > 0.5).astype(np.uint8), bright.grid, grid)
            labels[(inside > 0) & (labels > 0)] = HYPERINTENSITY
        image = resample_image(volume.data, volume.grid, grid)
        yield row.name, WHOLE, image, labels


def _own(config: PairConfig, *, wanted: bool) -> Iterator[Labelled]:
    """Read a person's folder of images and label maps."""
    if not config.pairs:
        return
    folder = Path(config.pairs)
    if not folder.is_dir():
        raise InputNotFoundError(f"{folder}: no such folder; data.pairs holds NAME and NAME_labels")
    files = {stem(path): path for path in sorted(folder.glob("*.nii*"))}
    for name, path in files.items():
        if name.endswith("_labels") or is_held_out(name, config.held_out) != wanted:
            continue
        beside = files.get(f"{name}_labels")
        if beside is None:
            raise DataError(f"{path}: no {name}_labels.nii.gz beside it")
        volume, marked = read_map(path), read_map(beside)
        if not volume.grid.same_as(marked.grid):
            raise DataError(f"{beside}: is not on the grid of {path}")
        codes = _codes(whole_numbers(marked.data, beside), config.label_table, beside)
        grid = working_grid(volume.grid, config.voxel_size_mm)
        image = resample_image(volume.data, volume.grid, grid)
        yield name, WHOLE, image, resample_labels(codes, marked.grid, grid)


def _codes(labels: AnyArray, table: str, path: Path) -> LabelArray:
    """Turn a label map (I, J, K) into the translator's classes."""
    # What a model's tissue map calls lesion, in a head without stroke, has the number of
    # hyperintensities here, and is that.
    if table in (OWN, TISSUE_MAP):
        _check_own(labels, path)
        return labels.astype(np.uint8)
    known = read_table(table_path(table))
    return codes_of(known)[to_classes(labels.astype(np.int32), known, path)]


def _check_own(labels: AnyArray, path: Path) -> None:
    highest = int(labels.max(initial=0))
    if highest >= len(NAMES):
        raise DataError(
            f"{path}: label {highest} is none of the translator's, 0 to {LESION}; "
            "name its table in data.label_table"
        )


def _parts(scan: Labelled, dimensions: int) -> Iterator[Labelled]:
    """Give a scan whole, or its slices of three planes, every other one that holds brain."""
    name, plane, image, labels = scan
    brain = labels > 0
    shown = image - float(image[brain].min()) if brain.any() else image
    if dimensions == 3:
        yield name, plane, shown, labels
        return
    for axis, plane in AXES.items():
        flat = tuple(other for other in range(3) if other != axis)
        areas = brain.sum(axis=flat)
        least = LEAST_BRAIN * float(np.prod([image.shape[other] for other in flat]))
        for index in np.flatnonzero(areas > least)[::EVERY]:
            yield name, plane, np.take(shown, index, axis), np.take(labels, index, axis)


def _grey(image: FloatArray, labels: LabelArray) -> LabelArray:
    """Bring a slice to 0 to 255, the brightest of what is healthy to `BRIGHT`; air is 0."""
    brain = labels > 0
    healthy = brain & (labels < HYPERINTENSITY)
    values = image[healthy if healthy.any() else brain]
    top = max(float(np.percentile(values, BRIGHT_PERCENTILE)), 1e-6) if values.size else 1.0
    grey = np.round(np.clip(image / top * BRIGHT, 0, 255) * brain)
    return np.asarray(grey, np.uint8)


def _canvas(plane: LabelArray, edge: int) -> LabelArray:
    """Centre a slice in a square, or a scan in a cube, cut where it is larger."""
    whole = np.zeros((edge,) * plane.ndim, np.uint8)
    inside, outside = [], []
    for size in plane.shape:
        inside.append(slice(max(edge - size, 0) // 2, max(edge - size, 0) // 2 + min(size, edge)))
        outside.append(slice(max(size - edge, 0) // 2, max(size - edge, 0) // 2 + min(size, edge)))
    whole[tuple(inside)] = plane[tuple(outside)]
    return whole
