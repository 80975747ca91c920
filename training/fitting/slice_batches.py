"""Batches of slices, for a network that sees three planes; a resumed run sees the same ones.

A sample is made once and serves for many steps: step s draws from the newest samples up to a number
that depends on s alone, so their indices are known, and a resumed run makes those again. What is
drawn hangs on (seed, step).
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from strokeseg.errors import StrokesegError
from strokeseg.training.data.label_table import LESION
from strokeseg.training.data.slices import PLANES, Slices
from strokeseg.training.data.sources import Heads, Sources
from strokeseg.training.fitting.batches import PREFETCH, Batch, Generation, prepare_worker
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.sample import make_sample
from strokeseg.training.synthesis.slices import build_slice, draw_slices

# Streams of random numbers beside those of samples, which are drawn by (seed, index).
_POOL, _REAL = 1, 2


@dataclass(frozen=True)
class Fresh:
    """What a step brings: images (M, I, J, K) float16 and targets, and real slices as a batch."""

    images: torch.Tensor
    targets: torch.Tensor
    real: Batch | None

    def samples(self) -> Iterator[Batch]:
        """Give image and target of each sample."""
        return zip(self.images, self.targets, strict=True)


def sample_end(step: int, config: TrainConfig) -> int:
    """Give the number of the first sample that step `step` does not know yet."""
    return samples_at_once(config) + math.floor((step + 1) * config.planar.fresh_per_step)


def samples_at_once(config: TrainConfig) -> int:
    """Count the samples whose slices a step takes."""
    return -(-config.optimiser.batch // config.planar.slices_per_sample)


def pool_start(step: int, config: TrainConfig) -> int:
    """Give the step whose samples are the oldest in the pool of step `step`."""
    oldest = sample_end(step, config) - config.planar.pool
    while step > 0 and sample_end(step - 1, config) > oldest:
        step -= 1
    return step


class FreshDataset(Dataset[Fresh | StrokesegError]):
    """What the steps of a run bring; those before step `start` only fill the pool."""

    def __init__(
        self, sources: Sources, config: TrainConfig, start: int, device: torch.device
    ) -> None:
        self.sources = sources
        self.config = config
        self.start = start
        self.first = pool_start(start, config)
        self.heads = Heads(sources.subjects, device)

    def __len__(self) -> int:
        """Count the steps that are left, and those that fill the pool."""
        return self.config.optimiser.steps - self.first

    def __getitem__(self, index: int) -> Fresh | StrokesegError:
        """Make what a step brings; an error that a user can mend is returned, as of samples."""
        try:
            return self._make(index)
        except StrokesegError as error:
            return error

    def _make(self, index: int) -> Fresh:
        step, config, device = self.first + index, self.config, self.heads.device
        known = sample_end(step - 1, config) if step else 0
        numbers = range(known, sample_end(step, config))
        shape = (len(numbers), *config.spatial.crop_vox)
        images = torch.empty(shape, dtype=torch.float16, device=device)
        targets = torch.empty(shape, dtype=torch.uint8, device=device)
        for place, number in enumerate(numbers):
            sample = make_sample(number, self.sources, config, self.heads)
            images[place], targets[place] = sample.image, sample.target
        planes = self.sources.slices if step >= self.start else ()
        return Fresh(images, targets, real_slices(step, planes, config, device))


def real_slices(
    step: int, planes: tuple[Slices, ...], config: TrainConfig, device: torch.device
) -> Batch | None:
    """Make the real slices of a step: (N, 3, A, B) float32 and their targets (N, A, B) uint8."""
    count, gap = config.planar.real_slices, config.planar.gap_vox
    if not planes or count == 0:
        return None
    rng = np.random.default_rng([config.seed, step, _REAL])
    # A crop just deep enough for the neighbours: the scanner's noise tells them apart.
    thin = replace(config.slices, thin_share=1.0, thin_count=1, thin_vox=2 * gap + 1)
    config = replace(config, slices=thin)
    stacks, targets = [], []
    for _ in range(count):
        (params,) = draw_slices(rng, planes, config)
        image, target = build_slice(params, planes, config, device)
        axis = PLANES[planes[params.plane].plane]
        repeated = rng.random() < config.planar.repeated_share
        places = (gap, gap, gap) if repeated else (0, gap, 2 * gap)
        stacks.append(torch.stack([image.select(axis, place) for place in places]))
        targets.append(target.select(axis, gap))
    return torch.stack(stacks), torch.stack(targets)


def make_slice_batches(
    sources: Sources, config: TrainConfig, step: int, generation: Generation
) -> Iterator[Batch]:
    """Give the batches that are left from step `step` on, on the device.

    Each has `optimiser.batch` slices of samples, then the real ones: (N, 3, A, B) float32 and
    (N, A, B) uint8. On CUDA samples are made there; elsewhere by worker processes.
    """
    device = generation.device
    made_on = device if device.type == "cuda" else torch.device("cpu")
    dataset = FreshDataset(sources, config, step, made_on)
    pool: deque[Batch] = deque(maxlen=config.planar.pool)
    for number, fresh in enumerate(_coming(dataset, generation), dataset.first):
        if isinstance(fresh, StrokesegError):
            raise fresh
        # Copies, since what comes from a worker fills memory that processes share.
        pool.extend((image.clone(), target.clone()) for image, target in fresh.samples())
        if number < step:
            continue
        rng = np.random.default_rng([config.seed, number, _POOL])
        images, targets = draw_from_pool(rng, pool, config)
        if fresh.real is not None:
            images = torch.cat((images, fresh.real[0]))
            targets = torch.cat((targets, fresh.real[1]))
        yield images.to(device), targets.to(device)


def _coming(dataset: FreshDataset, generation: Generation) -> Iterator[Fresh | StrokesegError]:
    if generation.device.type == "cuda" or not generation.workers:
        for index in range(len(dataset)):
            yield dataset[index]
        return
    yield from DataLoader(
        dataset,
        batch_size=None,
        num_workers=generation.workers,
        prefetch_factor=PREFETCH,
        worker_init_fn=prepare_worker,
        # Of its own, so that the seeds of workers do not move the global one.
        generator=torch.Generator(),
    )


def draw_from_pool(rng: np.random.Generator, pool: deque[Batch], config: TrainConfig) -> Batch:
    """Draw the slices of samples that a step sees: (N, 3, A, B) float32 and (N, A, B) uint8."""
    each, count = config.planar.slices_per_sample, config.optimiser.batch
    chosen = rng.integers(len(pool), size=samples_at_once(config)).repeat(each)[:count]
    lesion = 1 if config.lesion_only else LESION
    drawn = []
    for number in chosen:
        image, target = pool[int(number)]
        drawn.append(_draw_slice(rng, image, target, target == lesion, config))
    images, targets = zip(*drawn, strict=True)
    return torch.stack(images), torch.stack(targets)


def _draw_slice(
    rng: np.random.Generator,
    image: torch.Tensor,
    target: torch.Tensor,
    lesion: torch.Tensor,
    config: TrainConfig,
) -> Batch:
    """Draw a slice of a sample, its flips and the order of its neighbours."""
    axis = int(rng.integers(3))
    edge, gap = image.shape[axis], config.planar.gap_vox
    showing = lesion.movedim(axis, 0).flatten(1).any(dim=1).nonzero()[:, 0]
    wanted = rng.random() < config.planar.lesion_share
    place = int(rng.integers(len(showing) if wanted and len(showing) else edge))
    if wanted and len(showing):
        place = int(showing[place])
    places = (max(place - gap, 0), place, min(place + gap, edge - 1))
    turned = places[::-1] if rng.random() < 0.5 else places
    stack = torch.stack([image.select(axis, each) for each in turned]).float()
    flips = [dim for dim in (-2, -1) if rng.random() < 0.5]
    return stack.flip(flips), target.select(axis, place).flip(flips)
