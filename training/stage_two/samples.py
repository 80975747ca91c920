"""What a second stage learns from: samples in small voxels, and what the first stage says of them.

The first stage is the frozen model itself, run on the sample brought to its own voxels; what it
takes for lesion, rightly or not, is what the second will be shown.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
import torch
from scipy import ndimage

from strokeseg.arrays import BoolArray, FloatArray, LabelArray, Shape3
from strokeseg.engines.flips import FLIPS
from strokeseg.engines.scan import lesion_maps, scan_logits
from strokeseg.models.loading import LoadedModel
from strokeseg.models.second_stage import Channel
from strokeseg.prediction.preparation import lay_windows, prepared_image
from strokeseg.prediction.second_channels import head_frame, stage_images
from strokeseg.space.grid import Grid, working_grid
from strokeseg.space.resample import resample_image, resample_logits
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import Heads, Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.stage_two.settings import CropConfig, ObjectiveConfig, StageTwoConfig
from strokeseg.training.synthesis.sample import make_sample

CORE, RIM = 1, 2
PARTS = ("core", "rim")
_OVERLAP = 0.25
# Samples that steps of a run still ask for.
_KEPT = 2


@dataclass(frozen=True, eq=False)
class StageSample:
    """A sample as a second stage sees it, whole.

    Parameters
    ----------
    images : (images, I, J, K) float32 array
        Its channels.
    parts : (I, J, K) uint8 array
        0, core or rim.
    distance_mm : (I, J, K) float32 array
        Signed distance to the lesion's edge, inside positive, clipped.
    found : (I, J, K) bool array
        Where the first stage's probability reaches the threshold.
    """

    images: FloatArray
    parts: LabelArray
    distance_mm: FloatArray
    found: BoolArray


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop of a sample, flipped at random."""

    images: FloatArray
    parts: LabelArray
    distance_mm: FloatArray


def first_logits(image: FloatArray, grid: Grid, first: LoadedModel) -> tuple[FloatArray, Grid]:
    """Run a first stage, one pass, on an image (I, J, K); its logits on its own grid."""
    config = first.model.config
    working = working_grid(grid, config.voxel_size_mm)
    seen = prepared_image(resample_image(image, grid, working), config)
    step = max(config.spec.stride_product)
    edge = min(config.window, -(-max(seen.shape) // step) * step)
    plan = lay_windows(seen, config, edge, _OVERLAP)
    return scan_logits(first.engine, seen, plan, FLIPS[:1]).mean, working


def signed_distance(lesion: BoolArray, voxel_size_mm: float, limit_mm: float) -> FloatArray:
    """Give the distance to a lesion's edge in mm, positive inside, clipped; the edge lies between.

    A voxel beside the edge is half a voxel from it.
    """
    if not lesion.any():
        return np.full(lesion.shape, -limit_mm, np.float32)
    half = voxel_size_mm / 2
    inside = ndimage.distance_transform_edt(lesion, sampling=voxel_size_mm) - half
    outside = ndimage.distance_transform_edt(~lesion, sampling=voxel_size_mm) - half
    signed = np.where(lesion, inside, -outside)
    return np.asarray(np.clip(signed, -limit_mm, limit_mm), np.float32)


def parted(lesion: BoolArray, distance_mm: FloatArray, rim_mm: float) -> LabelArray:
    """Part a lesion: within `rim_mm` of its edge is rim, the rest core."""
    parts = np.where(distance_mm < rim_mm, np.uint8(RIM), np.uint8(CORE))
    return np.where(lesion, parts, np.uint8(0))


def stage_sample(
    image: FloatArray, target: LabelArray, config: StageTwoConfig, first: LoadedModel
) -> StageSample:
    """Show a normalised image (I, J, K) and its target to the first stage, and part its lesion."""
    size = config.voxel_size_mm
    grid = Grid(image.shape, np.diag([size, size, size, 1.0]))
    coarse, working = first_logits(image, grid, first)
    logits = resample_logits(coarse, working, grid, slice(0, grid.shape[0]))
    sees = cast(tuple[Channel, ...], config.network.sees)
    frame = head_frame(coarse, working) if "place" in sees else None
    odds = lesion_maps(logits)[0]
    threshold = config.crops.threshold
    lesion = target == LESION
    objective: ObjectiveConfig = config.objective
    distance = signed_distance(lesion, size, objective.distance_mm)
    return StageSample(
        stage_images(sees, image, logits, grid, frame),
        parted(lesion, distance, objective.rim_mm),
        distance,
        odds >= np.float32(np.log(threshold / (1 - threshold))),
    )


def draw_crop(rng: np.random.Generator, sample: StageSample, config: CropConfig) -> Crop:
    """Draw a crop on a true lesion, on a false one of the first stage, or anywhere."""
    kind, lesion = rng.random(), sample.parts > 0
    wanted: BoolArray | None = None
    if kind < config.lesion_share:
        wanted = lesion
    elif kind < config.lesion_share + config.false_share:
        wanted = sample.found & ~lesion
    shape: Shape3 = sample.found.shape
    middle = np.array([int(rng.integers(size)) for size in shape])
    wander = rng.integers(-config.edge_vox // 4, config.edge_vox // 4 + 1, 3)
    turned = tuple(axis - 3 for axis in range(3) if rng.random() < 0.5)
    places = np.flatnonzero(wanted) if wanted is not None else np.empty(0, np.int64)
    if places.size:
        chosen = int(places[int(rng.integers(places.size))])
        middle = np.array(np.unravel_index(chosen, shape)) + wander
    edge = config.edge_vox
    low = np.clip(middle - edge // 2, 0, np.array(shape) - edge)
    i, j, k = (slice(int(first), int(first) + edge) for first in low)
    return Crop(
        np.ascontiguousarray(np.flip(sample.images[:, i, j, k], turned)),
        np.ascontiguousarray(np.flip(sample.parts[i, j, k], turned)),
        np.ascontiguousarray(np.flip(sample.distance_mm[i, j, k], turned)),
    )


class StageSamples:
    """Samples of a run by their index, the last of them kept.

    Parameters
    ----------
    config
        Of the second stage.
    run
        What its samples are drawn by.
    sources
        What they are drawn from.
    first
        The first stage.
    """

    def __init__(
        self, config: StageTwoConfig, run: TrainConfig, sources: Sources, first: LoadedModel
    ) -> None:
        heads = Heads(sources.subjects, torch.device("cpu"))

        @lru_cache(_KEPT)
        def made(index: int) -> StageSample:
            sample = make_sample(index, sources, run, heads)
            return stage_sample(sample.image.numpy(), sample.target.numpy(), config, first)

        self._made = made

    def __getitem__(self, index: int) -> StageSample:
        """Make a sample, or give it again."""
        return self._made(index)
