"""A run's moving parts: network, optimiser, average of the weights, step."""

from dataclasses import dataclass
from pathlib import Path

import torch

from strokeseg.arrays import FloatArray
from strokeseg.errors import DataError
from strokeseg.network import half_spec, planar_spec
from strokeseg.network.batch_norms import fold_norms
from strokeseg.network.half_spec import HalfSpec
from strokeseg.network.planar_spec import PlanarSpec
from strokeseg.network.spec import NetworkSpec
from strokeseg.network.state import Spec, parameter_shapes
from strokeseg.network.torch_half import HalfUNet
from strokeseg.network.torch_modules import put_channels_last
from strokeseg.network.torch_planar import PlanarNet
from strokeseg.network.torch_unet import UNet
from strokeseg.training.config import as_document
from strokeseg.training.data.label_table import TISSUES
from strokeseg.training.fitting.checkpoint import (
    Tensors,
    TrainState,
    code_revision,
    load_checkpoint,
    random_states,
    restore_random_states,
    save_checkpoint,
)
from strokeseg.training.fitting.starting import starting_weights
from strokeseg.training.settings import OptimiserConfig, TrainConfig

LAST = "last.pt"
COARSE_LEVELS = 2

Trained = UNet | HalfUNet | PlanarNet


@dataclass
class Run:
    """A run between two steps."""

    model: Trained
    average: Tensors
    optimiser: torch.optim.Optimizer
    step: int


def network_spec(config: TrainConfig) -> NetworkSpec | HalfSpec | PlanarSpec:
    """Give the architecture that a configuration trains: one image in, tissues and lesion out."""
    classes = 2 if config.lesion_only else len(TISSUES) + 1
    if config.architecture == planar_spec.ARCHITECTURE:
        planar = config.planar
        return PlanarSpec(classes, config.channels, planar.gap_vox, planar.every_vox)
    if config.architecture == half_spec.ARCHITECTURE:
        return HalfSpec(classes, config.channels, config.encoder_units, config.decoder_units)
    return NetworkSpec(
        in_channels=1,
        out_channels=classes,
        channels=config.channels,
        strides=((2, 2, 2),) * (len(config.channels) - 1),
        num_res_units=1,
        dropout=config.optimiser.dropout,
    )


def build_network(config: TrainConfig) -> Trained:
    """Build what a configuration trains, with weights as torch draws them."""
    spec = network_spec(config)
    if isinstance(spec, HalfSpec):
        return HalfUNet(spec, COARSE_LEVELS if config.loss.coarse_weight > 0 else 0)
    return PlanarNet(spec, normed=True) if isinstance(spec, PlanarSpec) else UNet(spec)


def inference_weights(average: Tensors, spec: Spec) -> dict[str, FloatArray]:
    """Give the tensors that inference has, in float32: batch norms are folded.

    What training alone needs, such as the classes told at coarser levels, stays behind.
    """
    whole = {name: value.float().numpy() for name, value in average.items()}
    return fold_norms(parameter_shapes(spec), whole)


def learning_rate(step: int, config: OptimiserConfig) -> float:
    """Polynomial decay after a linear warm-up, and after the share of steps that hold the rate."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    held = config.hold_share * config.steps
    left = 1 - max(step - held, 0.0) / max(config.steps - held, 1.0)
    decay = max(left, 0.0) ** config.decay_power
    return float(config.learning_rate * warm * decay)


def start_run(config: TrainConfig, folder: Path, *, resume: bool, device: torch.device) -> Run:
    """Build the model and optimiser, or take them from the folder's last checkpoint.

    Raises
    ------
    DataError
        The checkpoint, or what to start from, is of another network.
    """
    # The global generator, because torch's own initialisation and dropout know no other.
    torch.manual_seed(config.seed)
    model = build_network(config)
    state = load_checkpoint(folder / LAST) if resume and (folder / LAST).exists() else None
    if state is not None:
        _load(model, state.model, folder / LAST)
    elif config.start_from:
        model.load_state_dict(starting_weights(config.start_from, model.state_dict()))
    model.to(device)
    put_channels_last(_channels_last_part(model, device))
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=config.optimiser.learning_rate,
        weight_decay=config.optimiser.weight_decay,
        fused=True,
    )
    if state is None:
        return Run(model, state_copy(model), optimiser, 0)
    if state.optimiser:
        optimiser.load_state_dict(state.optimiser)
    restore_random_states(state.random)
    average = {k: v.to(device) for k, v in state.average.items()}
    return Run(model, average, optimiser, state.step)


def state_copy(model: Trained) -> Tensors:
    """Copy what a network has learnt."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _channels_last_part(model: Trained, device: torch.device) -> torch.nn.Module:
    """Give the part of the network that is quicker with channels last.

    All of it on CUDA, and on a CPU that multiplies tiles of bf16 (AMX). On other CPUs the finest
    level alone: of few channels and many voxels, its convolutions take a third of a step otherwise,
    while the deeper ones are quicker as they are.
    """
    if (
        isinstance(model, HalfUNet | PlanarNet)
        or device.type == "cuda"
        or _multiplies_tiles()
        or not isinstance(model.model, torch.nn.Sequential)
    ):
        return model
    return model.model[-1]


def _multiplies_tiles() -> bool:
    """Tell whether the CPU has AMX; older torch cannot say, and then it counts as not."""
    tell = getattr(torch.cpu, "get_capabilities", None)
    return tell is not None and bool(tell().get("amx_bf16"))


def _load(model: Trained, tensors: Tensors, path: Path) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise DataError(
            f"{path}: its network is not the configuration's; check channels and lesion_only"
        ) from error


def save_run(run: Run, config: TrainConfig, path: Path) -> None:
    """Write everything that the run needs to go on."""
    state = TrainState(
        step=run.step,
        model=run.model.state_dict(),
        average=run.average,
        optimiser=run.optimiser.state_dict(),
        config=as_document(config),
        random=random_states(),
        revision=code_revision(),
    )
    save_checkpoint(path, state)


def update_average(run: Run, settings: OptimiserConfig) -> None:
    """Exponential moving average of the weights, quicker at the start."""
    keep = min(settings.average, (1 + run.step) / (10 + run.step))
    current = run.model.state_dict()
    # A batch norm also counts batches, which nothing asks for.
    names = [name for name in run.average if current[name].is_floating_point()]
    torch._foreach_lerp_(
        [run.average[name] for name in names], [current[name] for name in names], 1 - keep
    )


def averaged_model(run: Run, config: TrainConfig, device: torch.device) -> Trained:
    """Build a second network with the averaged weights, ready to be measured."""
    with torch.random.fork_rng():
        model = build_network(config)
    model.load_state_dict(run.average)
    return model.eval().to(device)
