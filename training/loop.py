"""The training loop: samples in, steps, checkpoints, a log of losses."""

import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from strokeseg.engines.torch_network import UNet
from strokeseg.errors import StrokesegError
from strokeseg.network_spec import NetworkSpec
from strokeseg.training.checkpoint import TrainState, load_checkpoint, save_checkpoint
from strokeseg.training.config import OptimiserConfig, TrainConfig, as_document
from strokeseg.training.labels import TISSUES
from strokeseg.training.losses import segmentation_loss
from strokeseg.training.sample import Sources, load_sources, make_sample

LAST = "last.pt"
LOG_STEPS = 20


class SampleDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Samples by index, so that a resumed run sees what an unbroken one would."""

    def __init__(self, sources: Sources, config: TrainConfig, start: int) -> None:
        self.sources = sources
        self.config = config
        self.start = start

    def __len__(self) -> int:
        """Count what is left of the run."""
        return self.config.optimiser.steps * self.config.optimiser.batch - self.start

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return image (1, I, J, K) float32 and target (I, J, K) uint8."""
        sample = make_sample(self.start + index, self.sources, self.config)
        return sample.image[None], sample.target


@dataclass
class Run:
    """A run's moving parts."""

    model: UNet
    average: dict[str, torch.Tensor]
    optimiser: torch.optim.Optimizer
    step: int


def network_spec(config: TrainConfig) -> NetworkSpec:
    """Give the architecture that a configuration trains: one image in, tissues and lesion out."""
    return NetworkSpec(
        in_channels=1,
        out_channels=len(TISSUES) + 1,
        channels=config.channels,
        strides=((2, 2, 2),) * (len(config.channels) - 1),
        num_res_units=1,
        dropout=config.optimiser.dropout,
    )


def learning_rate(step: int, config: OptimiserConfig) -> float:
    """Polynomial decay after a linear warm-up."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    decay = max(1 - step / config.steps, 0.0) ** config.decay_power
    return float(config.learning_rate * warm * decay)


def start_run(config: TrainConfig, folder: Path, resume: bool, device: torch.device) -> Run:
    """Build the model and optimiser, or take them from the folder's last checkpoint."""
    torch.manual_seed(config.seed)
    model = UNet(network_spec(config)).to(device)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.optimiser.learning_rate,
        weight_decay=config.optimiser.weight_decay, fused=True,
    )
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    step = 0
    if resume and (folder / LAST).exists():
        state = load_checkpoint(folder / LAST)
        model.load_state_dict(state.model)
        optimiser.load_state_dict(state.optimiser)
        average = {k: v.to(device) for k, v in state.average.items()}
        step = state.step
    return Run(model, average, optimiser, step)


def train(
    config: TrainConfig, folder: Path, *, resume: bool, device: torch.device,
    limit_s: float | None = None, workers: int = 1,
) -> Path:
    """Train to the configured number of steps or to the time limit; return the last checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = load_sources(config.data)
    run = start_run(config, folder, resume, device)
    dataset = SampleDataset(sources, config, run.step * config.optimiser.batch)
    loader = DataLoader(
        dataset, batch_size=config.optimiser.batch, num_workers=workers,
        prefetch_factor=4 if workers else None, worker_init_fn=_one_thread,
    )
    started = time.monotonic()
    with (folder / "loss.tsv").open("a" if run.step else "w", newline="") as stream:
        log = csv.writer(stream, delimiter="\t")
        if not run.step:
            log.writerow(["step", "loss", "learning_rate", "seconds"])
        for loss, rate in _steps(run, loader, config, device):
            log.writerow([run.step, f"{loss:.5f}", f"{rate:.3e}", f"{time.monotonic() - started:.1f}"])
            if run.step % LOG_STEPS == 0:
                stream.flush()
            if run.step % config.checkpoint_steps == 0:
                _save(run, config, folder)
            if limit_s is not None and time.monotonic() - started > limit_s:
                break
    _save(run, config, folder)
    return folder / LAST


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)


def _save(run: Run, config: TrainConfig, folder: Path) -> None:
    save_checkpoint(
        folder / LAST,
        TrainState(
            run.step, run.model.state_dict(), run.average, run.optimiser.state_dict(),
            as_document(config),
        ),
    )


def _steps(
    run: Run, loader: DataLoader[tuple[torch.Tensor, torch.Tensor]], config: TrainConfig,
    device: torch.device,
) -> Iterator[tuple[float, float]]:
    """Take one optimiser step per batch; yields loss and learning rate."""
    settings = config.optimiser
    run.model.train()
    if settings.precision == "bf16" and device.type == "cpu":
        _keep_bottom_in_fp32(run.model)
    network = torch.compile(run.model) if settings.compile else run.model
    for image, target in loader:
        rate = learning_rate(run.step, settings)
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            logits = network(image.to(device))
        loss = segmentation_loss(logits, target.to(device), config.loss)
        run.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), settings.clip_norm)
        if not bool(torch.isfinite(norm)):
            first = run.step * settings.batch
            raise StrokesegError(
                f"the gradient is not finite at step {run.step}: samples {first} to "
                f"{first + settings.batch - 1} of seed {config.seed}; nothing was changed by them"
            )
        run.optimiser.step()
        run.step += 1
        _update_average(run, settings)
        yield float(loss.detach()), rate


def _keep_bottom_in_fp32(model: UNet) -> None:
    """Take the deepest block out of autocast.

    There a crop is a handful of voxels, and oneDNN's bf16 gradient of such a convolution's weight
    reads memory that nothing wrote (seen with torch 2.13 on a CPU with AVX-512: NaN, now and
    then). In fp32 it is right, and costs nothing.
    """
    block: torch.nn.Module = model.model
    while isinstance(block, torch.nn.Sequential) and len(block) == 3:
        block = block[1].submodule
    inside = block.forward

    def forward(features: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            result: torch.Tensor = inside(features.float())
            return result

    block.forward = forward  # type: ignore[method-assign]


def _update_average(run: Run, settings: OptimiserConfig) -> None:
    """Exponential moving average of the weights, quicker at the start."""
    keep = min(settings.average, (1 + run.step) / (10 + run.step))
    for name, value in run.model.state_dict().items():
        run.average[name].lerp_(value, 1 - keep)
