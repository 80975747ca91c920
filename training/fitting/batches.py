"""Batches by index, so that a resumed run sees what an unbroken one would."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from strokeseg.errors import StrokesegError
from strokeseg.training.data.sources import Heads, Sources
from strokeseg.training.settings import TrainConfig
from strokeseg.training.synthesis.sample import make_step

PREFETCH = 4

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Generation:
    """Where samples are made: on the device itself (CUDA), or by workers on the CPU."""

    device: torch.device
    workers: int = 1


class SampleDataset(Dataset[Batch | StrokesegError]):
    """Samples of a run from its `start`-th on, made on the CPU."""

    def __init__(self, sources: Sources, config: TrainConfig, start: int) -> None:
        self.sources = sources
        self.config = config
        self.start = start
        self.heads = Heads(sources.subjects, torch.device("cpu"))

    def __len__(self) -> int:
        """Count what is left of the run."""
        return self.config.optimiser.steps * self.config.optimiser.batch - self.start

    def __getitem__(self, index: int) -> Batch | StrokesegError:
        """Return images (N, 1, I, J, K) float32 and targets: what a step sees of a sample.

        An error that a user can mend is returned: raised, it would come out of a worker with its
        traceback for a message.
        """
        try:
            return make_step(self.start + index, self.sources, self.config, self.heads)
        except StrokesegError as error:
            return error


def make_batches(
    sources: Sources, config: TrainConfig, start: int, generation: Generation
) -> Iterator[Batch]:
    """Give the batches that are left from sample `start` on, on the device.

    On CUDA they are made there, in this process: kernels are queued, and what waits is the host.
    Elsewhere they come from worker processes of one thread each.
    """
    if generation.device.type == "cuda":
        yield from _on_device(sources, config, start, generation.device)
        return
    dataset = SampleDataset(sources, config, start)
    # A generator of its own: the loader draws seeds for its workers, which must not move the
    # global one that dropout draws from.
    loader = DataLoader(
        dataset,
        batch_size=config.optimiser.batch,
        collate_fn=_join_made,
        num_workers=generation.workers,
        prefetch_factor=PREFETCH if generation.workers else None,
        worker_init_fn=prepare_worker,
        generator=torch.Generator(),
    )
    for made in loader:
        if isinstance(made, StrokesegError):
            raise made
        image, target = made
        yield image.to(generation.device), target.to(generation.device)


def _on_device(
    sources: Sources, config: TrainConfig, start: int, device: torch.device
) -> Iterator[Batch]:
    heads = Heads(sources.subjects, device)
    size = config.optimiser.batch
    for first in range(start, config.optimiser.steps * size, size):
        yield _join([make_step(first + i, sources, config, heads) for i in range(size)])


def _join_made(parts: list[Batch | StrokesegError]) -> Batch | StrokesegError:
    """Join what was made, or give the first error."""
    errors = [part for part in parts if isinstance(part, StrokesegError)]
    return errors[0] if errors else _join([p for p in parts if not isinstance(p, StrokesegError)])


def _join(parts: list[Batch]) -> Batch:
    images, targets = zip(*parts, strict=True)
    return torch.cat(images), torch.cat(targets)


def prepare_worker(_worker: int) -> None:
    """Give a worker process one thread, and Ctrl-C to its parent."""
    torch.set_num_threads(1)
    # Ctrl-C is the parent's to answer: it still wants to save.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
