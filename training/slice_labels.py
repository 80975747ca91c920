"""Label maps of real slices with lesion masks, for a translator's `data.slices`.

``python -m strokeseg.training.slice_labels SLICES -o FILE.npz``. A slice, repeated along the axis
that it lacks, goes through a model of ours, whose tissues are kept; the lesion is that of the mask,
and what of the white matter is far brighter than the rest of it is hyperintensity.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from strokeseg.arrays import AnyArray, BoolArray, FloatArray, LabelArray
from strokeseg.errors import DataError, UsageError
from strokeseg.files.atomic import write_atomically
from strokeseg.images.intensity import normalise
from strokeseg.models.loading import Hardware, LoadedModel, load_model
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.data.label_table import TISSUES
from strokeseg.training.data.slices import PLANES, SPACING_MM, Slices, coarse_slice, read_slices
from strokeseg.training.translation.classes import HYPERINTENSITY, LESION

GM, WM = TISSUES.index("GM"), TISSUES.index("WM")
MIXED = TISSUES.index("GM/WM")
# A window's edge along the axis that a slice lacks, and what the others are multiples of.
DEPTH_VOX = 32
# Above the white matter's median, in its robust deviations and as a share of it.
BRIGHT_DEVIATIONS, BRIGHT_SHARE = 3.5, 1.25


def label_slices(source: str, model: LoadedModel) -> dict[str, AnyArray]:
    """Label every slice of a source of `data.slices`.

    Returns
    -------
    dict of str to array
        By plane: `PLANE` (N, A, B) uint8 on the model's grid, `PLANE_labels` alike, and
        `PLANE_subject`.

    Raises
    ------
    UsageError
        The model tells no tissues, or its voxels are no whole number of those of the slices.
    """
    config = model.model.config
    if model.engine.classes != len(TISSUES) + 1:
        raise UsageError("the model must tell tissues; give one of six classes")
    step = round(config.voxel_size_mm / SPACING_MM)
    if abs(step * SPACING_MM - config.voxel_size_mm) > 1e-6:
        raise UsageError(f"the model works at {config.voxel_size_mm:g} mm; slices need whole ones")
    arrays: dict[str, AnyArray] = {}
    for group in read_slices(source, (), wanted=False):
        images, labels = [], []
        for image, mask in zip(group.images, group.lesions, strict=True):
            grey = coarse_slice(image, config.voxel_size_mm)
            lesion = coarse_slice(mask, config.voxel_size_mm) >= 0.5
            brain = coarse_slice(image > 0, config.voxel_size_mm) >= 0.5
            grey *= brain
            logits = _logits(grey, group, model)
            labels.append(draw_labels(grey, lesion, logits))
            images.append(np.round(grey).astype(np.uint8))
        arrays[group.plane] = np.stack(images)
        arrays[f"{group.plane}_labels"] = np.stack(labels)
        arrays[f"{group.plane}_subject"] = np.asarray(group.subjects)
    return arrays


def draw_labels(grey: FloatArray, lesion: BoolArray, logits: FloatArray) -> LabelArray:
    """Turn a slice (A, B), its mask and its logits (C, A, B) into the translator's classes.

    Every voxel of the brain, which is where the slice is not 0, is given some tissue.
    """
    brain = grey > 0
    tissue = 1 + logits[1:-1].argmax(axis=0)
    labels = np.where(brain, tissue, 0).astype(np.uint8)
    white = (labels == WM) & ~lesion
    if white.any():
        middle = float(np.median(grey[white]))
        deviation = 1.4826 * float(np.median(np.abs(grey[white] - middle)))
        least = max(middle + BRIGHT_DEVIATIONS * deviation, BRIGHT_SHARE * middle)
        called = logits.argmax(axis=0) == len(TISSUES)
        may_be = white | ((called | (labels == MIXED)) & brain & ~lesion)
        labels[may_be & (grey > least)] = HYPERINTENSITY
    labels[lesion & brain] = LESION
    return labels


def _logits(grey: FloatArray, group: Slices, model: LoadedModel) -> FloatArray:
    """Run a slice, repeated, through the network; the middle of what comes out, (C, A, B)."""
    pads = [-edge % DEPTH_VOX for edge in grey.shape]
    plane = np.pad(grey, [(0, pads[0]), (0, pads[1])])
    axis = PLANES[group.plane]
    window = np.repeat(np.expand_dims(plane, axis), DEPTH_VOX, axis=axis)
    window = normalise(np.ascontiguousarray(window), model.model.config.normalisation)
    logits = model.engine.logits(np.ascontiguousarray(window))
    middle = np.take(logits, DEPTH_VOX // 2, axis=axis + 1)
    return np.asarray(middle[:, : grey.shape[0], : grey.shape[1]])


def write_labels(path: Path, arrays: dict[str, AnyArray]) -> None:
    """Write what `translation.pairs` reads."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, [buffer.getvalue()])


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.slice_labels`."""
    parser = command_parser("slice_labels", __doc__)
    parser.add_argument("slices", help="as data.slices")
    parser.add_argument("-o", "--output", type=Path, required=True, help="an .npz")
    parser.add_argument("--model", help="draws the tissues; else the bundled one")
    parser.add_argument("--threads", type=int)
    chosen = parser.parse_args(arguments)
    if chosen.output.suffix != ".npz":
        raise DataError(f"{chosen.output}: must end in .npz")
    model = load_model(chosen.model, Hardware(threads=chosen.threads))
    write_labels(chosen.output, label_slices(chosen.slices, model))
    return str(chosen.output)


if __name__ == "__main__":
    run_command(main)
