"""Lesion masks on a grid of MNI152: read, drawn, cleaned, written as a bank, and described."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
from scipy import ndimage, sparse
from scipy.special import logit

from strokeseg.arrays import AnyArray, BoolArray, FloatArray
from strokeseg.errors import DataError
from strokeseg.files.atomic import write_text
from strokeseg.images.reading import read_map
from strokeseg.images.writing import write
from strokeseg.measure.components import bounding_box
from strokeseg.measure.surface_area import surface_area_mm2
from strokeseg.space.grid import Grid
from strokeseg.space.mni import mean_head
from strokeseg.space.resample import resample_image
from strokeseg.training.data.inputs import lesion_paths
from strokeseg.training.data.lesion_bank import LesionMask, read_bank
from strokeseg.training.translation.mask_model import SHAPE, MaskModel
from strokeseg.training.translation.settings import MaskConfig

SPACING_MM, FINE = 4.0, 2
CENTRE_MM = (0.0, -18.0, 18.0)
BRAIN_ABOVE = 0.3
# Of a drawn mask: parts of less than this, in ml and as a share of the largest, are left out.
LEAST_PART_ML, LEAST_PART_SHARE = 0.3, 0.05
# What may lie across the midline of a lesion of one side, as a share of it.
ACROSS = 0.05
FAINT, MOST_ROUNDS = 0.02, 10
# The noise on logits that roughens drawn masks: its deviation, how far it is smoothed, and the
# probability whose logit is the largest.
ROUGH, ROUGH_MM, SURE = 0.7, 3.0, 1e-4
# How many are drawn at least at once, so that the last few of many do not end a bank.
LEAST_DRAWN = 16
BANK, TABLE = "lesions", "lesions.tsv"


@dataclass(frozen=True)
class MaskFacts:
    """A mask in figures. `nearest` is the real mask of the highest Dice, not itself."""

    name: str
    volume_ml: float
    x_mm: float
    y_mm: float
    z_mm: float
    sphericity: float
    parts: int
    across_midline: bool
    nearest: str = ""
    nearest_dice: float = 0.0


def grid_of(spacing_mm: float) -> Grid:
    """Make the grid, of 48x64x48 voxels at 4 mm and of as many more as are smaller."""
    shape = tuple(round(edge * SPACING_MM / spacing_mm) for edge in SHAPE)
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = np.asarray(CENTRE_MM) - spacing_mm * (np.asarray(shape) - 1) / 2
    return Grid((shape[0], shape[1], shape[2]), affine)


def read_masks(config: MaskConfig, *, held_out: bool = False) -> tuple[LesionMask, ...]:
    """Read the masks to learn from, or those that are never seen."""
    paths = lesion_paths(
        config.lesions, config.held_out_every, config.held_out_lesions, held_out=held_out
    )
    return tuple(mask for mask in read_bank(paths) if mask.volume_ml >= config.least_ml)


def occupancy(mask: LesionMask, spacing_mm: float = SPACING_MM) -> FloatArray:
    """Give which share of each voxel of the grid a mask fills, float32."""
    grid = grid_of(spacing_mm)
    to_grid = np.linalg.inv(grid.affine) @ mask.affine
    filled = np.zeros(grid.shape, np.float32)
    share = abs(float(np.linalg.det(mask.affine[:3, :3]))) / spacing_mm**3
    parts = math.ceil(4 * share ** (1 / 3) - 1e-6)
    inner = (np.arange(parts) + 0.5) / parts - 0.5
    places = np.argwhere(mask.mask)
    for offset in np.stack(np.meshgrid(inner, inner, inner), axis=-1).reshape(-1, 3):
        there = (places + offset) @ to_grid[:3, :3].T + to_grid[:3, 3]
        index = np.floor(there + 0.5).astype(int)
        inside = np.all((index >= 0) & (index < grid.shape), axis=1)
        np.add.at(filled, tuple(index[inside].T), share / parts**3)
    return np.minimum(filled, 1)


def brain_on(grid: Grid) -> BoolArray:
    """Tell where MNI152 has brain."""
    head, there = mean_head()
    return np.asarray(resample_image(head, there, grid) > BRAIN_ABOVE)


def clean(probability: FloatArray, brain: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Make a mask of 2 mm of what the model drew (48x64x48): its larger parts, in the brain.

    It is as large as the probabilities sum up to, and rough: the likeliest voxels after smooth
    noise on their logits. A threshold of one half would draw round masks, and none where the model
    knows of a small one but not just where. Empty where nothing would be left.
    """
    whole = np.zeros(brain.shape, np.bool_)
    box = bounding_box(probability > FAINT)
    if box is None:
        return whole
    fine = ndimage.zoom(probability[box], FINE, order=1, grid_mode=True, mode="grid-constant")
    there = tuple(slice(FINE * part.start, FINE * part.stop) for part in box)
    inside = brain[there]
    wanted = round(float(fine[inside].sum()))
    least_vox = LEAST_PART_ML * 1000 / (SPACING_MM / FINE) ** 3
    if wanted < least_vox:
        return whole
    field = logit(fine.clip(SURE, 1 - SURE)) + ROUGH * _smooth_noise(fine.shape, rng)
    mask: BoolArray = inside & (field >= np.partition(field[inside], -wanted)[-wanted])
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.reshape(-1))
    sizes[0] = 0
    whole[there] = (sizes >= max(least_vox, LEAST_PART_SHARE * sizes.max()))[labels]
    return whole


def _smooth_noise(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Draw a field of standard deviation 1 that knows neighbours up to `ROUGH_MM`."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), ROUGH_MM / (SPACING_MM / FINE))
    return np.asarray(noise / max(float(noise.std()), 1e-9), np.float32)


def draw_masks(model: MaskModel, count: int, seed: int) -> list[BoolArray]:
    """Draw cleaned masks of 2 mm on the grid; what comes out empty is drawn again.

    Raises
    ------
    DataError
        The model draws nothing, again and again.
    """
    brain = brain_on(grid_of(SPACING_MM / FINE))
    masks: list[BoolArray] = []
    for again in range(MOST_ROUNDS):
        drawn = model.draw(max(count - len(masks), LEAST_DRAWN), seed + again)
        rng = np.random.default_rng([seed, again])
        cleaned = [clean(one, brain, rng) for one in drawn]
        masks += [mask for mask in cleaned if mask.any()]
        if len(masks) >= count:
            return masks[:count]
    raise DataError(f"only {len(masks)} of {count} drawn masks hold anything; train for longer")


def write_bank(folder: Path, masks: Sequence[BoolArray]) -> Path:
    """Write masks as a folder that a run's `data.lesions` reads."""
    grid = grid_of(SPACING_MM / FINE)
    like = read_map((np.zeros(grid.shape, np.float32), grid.affine))
    (folder / BANK).mkdir(parents=True, exist_ok=True)
    for number, mask in enumerate(masks, start=1):
        write(folder / BANK / f"drawn-{number:04d}.nii.gz", mask.astype(np.uint8), like)
    return folder / BANK


def describe(name: str, mask: BoolArray, grid: Grid) -> MaskFacts:
    """Measure a mask (I, J, K); sphericity is that of its largest part, 1 for a ball."""
    places = np.argwhere(mask) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    # Nothing of what is asked of shapes depends on where they lie.
    labels, parts = ndimage.label(mask[bounding_box(mask) or ...], np.ones((3, 3, 3)))
    largest = labels == 1 + int(np.argmax(np.bincount(labels.reshape(-1))[1:]))
    volume_mm3 = float(largest.sum()) * grid.voxel_volume_ml * 1000
    ball_mm2 = np.pi ** (1 / 3) * (6 * volume_mm3) ** (2 / 3)
    left = float((places[:, 0] < 0).mean())
    x, y, z = places.mean(axis=0).tolist()
    return MaskFacts(
        name,
        float(mask.sum()) * grid.voxel_volume_ml,
        *(x, y, z),
        float(ball_mm2 / surface_area_mm2(largest, grid)),
        int(parts),
        min(left, 1 - left) > ACROSS,
    )


def with_nearest(
    facts: Sequence[MaskFacts],
    masks: Sequence[AnyArray],
    real: Sequence[MaskFacts],
    others: Sequence[AnyArray],
) -> tuple[MaskFacts, ...]:
    """Find for each mask the real one of the highest Dice, itself left out.

    `masks` are of 4 mm, `others` (M, I, J, K) those of `real`; either may be mirrored, as training
    mirrors them.
    """
    rows = _rows(masks)
    best: list[tuple[float, str]] = [(0.0, "")] * len(facts)
    for turned in (False, True):
        theirs = _rows([mask[::-1] if turned else mask for mask in others])
        both = (rows @ theirs.T).toarray()
        total = np.asarray(rows.sum(axis=1)).reshape(-1, 1) + np.asarray(theirs.sum(axis=1)).ravel()
        dice = 2 * both / np.maximum(total, 1)
        for place, fact in enumerate(facts):
            same = np.array([other.name == fact.name for other in real])
            scores = np.where(same, -1, dice[place])
            index = int(scores.argmax())
            best[place] = max(best[place], (float(scores[index]), real[index].name))
    return tuple(
        replace(fact, nearest=name, nearest_dice=value)
        for fact, (value, name) in zip(facts, best, strict=True)
    )


def _rows(masks: Sequence[AnyArray]) -> "sparse.csr_array":
    flat = [sparse.csr_array((mask >= 0.5).reshape(1, -1).astype(np.float32)) for mask in masks]
    return sparse.csr_array(sparse.vstack(flat))


def coarse(mask: BoolArray) -> FloatArray:
    """Give a mask of 2 mm as shares of voxels of 4 mm."""
    i, j, k = SHAPE
    blocks = mask.reshape(i, FINE, j, FINE, k, FINE)
    return np.asarray(blocks.mean(axis=(1, 3, 5)), dtype=np.float32)


def write_table(path: Path, facts: Sequence[MaskFacts]) -> None:
    """Write figures of masks as TSV."""
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(field.name for field in fields(MaskFacts))
    for fact in facts:
        table.writerow(f"{v:.4g}" if isinstance(v, float) else v for v in astuple(fact))
    write_text(path, text.getvalue())
