"""The training loop: samples in, steps, checkpoints, logs of losses and validation."""

import csv
import functools
import io
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from strokeseg.errors import CannotCreateError, Interrupted, StrokesegError
from strokeseg.files.atomic import write_atomically
from strokeseg.network.torch_planar import PlanarNet
from strokeseg.training.data.sources import Sources, load_sources
from strokeseg.training.fitting.batches import Batch, Generation, make_batches
from strokeseg.training.fitting.curves import LOSS_FILE, VALIDATION_FILE
from strokeseg.training.fitting.objective import keep_bottom_in_fp32, make_objective
from strokeseg.training.fitting.run import (
    LAST,
    Run,
    averaged_model,
    learning_rate,
    save_run,
    start_run,
    state_copy,
    update_average,
)
from strokeseg.training.fitting.slice_batches import make_slice_batches, sample_end
from strokeseg.training.fitting.starting import settle_norms
from strokeseg.training.fitting.stopping import Stop
from strokeseg.training.settings import TrainConfig, is_model
from strokeseg.training.validation.groups import COLUMNS, summarise
from strokeseg.training.validation.scoring import module_logits, validate

LOG_STEPS = 20
LOSS_COLUMNS = ("step", "loss", "learning_rate", "seconds")


@dataclass(frozen=True)
class Session:
    """How a run is run here, which says nothing about what it computes.

    `on_step` hears of each step and its loss.
    """

    device: torch.device
    workers: int = 1
    limit_s: float | None = None
    on_step: Callable[[int, float], None] = field(default=lambda _step, _loss: None)


def train(config: TrainConfig, folder: Path, session: Session, *, resume: bool = False) -> Path:
    """Train to the configured number of steps or to the time limit.

    Parameters
    ----------
    config
        The run.
    folder
        Gets `last.pt`, `loss.tsv` and, where the configuration asks for it, `validation.tsv`.
    session
        Device, workers, time limit.
    resume
        Go on from the folder's last checkpoint; start anew where there is none.

    Returns
    -------
    Path
        The last checkpoint.

    Raises
    ------
    Interrupted
        Ctrl-C; the checkpoint is written.
    StrokesegError
        The gradient is not finite, with the samples that caused it.
    CannotCreateError
        The folder cannot be created.
    """
    with Stop(session.limit_s) as stop:
        sources = load_sources(config.data, families=config.contrast.families)
        held_out = load_sources(config.data, held_out=True) if config.validation_steps else None
        run = start_run(config, folder, resume=resume, device=session.device)
        # Only now, so that a run that cannot begin leaves nothing behind.
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotCreateError(f"{folder}: cannot be created ({error.strerror})") from error
        cut_log(folder / LOSS_FILE, run.step)
        cut_log(folder / VALIDATION_FILE, run.step)
        generation = Generation(session.device, session.workers)
        if isinstance(run.model, PlanarNet):
            batches = make_slice_batches(sources, config, run.step, generation)
            if run.step == 0 and is_model(config.start_from):
                batches = _settled(run, run.model, batches)
        else:
            first = run.step * config.optimiser.batch
            batches = make_batches(sources, config, first, generation)
        _go(run, batches, config, _Place(folder, session, stop, held_out))
        save_run(run, config, folder / LAST)
    if stop.interrupted:
        raise Interrupted(f"stopped at step {run.step}; go on with --resume ({folder / LAST})")
    return folder / LAST


def _settled(run: Run, model: PlanarNet, batches: Iterator[Batch]) -> Iterator[Batch]:
    """Give the batch norms of a model's network the statistics of the first batch."""
    first = next(batches, None)
    if first is None:
        return batches
    settle_norms(model, first[0])
    run.average = state_copy(model)
    return itertools.chain((first,), batches)


@dataclass(frozen=True)
class _Place:
    """Where a run writes, what stops it, and what it is measured on."""

    folder: Path
    session: Session
    stop: Stop
    held_out: Sources | None


def _go(run: Run, batches: Iterator[Batch], config: TrainConfig, place: _Place) -> None:
    """Take steps until the batches or the time are over, and write down what happens."""
    if run.step >= config.optimiser.steps or place.stop.now():
        return
    log_path = place.folder / LOSS_FILE
    fresh = not log_path.exists()
    with log_path.open("a", newline="") as stream:
        log = csv.writer(stream, delimiter="\t", lineterminator="\n")
        if fresh:
            log.writerow(LOSS_COLUMNS)
        for loss, rate in _steps(run, batches, config, place.session.device):
            seconds = f"{place.stop.elapsed_s:.1f}"
            log.writerow([run.step, f"{loss:.6f}", f"{rate:.3e}", seconds])
            place.session.on_step(run.step, loss)
            if run.step % LOG_STEPS == 0:
                stream.flush()
            if run.step % config.checkpoint_steps == 0:
                save_run(run, config, place.folder / LAST)
            if config.validation_steps and run.step % config.validation_steps == 0:
                _measure(run, config, place)
            if place.stop.now():
                return


def _steps(
    run: Run, batches: Iterator[Batch], config: TrainConfig, device: torch.device
) -> Iterator[tuple[float, float]]:
    """Take one optimiser step per batch; yields loss and learning rate.

    The next batch is asked for before the loss is waited for, so that a GPU has work meanwhile.
    """
    settings = config.optimiser
    run.model.train()
    half = settings.precision == "bf16"
    if half and device.type == "cpu":
        keep_bottom_in_fp32(run.model)
    objective = make_objective(run.model, config)
    batch = next(batches, None)
    while batch is not None:
        image, target = batch
        rate = learning_rate(run.step, settings)
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        # A number that stays the same once it says nothing more spares the compiler a new graph.
        step = min(run.step, config.loss.l2_steps)
        loss_of = functools.partial(objective, image, target, step)
        sizes = _gradient(run, loss_of, settings.clip_norm, half=half)
        batch = next(batches, None)
        value, size = sizes.tolist()
        if half and not (math.isfinite(value) and math.isfinite(size)):
            # oneDNN's fault in bf16, see keep_bottom_in_fp32, or a sample's: fp32 tells.
            value, size = _gradient(run, loss_of, settings.clip_norm, half=False).tolist()
        if not (math.isfinite(value) and math.isfinite(size)):
            raise _not_finite(run, config)
        run.optimiser.step()
        run.step += 1
        update_average(run, settings)
        yield value, rate


def _gradient(
    run: Run, loss_of: Callable[[], torch.Tensor], clip_norm: float, *, half: bool
) -> torch.Tensor:
    """Leave the clipped gradient in the parameters; gives loss and its size, not waited for."""
    device = next(run.model.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        loss = loss_of()
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), clip_norm)
    return torch.stack((loss.detach(), norm.detach()))


def _not_finite(run: Run, config: TrainConfig) -> StrokesegError:
    first = run.step * config.optimiser.batch
    seen = f"samples {first} to {first + config.optimiser.batch - 1}"
    if isinstance(run.model, PlanarNet):
        seen = f"slices of samples up to {sample_end(run.step, config) - 1}"
    return StrokesegError(
        f"the loss or its gradient is not finite at step {run.step}: {seen} of seed "
        f"{config.seed}; nothing was changed by them"
    )


def _measure(run: Run, config: TrainConfig, place: _Place) -> None:
    """Measure the averaged weights on a part of the validation set, and write it down."""
    if place.held_out is None:
        return
    model = averaged_model(run, config, place.session.device)
    scores = validate(
        module_logits(model, place.session.device),
        place.held_out,
        config,
        count=config.validation.cases_in_run,
    )
    whole = summarise(scores)[0]
    numbers = (whole.lesion_dice, whole.lf1, *whole.tissue_dice, whole.free, whole.false_ml)
    path = place.folder / VALIDATION_FILE
    fresh = not path.exists()
    with path.open("a") as stream:
        if fresh:
            stream.write("\t".join(("step", *COLUMNS)) + "\n")
        fields = (str(run.step), str(whole.count), *(f"{number:.4f}" for number in numbers))
        stream.write("\t".join(fields) + "\n")


def cut_log(path: Path, step: int) -> None:
    """Remove what a broken run logged after its last checkpoint; all of it for a fresh run."""
    if not path.exists():
        return
    if step == 0:
        path.unlink()
        return
    header, *rows = path.read_text().splitlines()
    kept = [row for row in rows if row.split("\t")[0].isdigit() and int(row.split("\t")[0]) <= step]
    text = io.StringIO()
    text.writelines(f"{line}\n" for line in (header, *kept))
    write_atomically(path, [text.getvalue().encode()])
