"""Pictures of what translators and generators of masks draw.

``python -m strokeseg.training.translation_gallery LABELS.npz --translator DIR... --bank DIR
-o DIR`` writes `translators.png`: twelve label maps of held-out subjects, the image that each
translator draws of them, and the real slice; and `lesions.png`: twelve masks in three planes.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from strokeseg.arrays import AnyArray, BoolArray, LabelArray
from strokeseg.errors import DataError
from strokeseg.files.atomic import write_atomically
from strokeseg.images.reading import read_map
from strokeseg.space.grid import Grid
from strokeseg.space.mni import mean_head
from strokeseg.space.resample import resample_image
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.data.inputs import lesion_paths
from strokeseg.training.translation.classes import LESION
from strokeseg.training.translation.pairs import Pairs, read_pairs
from strokeseg.training.translation.settings import PairConfig
from strokeseg.training.translation.translator import Translator, read_translator

SHOWN, SEED, LEAST_LESION_VOX = 12, 5, 60
# Background, GM, GM/WM, WM, CSF, hyperintensity, lesion.
COLOURS = np.array(
    [
        *([0, 0, 0], [90, 160, 90], [120, 140, 200], [230, 220, 170], [60, 110, 220]),
        *([255, 160, 0], [235, 60, 50]),
    ],
    dtype=np.uint8,
)
GAP = 8


def translator_sheet(pairs: Pairs, translators: Sequence[Translator]) -> AnyArray:
    """Draw twelve label maps in each plane's turn: labels, each translator's image, real slice."""
    rng = np.random.default_rng(SEED)
    sizes = (pairs.labels == LESION).sum(axis=(1, 2))
    planes = list(dict.fromkeys(pairs.planes))
    chosen: list[int] = []
    for plane in planes:
        of_plane = np.array(pairs.planes) == plane
        found = np.flatnonzero(of_plane & (sizes >= LEAST_LESION_VOX))
        chosen += rng.permutation(found)[: SHOWN // len(planes)].tolist()
    if not chosen:
        raise DataError("no slice shows enough lesion to be looked at")
    labels = pairs.labels[chosen]
    columns = [COLOURS[labels]]
    for translator in translators:
        drawn = translator.draw(torch.from_numpy(labels), SEED).round().numpy()
        columns.append(_grey(drawn.astype(np.uint8)))
    columns.append(_grey(pairs.images[chosen]))
    rows = [
        np.concatenate([_upright(column[index]) for column in columns], axis=1)
        for index in range(len(chosen))
    ]
    return _two_columns(rows)


def lesion_sheet(masks: Sequence[tuple[BoolArray, Grid]]) -> AnyArray:
    """Draw masks on the mean head of MNI152: axial, coronal, sagittal, through their middle."""
    head, there = mean_head()
    rows = []
    for mask, grid in masks:
        grey = np.clip(resample_image(head, there, grid) * 255, 0, 255).astype(np.uint8)
        edge = max(mask.shape)
        tiles = []
        for axis in (2, 1, 0):
            sums = mask.sum(axis=tuple(other for other in range(3) if other != axis))
            index = int(sums.argmax())
            tile = _grey(np.take(grey, index, axis))
            tile[np.take(mask, index, axis)] = COLOURS[LESION]
            pads = [(n // 2, n - n // 2) for n in (edge - size for size in tile.shape[:2])]
            tiles.append(_upright(np.pad(tile, [*pads, (0, 0)])))
        rows.append(np.concatenate(tiles, axis=1))
    return _two_columns(rows)


def _grey(image: LabelArray) -> AnyArray:
    return np.repeat(image[..., None], 3, axis=-1)


def _upright(plane: AnyArray) -> AnyArray:
    """Turn a slice (A, B, 3) as it is looked at, right on the left."""
    return plane.transpose(1, 0, 2)[::-1, ::-1]


def _two_columns(rows: list[AnyArray]) -> AnyArray:
    """Put rows of one size into two columns."""
    lines = -(-len(rows) // 2)
    height, width = rows[0].shape[:2]
    sheet = np.zeros((lines * height, 2 * width + GAP, 3), np.uint8)
    for number, row in enumerate(rows):
        top, left = number % lines * height, number // lines * (width + GAP)
        sheet[top : top + height, left : left + width] = row
    return sheet


def _save(path: Path, sheet: AnyArray) -> None:
    buffer = io.BytesIO()
    # 255 colours: greys and the labels are no more, and the file is half as large.
    Image.fromarray(sheet).quantize(255).save(buffer, "PNG", optimize=True)
    write_atomically(path, [buffer.getvalue()])


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.translation_gallery`."""
    parser = command_parser("translation_gallery", __doc__)
    parser.add_argument("labels", type=Path, help="what slice_labels wrote")
    parser.add_argument("--translator", type=Path, nargs="+", required=True)
    parser.add_argument("--bank", type=Path, help="drawn masks")
    parser.add_argument("--held-out", default="*3", help="subjects to be looked at")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder")
    chosen = parser.parse_args(arguments)
    config = PairConfig(slices=str(chosen.labels), held_out=(chosen.held_out,))
    translators = [read_translator(folder) for folder in chosen.translator]
    chosen.output.mkdir(parents=True, exist_ok=True)
    _save(
        chosen.output / "translators.png",
        translator_sheet(read_pairs(config, wanted=True), translators),
    )
    if chosen.bank is not None:
        paths = lesion_paths((str(chosen.bank),), (0,), (), held_out=False)[:SHOWN]
        volumes = [read_map(path) for path in paths]
        masks = [(volume.data > 0.5, volume.grid) for volume in volumes]
        _save(chosen.output / "lesions.png", lesion_sheet(masks))
    return str(chosen.output / "translators.png")


if __name__ == "__main__":
    run_command(main)
