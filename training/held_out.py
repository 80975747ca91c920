"""Models side by side on held-out people, heads and lesions: what each network knows, kind by kind.

``python -m strokeseg.training.held_out before=old/model now=weights/synth-open -o DIR`` gives every
model the same crops in one pass, its own threshold, offsets and fusion, and no further rule. It
writes table.md, cases.tsv, shown.md (how much is found of what a scan shows) and, of the last
model, worst_slices.png, worst_drawn.png and worst_pasted.png.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from io import StringIO
from pathlib import Path

import numpy as np
from scipy import ndimage, stats

from strokeseg.arrays import BoolArray, FloatArray
from strokeseg.engines.scan import lesion_maps
from strokeseg.errors import UsageError
from strokeseg.evaluation.metrics.voxels import dice
from strokeseg.files.atomic import write_text
from strokeseg.models.config import ModelConfig
from strokeseg.models.fusion import fuse, said
from strokeseg.models.loading import Hardware, LoadedModel, load_model
from strokeseg.training.command_line import command_parser, run_command
from strokeseg.training.config import read_config
from strokeseg.training.data.sources import load_sources
from strokeseg.training.held_out_gallery import Tile, draw_worst
from strokeseg.training.settings import TrainConfig
from strokeseg.training.validation.held_out_crops import (
    DRAWN,
    FREE,
    FREE_SLICES,
    HEADS,
    PASTED,
    SLICES,
    Counts,
    HeldOutCrop,
    held_out_crops,
)

# The brain around a lesion that its grey is held against.
NEAR_MM, FAR_MM = 2.0, 12.0
SHOWN = ((0.8, math.inf), (0.6, 0.8), (0.4, 0.6), (0.0, 0.4))
PICTURES = {SLICES: "worst_slices.png", DRAWN: "worst_drawn.png", PASTED: "worst_pasted.png"}
AREA, VOLUME, OVERLAP = "false cm2", "false ml", "Dice"


@dataclass(frozen=True)
class Score:
    """A model on a case: Dice where there is a lesion, else how much it invents.

    `false` is in ml, of slices in cm2, and so is `true`; `shown` is the Kolmogorov-Smirnov distance
    of the lesion's grey from that of the brain around it, of single images with a lesion.
    """

    model: str
    kind: str
    case: str
    sequences: str
    true: float
    false: float
    dice: float | None
    shown: float | None


def scores_of(
    crop: HeldOutCrop, models: Mapping[str, LoadedModel], voxel_size_mm: float
) -> Iterator[tuple[Score, BoolArray]]:
    """Judge every model on a case, with the mask that it draws; of drawn heads each image, too.

    Parameters
    ----------
    crop
        The case.
    models
        By the name that the tables have for them.
    voxel_size_mm
        Of the crop.
    """
    singles = crop.images if len(crop.images) > 1 else {}
    shown = {
        name: grey_distance(image, crop.truth, voxel_size_mm)
        for name, image in crop.images.items()
        if crop.truth.any() and crop.axis is None
    }
    for name, model in models.items():
        config = model.model.config
        odds = {key: _odds(model, key, image) for key, image in crop.images.items()}
        for modality in singles:
            mask = _mask(odds[modality], config)
            told = (name, crop, mask, modality, shown.get(modality), voxel_size_mm)
            yield _score(*told), mask
        mask = _mask(_fused(odds, config), config)
        own = None if singles else shown.get(crop.sequences)
        yield _score(name, crop, mask, crop.sequences, own, voxel_size_mm), mask


def grey_distance(image: FloatArray, lesion: BoolArray, voxel_size_mm: float) -> float | None:
    """Tell how far a lesion's grey lies from that of what is around it.

    Parameters
    ----------
    image : (I, J, K) float32 array
    lesion : (I, J, K) bool array
        Its mask, with at least a voxel.
    voxel_size_mm
        Edge of a voxel.

    Returns
    -------
    float or None
        The Kolmogorov-Smirnov distance, 0 to 1, between the voxels of the lesion and those from 2
        to 12 mm from it that are not darkest; None where nothing is around.
    """
    distance = ndimage.distance_transform_edt(~lesion) * voxel_size_mm
    around = (distance > NEAR_MM) & (distance < FAR_MM) & (image > image.min())
    if not around.any():
        return None
    return float(stats.ks_2samp(image[lesion], image[around]).statistic)


def _odds(model: LoadedModel, modality: str, image: FloatArray) -> FloatArray:
    odds = lesion_maps(model.engine.logits(np.ascontiguousarray(image, np.float32)))[0]
    return odds + np.float32(model.model.config.lesion_offsets.get(modality, 0.0))


def _fused(odds: Mapping[str, FloatArray], config: ModelConfig) -> FloatArray:
    if len(odds) == 1:
        return next(iter(odds.values()))
    fusion = config.fusion
    heard = [said(values, name, fusion) for name, values in odds.items()]
    counts = [np.full_like(v, fusion.weight(n)) for n, v in odds.items()]
    return fuse(heard, counts, fusion)


def _mask(odds: FloatArray, config: ModelConfig) -> BoolArray:
    """Draw the lesion where its probability reaches the model's threshold, else a half."""
    threshold = 0.5 if config.threshold is None else config.threshold
    mask: BoolArray = odds >= math.log(threshold / (1 - threshold))
    return mask


def _score(
    model: str,
    crop: HeldOutCrop,
    mask: BoolArray,
    sequences: str,
    shown: float | None,
    voxel_size_mm: float,
) -> Score:
    truth = crop.truth
    unit = voxel_size_mm**3 / 1000
    if crop.axis is not None:
        mask, truth = (_middle(values, crop.axis) for values in (mask, truth))
        unit = voxel_size_mm**2 / 100
    true, false = (float(np.count_nonzero(m)) * unit for m in (truth, mask & ~truth))
    overlap = dice(mask, truth) if truth.any() else None
    return Score(model, crop.kind, crop.name, sequences, true, false, overlap, shown)


def _middle(values: BoolArray, axis: int) -> BoolArray:
    found: BoolArray = np.take(values, values.shape[axis] // 2, axis)
    return found


def row_of(score: Score) -> tuple[str, str]:
    """Name the row of the table that a score belongs to, and what is measured there."""
    by_sequence = score.kind in (HEADS, PASTED, FREE)
    kind = f"{score.kind}, {score.sequences}" if by_sequence else score.kind
    if score.dice is not None:
        return kind, OVERLAP
    return kind, AREA if score.kind == FREE_SLICES else VOLUME


def table(scores: Sequence[Score]) -> str:
    """Give means by kind of case and model as Markdown."""
    models = list(dict.fromkeys(score.model for score in scores))
    lines = [f"| kind | n | measure | {' | '.join(models)} |", "|---" * (3 + len(models)) + "|"]
    for row in dict.fromkeys(row_of(score) for score in scores):
        own = [score for score in scores if row_of(score) == row]
        is_overlap = row[1] == OVERLAP
        means = [
            np.mean([(s.dice or 0.0) if is_overlap else s.false for s in own if s.model == name])
            for name in models
        ]
        cells = [f"{mean:.3f}" if is_overlap else f"{mean:.1f}" for mean in means]
        lines.append(f"| {row[0]} | {len(own) // len(models)} | {row[1]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shown_table(scores: Sequence[Score]) -> str:
    """Give the Dice of single images of drawn heads by how much they show, as Markdown."""
    models = list(dict.fromkeys(score.model for score in scores))
    lines = [f"| distance of the grey | n | {' | '.join(models)} |"]
    lines.append("|---" * (2 + len(models)) + "|")
    for low, high in SHOWN:
        own = [
            s for s in scores if s.kind == HEADS and s.shown is not None and low <= s.shown < high
        ]
        if not own:
            continue
        name = f"{low:g} and more" if math.isinf(high) else f"{low:g} to {high:g}"
        means = [np.mean([s.dice or 0.0 for s in own if s.model == m]) for m in models]
        cells = " | ".join(f"{mean:.3f}" for mean in means)
        lines.append(f"| {name} | {len(own) // len(models)} | {cells} |")
    return "\n".join(lines) + "\n"


def compare(
    models: Mapping[str, LoadedModel], config: TrainConfig, counts: Counts
) -> tuple[list[Score], dict[str, list[Tile]]]:
    """Judge models on all held-out crops; the last one's tiles, by kind, are for pictures.

    Raises
    ------
    UsageError
        A model works on other voxels than the configuration's.
    """
    size = config.data.voxel_size_mm
    for name, model in models.items():
        own = model.model.config.voxel_size_mm
        if own != size:
            raise UsageError(
                f"{name}: works on voxels of {own:g} mm, the configuration on {size:g}"
            )
    last = list(models)[-1]
    scores: list[Score] = []
    tiles: dict[str, list[Tile]] = {kind: [] for kind in PICTURES}
    for crop in held_out_crops(load_sources(config.data, held_out=True), config, counts):
        for score, mask in scores_of(crop, models, size):
            scores.append(score)
            if score.model == last and score.dice is not None and crop.kind in tiles:
                tiles[crop.kind].append(_tile(score, crop, mask))
    return scores, tiles


def _tile(score: Score, crop: HeldOutCrop, mask: BoolArray) -> Tile:
    """Cut the plane that is judged, or the axial one with most of the lesion."""
    (image,) = crop.images.values()
    axis = 2 if crop.axis is None else crop.axis
    others = tuple(a for a in range(3) if a != axis)
    level = int(crop.truth.sum(axis=others).argmax())
    if crop.axis is not None:
        level = image.shape[axis] // 2
    planes = (np.take(values, level, axis) for values in (image, crop.truth, mask))
    unit = "ml" if crop.axis is None else "cm2"
    title = f"{score.case}: {score.true:.1f} {unit}, Dice {score.dice:.2f}"
    return Tile(score.dice or 0.0, title, *planes)


def main(arguments: Sequence[str] | None = None) -> str:
    """Run `python -m strokeseg.training.held_out`."""
    parser = command_parser("held_out", __doc__)
    parser.add_argument("models", nargs="+", metavar="[NAME=]MODEL", help="names or folders")
    parser.add_argument("--config", default="synth-open", help="its held-out data is used")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of cases")
    parser.add_argument("--worst", type=int, default=12, help="cases a picture")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder")
    given = parser.parse_args(arguments)
    if not 0 < given.share <= 100 or given.worst < 1:
        raise UsageError("--share must be above 0, up to 100, and --worst at least 1")
    config = read_config(given.config)
    hardware = Hardware(engine=given.engine, threads=given.threads)
    models = {}
    for entry in given.models:
        name, _, folder = entry.rpartition("=")
        models[name or Path(folder).name] = load_model(folder, hardware, stages=1)
    scores, tiles = compare(models, config, Counts.by_share(given.share))
    given.output.mkdir(parents=True, exist_ok=True)
    text = StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow([one.name for one in fields(Score)])
    writer.writerows(astuple(score) for score in scores)
    write_text(given.output / "cases.tsv", text.getvalue())
    write_text(given.output / "table.md", table(scores))
    write_text(given.output / "shown.md", shown_table(scores))
    for kind, found in tiles.items():
        if found:
            draw_worst(found, given.worst, given.output / PICTURES[kind])
    return table(scores)


if __name__ == "__main__":
    run_command(main)
