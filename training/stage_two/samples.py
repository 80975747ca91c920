"""What a second stage learns from: samples in small voxels, and what the first stage says of them.

The first stage is the frozen model itself, run on the sample brought to its own voxels; what it
takes for lesion, rightly or not, is what the second will be shown.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import cast

import numpy as np
import torch
from scipy import ndimage

from strokeseg.arrays import AnyArray, BoolArray, FloatArray, IntArray, LabelArray, Shape3
from strokeseg.engines.flips import FLIPS
from strokeseg.engines.scan import lesion_maps, scan_logits
from strokeseg.images.intensity import normalise
from strokeseg.measure.brain_box import grid_of
from strokeseg.measure.components import Box
from strokeseg.models.loading import LoadedModel
from strokeseg.models.second_stage import Channel
from strokeseg.prediction.field_of_view import find_brain
from strokeseg.prediction.preparation import lay_windows, prepared_image
from strokeseg.prediction.second_channels import head_frame, stage_images
from strokeseg.prediction.second_stage import box_within
from strokeseg.space.grid import Grid, working_grid
from strokeseg.space.resample import resample_image, resample_logits
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.sources import Heads, Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.stage_two.settings import CropConfig, ObjectiveConfig, StageTwoConfig
from strokeseg.training.stage_two.store import SampleStore
from strokeseg.training.synthesis.sample import make_sample

CORE, RIM = 1, 2
PARTS = ("core", "rim")
_OVERLAP = 0.25


@dataclass(frozen=True, eq=False)
class StageSample:
    """A sample as a second stage sees it, whole.

    Parameters
    ----------
    images : (images, I, J, K) float16 array
        Its channels.
    parts : (I, J, K) uint8 array
        0, core or rim.
    distance_mm : (I, J, K) float16 array
        Signed distance to the lesion's edge, inside positive, clipped.
    found : (I, J, K) bool array
        Where the first stage's probability reaches the threshold.
    """

    images: AnyArray
    parts: LabelArray
    distance_mm: AnyArray
    found: BoolArray

    @cached_property
    def hits(self) -> IntArray:
        """Where the first stage is right about the lesion; flat."""
        return np.flatnonzero(self.found & (self.parts > 0))

    @cached_property
    def false_alarms(self) -> IntArray:
        """Where it takes something else for lesion; flat."""
        return np.flatnonzero(self.found & (self.parts == 0))


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop of a sample, flipped at random."""

    images: FloatArray
    parts: LabelArray
    distance_mm: FloatArray


@dataclass(frozen=True, eq=False)
class FirstLook:
    """What a first stage says of a scan, one pass, as the product runs it.

    `logits` (C, I, J, K) are on `grid`, which the brain's box is of where the model cuts to it;
    `kept` is where that lies in the scan.
    """

    logits: FloatArray
    grid: Grid
    kept: Box


def first_look(image: FloatArray, grid: Grid, first: LoadedModel, least_vox: int) -> FirstLook:
    """Run a first stage on an image (I, J, K): on its brain alone, where the model wants that.

    Where no brain is found, or its box would have an edge below `least_vox`, it is on the whole.
    """
    config, whole = first.model.config, tuple(slice(0, size) for size in grid.shape)
    working = working_grid(grid, config.voxel_size_mm)
    coarse = resample_image(image, grid, working)
    wants_brain = config.field_of_view == "brain"
    box = find_brain(coarse, working, first, config.window) if wants_brain else None
    kept = whole if box is None else box_within(grid_of(box, working), grid)
    if box is not None and min(side.stop - side.start for side in kept) >= least_vox:
        coarse, working = np.ascontiguousarray(coarse[box]), grid_of(box, working)
    else:
        kept = whole
    seen = prepared_image(coarse, config)
    step = max(config.spec.stride_product)
    edge = min(config.window, -(-max(seen.shape) // step) * step)
    plan = lay_windows(seen, config, edge, _OVERLAP)
    logits = scan_logits(first.engine, seen, plan, FLIPS[:1]).mean
    i, j, k = kept
    return FirstLook(logits, working, (i, j, k))


def signed_distance(lesion: BoolArray, voxel_size_mm: float, limit_mm: float) -> FloatArray:
    """Give the distance to a lesion's edge in mm, positive inside, clipped; the edge lies between.

    A voxel beside the edge is half a voxel from it.
    """
    if not lesion.any():
        return np.full(lesion.shape, -limit_mm, np.float32)
    half, margin = voxel_size_mm / 2, math.ceil(limit_mm / voxel_size_mm) + 1
    # Farther off everything is clipped.
    (near,) = ndimage.find_objects(lesion.view(np.uint8))
    box = tuple(slice(max(s.start - margin, 0), s.stop + margin) for s in near)
    inside = ndimage.distance_transform_edt(lesion[box], sampling=voxel_size_mm) - half
    outside = ndimage.distance_transform_edt(~lesion[box], sampling=voxel_size_mm) - half
    distance = np.full(lesion.shape, -limit_mm, np.float32)
    distance[box] = np.clip(np.where(lesion[box], inside, -outside), -limit_mm, limit_mm)
    return distance


def parted(lesion: BoolArray, distance_mm: FloatArray, rim_mm: float) -> LabelArray:
    """Part a lesion: within `rim_mm` of its edge is rim, the rest core."""
    parts = np.where(distance_mm < rim_mm, np.uint8(RIM), np.uint8(CORE))
    return np.where(lesion, parts, np.uint8(0))


def stage_sample(
    image: FloatArray, target: LabelArray, config: StageTwoConfig, first: LoadedModel
) -> StageSample:
    """Show an image (I, J, K) and its target to the first stage, and part its lesion.

    What the first cuts off is no part of the sample; the rest is normalised as the product does it.
    """
    size = config.voxel_size_mm
    whole = Grid(image.shape, np.diag([size, size, size, 1.0]))
    look = first_look(image, whole, first, config.crops.edge_vox)
    grid, settings = grid_of(look.kept, whole), first.model.config
    image = normalise(
        np.ascontiguousarray(image[look.kept]), settings.normalisation, quantiles=settings.quantiles
    )
    target = target[look.kept]
    logits = resample_logits(look.logits, look.grid, grid, slice(0, grid.shape[0]))
    sees = cast(tuple[Channel, ...], config.network.sees)
    frame = head_frame(look.logits, look.grid) if "place" in sees else None
    odds = lesion_maps(logits)[0]
    threshold = config.crops.threshold
    lesion = target == LESION
    objective: ObjectiveConfig = config.objective
    distance = signed_distance(lesion, size, objective.distance_mm)
    return StageSample(
        stage_images(sees, image, logits, grid, frame).astype(np.float16),
        parted(lesion, distance, objective.rim_mm),
        distance.astype(np.float16),
        odds >= np.float32(np.log(threshold / (1 - threshold))),
    )


def draw_crop(
    rng: np.random.Generator,
    samples: Sequence[StageSample],
    config: CropConfig,
    sees: Sequence[str] = (),
) -> Crop:
    """Draw a crop on a true lesion, on a false one of the first stage, or anywhere.

    It is of one of the samples that have such a place, each as likely; of any where none has.
    `sees` names the images whose intensities are to vary: ``scan`` and ``lesion``, of one image.
    """
    kind, order = rng.random(), rng.permutation(len(samples))
    sample, places = samples[int(order[0])], np.empty(0, np.intp)
    for one in [samples[int(number)] for number in order]:
        if kind < config.lesion_share:
            places = one.hits
        elif kind < config.lesion_share + config.false_share:
            places = one.false_alarms
        if places.size:
            sample = one
            break
    shape: Shape3 = sample.found.shape
    middle = np.array([int(rng.integers(size)) for size in shape])
    wander = rng.integers(-config.edge_vox // 4, config.edge_vox // 4 + 1, 3)
    turned = tuple(axis - 3 for axis in range(3) if rng.random() < 0.5)
    if places.size:
        chosen = int(places[int(rng.integers(places.size))])
        middle = np.array(np.unravel_index(chosen, shape)) + wander
    edge = config.edge_vox
    low = np.clip(middle - edge // 2, 0, np.array(shape) - edge)
    i, j, k = (slice(int(first), int(first) + edge) for first in low)
    images = np.ascontiguousarray(np.flip(sample.images[:, i, j, k], turned), np.float32)
    for number, name in enumerate(sees):
        if config.jitter > 0 and name in ("scan", "lesion"):
            stretched, shifted = rng.normal(0.0, config.jitter, 2)
            images[number] = images[number] * np.float32(1 + stretched) + np.float32(shifted)
    return Crop(
        images,
        np.ascontiguousarray(np.flip(sample.parts[i, j, k], turned)),
        np.ascontiguousarray(np.flip(sample.distance_mm[i, j, k], turned), np.float32),
    )


class StageSamples:
    """Samples of a run by their index, the last of them kept, and all of them in a store.

    Parameters
    ----------
    config
        Of the second stage.
    run
        What its samples are drawn by.
    sources
        Gives what they are drawn from; not asked where all are in the store.
    first
        The first stage.
    """

    def __init__(
        self,
        config: StageTwoConfig,
        run: TrainConfig,
        sources: Callable[[], Sources],
        first: LoadedModel,
    ) -> None:
        store = SampleStore.of(config, run, first.model.sha256)

        @lru_cache(1)
        def origin() -> tuple[Sources, Heads]:
            read = sources()
            return read, Heads(read.subjects, torch.device("cpu"))

        @lru_cache(config.crops.kept + 1)
        def made(index: int) -> StageSample:
            kept = None if store is None else store.read(index)
            if kept is not None:
                return StageSample(**kept)
            read, heads = origin()
            sample = make_sample(index, read, run, heads)
            shown = stage_sample(sample.image.numpy(), sample.target.numpy(), config, first)
            if store is not None:
                store.write(index, {one.name: getattr(shown, one.name) for one in fields(shown)})
            return shown

        self._made = made
        self._crops = config.crops

    def __getitem__(self, index: int) -> StageSample:
        """Make a sample, or give it again."""
        most = self._crops.most_samples
        return self._made(index % most if most else index)

    def kept_at(self, step: int) -> list[StageSample]:
        """Give those that a step may take its crops of."""
        newest = step // self._crops.per_sample
        return [self[index] for index in range(max(0, newest - self._crops.kept + 1), newest + 1)]
