"""The loop of a small training: any task that can take a step, with checkpoints and a log."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from strokeseg.errors import CannotCreateError, DataError, Interrupted
from strokeseg.training.fitting.checkpoint import (
    Tensors,
    TrainState,
    code_revision,
    load_checkpoint,
    random_states,
    restore_random_states,
    save_checkpoint,
)
from strokeseg.training.fitting.curves import LOSS_FILE
from strokeseg.training.fitting.loop import Session, cut_log
from strokeseg.training.fitting.run import LAST
from strokeseg.training.fitting.stopping import Stop

FLUSH_STEPS = 20


class Task(Protocol):
    """Something to be fitted: its networks, optimisers, what else it remembers, and a step."""

    networks: nn.ModuleDict
    optimisers: dict[str, torch.optim.Optimizer]
    drawn_with: str

    def step(self, number: int) -> Mapping[str, float]:
        """Take a step; give losses by name, the whole one first."""

    def extra(self) -> Tensors:
        """Give what else a checkpoint holds."""

    def restore(self, extra: Tensors) -> None:
        """Take what a checkpoint held."""


class Schedule(Protocol):
    """What of a configuration the loop has to know."""

    @property
    def steps(self) -> int:
        """How many steps."""

    @property
    def average(self) -> float:
        """How much of the average of weights a step keeps."""


def fit(
    task: Task,
    schedule: Schedule,
    document: dict[str, Any],
    folder: Path,
    session: Session,
    *,
    resume: bool = False,
) -> Tensors:
    """Take the steps that are left; write `last.pt` and `loss.tsv`.

    Parameters
    ----------
    task, schedule
        What is fitted, and for how long.
    document
        The configuration as plain values, which the checkpoint carries.
    folder
        Of the run.
    session
        The time limit, and who hears of steps.
    resume
        Go on from the folder's last checkpoint, where there is one.

    Returns
    -------
    dict of str to tensor
        Averaged weights of the network that draws.

    Raises
    ------
    DataError
        The checkpoint is of another kind, or of another network.
    CannotCreateError
        The folder cannot be created.
    Interrupted
        Ctrl-C; the checkpoint is written.
    """
    network = task.networks[task.drawn_with]
    step, average = 0, {name: value.clone() for name, value in network.state_dict().items()}
    if resume and (folder / LAST).exists():
        step, average = _go_on(task, document, folder / LAST)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(f"{folder}: cannot be created ({error.strerror})") from error
    cut_log(folder / LOSS_FILE, step)
    with Stop(session.limit_s) as stop, (folder / LOSS_FILE).open("a", newline="") as stream:
        log = csv.writer(stream, delimiter="\t", lineterminator="\n")
        while step < schedule.steps and not stop.now():
            losses = task.step(step)
            if stream.tell() == 0:
                log.writerow(("step", *losses, "seconds"))
            step += 1
            log.writerow((step, *(f"{v:.6f}" for v in losses.values()), f"{stop.elapsed_s:.1f}"))
            _follow(average, network, min(schedule.average, (1 + step) / (10 + step)))
            session.on_step(step, next(iter(losses.values())))
            if step % FLUSH_STEPS == 0:
                stream.flush()
            if step % document["checkpoint_steps"] == 0:
                _save(task, document, folder / LAST, step, average)
        _save(task, document, folder / LAST, step, average)
    if stop.interrupted:
        raise Interrupted(f"stopped at step {step}; go on with --resume ({folder / LAST})")
    return average


def _follow(average: Tensors, network: nn.Module, keep: float) -> None:
    current = network.state_dict()
    names = list(average)
    torch._foreach_lerp_([average[n] for n in names], [current[n] for n in names], 1 - keep)


def _save(task: Task, document: dict[str, Any], path: Path, step: int, average: Tensors) -> None:
    optimisers: dict[str, Any] = {n: o.state_dict() for n, o in task.optimisers.items()}
    state = TrainState(
        step=step,
        model=task.networks.state_dict(),
        average=average,
        optimiser={"optimisers": optimisers, "extra": task.extra()},
        config=document,
        random=random_states(),
        revision=code_revision(),
    )
    save_checkpoint(path, state)


def _go_on(task: Task, document: dict[str, Any], path: Path) -> tuple[int, Tensors]:
    """Give a task what a checkpoint holds; its step and its averaged weights."""
    state = load_checkpoint(path)
    kind = document.get("kind", "masks")
    if "optimisers" not in state.optimiser or state.config.get("kind", "masks") != kind:
        raise DataError(f"{path}: is a checkpoint of another kind of training than {kind}")
    try:
        task.networks.load_state_dict(state.model)
        for name, optimiser in task.optimisers.items():
            optimiser.load_state_dict(state.optimiser["optimisers"][name])
    except (RuntimeError, KeyError, ValueError) as error:
        raise DataError(f"{path}: its networks are not the configuration's") from error
    task.restore(state.optimiser["extra"])
    restore_random_states(state.random)
    return state.step, state.average
