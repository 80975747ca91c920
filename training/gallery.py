"""Samples to look at: NIfTI files, and one picture of them all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from strokeseg.arrays import AnyArray, FloatArray, LabelArray
from strokeseg.files.staging import Staging
from strokeseg.images.reading import read_scan
from strokeseg.images.writing import write
from strokeseg.training.data.pairs import BRAIN
from strokeseg.training.data.sources import Heads, load_sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.sample import Sample, make_sample

SHEET = "contact_sheet.png"
LEAST_EDGE = 160
SHARE_OF_COLOUR = 0.45
# Background, GM, GM/WM, WM, CSF, lesion.
COLOURS = np.array(
    [[0, 0, 0], [90, 160, 90], [120, 140, 200], [230, 220, 170], [60, 110, 220], [235, 60, 50]],
    dtype=np.float32,
)


def write_samples(
    config: TrainConfig, folder: Path, count: int, *, seed: int | None, device: torch.device
) -> None:
    """Write the first `count` samples of a run, and a contact sheet.

    Parameters
    ----------
    config
        The run.
    folder
        Gets `sample-000_image.nii.gz`, `sample-000_target.nii.gz` and so on, and
        `contact_sheet.png`.
    count
        How many.
    seed
        Instead of the configuration's, or None.
    device
        Where they are made.

    Raises
    ------
    CannotCreateError
        The folder cannot be written in; nothing is left in it then.
    """
    if seed is not None:
        config = replace(config, seed=seed)
    sources = load_sources(config.data, families=config.contrast.families)
    heads = Heads(sources.subjects, device)
    affine = np.diag([*(config.data.voxel_size_mm,) * 3, 1.0])
    rows = []
    with Staging(folder, last=SHEET) as staging:
        for index in range(count):
            sample = make_sample(index, sources, config, heads)
            image, target = sample.image.cpu().numpy(), hard_target(sample)
            like = read_scan((image, affine))
            write(staging.path_for(f"sample-{index:03d}_image.nii.gz"), image, like)
            write(staging.path_for(f"sample-{index:03d}_target.nii.gz"), target, like)
            rows.append(enlarged(sample_row(image, target)))
        Image.fromarray(contact_sheet(rows)).save(staging.path_for(SHEET))
        staging.commit()


def hard_target(sample: Sample) -> LabelArray:
    """Give a sample's strongest class per voxel, uint8 (I, J, K)."""
    target = sample.target.cpu()
    if target.ndim == 4:
        target = target.argmax(dim=0)
    return target.numpy().astype(np.uint8)


def sample_row(image: FloatArray, target: LabelArray) -> AnyArray:
    """Draw a sample: axial, coronal and sagittal slices, without and with the target's colours.

    The slices go through the lesion, or through the middle where there is none. Right is left,
    as radiologists look at it. Returns uint8 (rows, columns, 3).
    """
    lesion_class = 1 if target.max() == 1 else COLOURS.shape[0] - 1
    lesion = target == lesion_class
    centre = [n // 2 for n in image.shape]
    if lesion.any():
        sums = [lesion.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
        centre = [int(counts.argmax()) for counts in sums]
    low, high = np.percentile(image, (0.5, 99.5))
    grey = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1) * 255
    classes = np.where(lesion, COLOURS.shape[0] - 1, np.where(target >= BRAIN, 0, target))
    edge = max(image.shape)
    tiles = []
    for axis in (2, 1, 0):
        plane = _upright(grey, axis, centre[axis], edge)[..., None].repeat(3, axis=-1)
        labels = _upright(classes, axis, centre[axis], edge).astype(int)
        tinted = (1 - SHARE_OF_COLOUR) * plane + SHARE_OF_COLOUR * COLOURS[labels]
        tiles += [plane, np.where((labels > 0)[..., None], tinted, plane)]
    return np.concatenate(tiles, axis=1).astype(np.uint8)


def enlarged(row: AnyArray) -> AnyArray:
    """Repeat the pixels of a row until its slices are at least `LEAST_EDGE` high."""
    times = -(-LEAST_EDGE // row.shape[0])
    return row.repeat(times, axis=0).repeat(times, axis=1)


def contact_sheet(rows: list[AnyArray], gap: int = 4) -> AnyArray:
    """Stack rows, two beside each other where there are more than four."""
    columns = 2 if len(rows) > 4 else 1
    height = max(row.shape[0] for row in rows) + gap
    width = max(row.shape[1] for row in rows) + gap
    lines = -(-len(rows) // columns)
    sheet = np.zeros((lines * height, columns * width, 3), dtype=np.uint8)
    for number, row in enumerate(rows):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + row.shape[0], left : left + row.shape[1]] = row
    return sheet


def _upright(volume: AnyArray, axis: int, index: int, edge: int) -> AnyArray:
    """Cut a slice of a RAS volume, turn it as it is looked at, and centre it in a square."""
    plane = np.take(volume, index, axis=axis)
    turned = plane.T[::-1, ::-1]
    room = [edge - n for n in turned.shape]
    before = [spare // 2 for spare in room]
    pads = [(b, spare - b) for b, spare in zip(before, room, strict=True)]
    return np.pad(turned, pads)
