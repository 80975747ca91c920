"""What a step minimises, for each architecture, and which part of it needs float32."""

import functools
from collections.abc import Callable

import torch

from strokeseg.network.torch_half import HalfUNet
from strokeseg.network.torch_planar import PlanarNet
from strokeseg.training.fitting.losses import packed_loss, segmentation_loss
from strokeseg.training.fitting.run import Trained
from strokeseg.training.settings import TrainConfig


def make_objective(
    model: Trained, config: TrainConfig
) -> Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]:
    """Give the loss of a batch as a function of image, target and step, for any architecture."""
    partly_known = config.data.partly_known_share > 0 and not config.lesion_only
    compiled = config.optimiser.compile
    if isinstance(model, HalfUNet):

        def packed(image: torch.Tensor, target: torch.Tensor, _step: int) -> torch.Tensor:
            logits, coarse = model.packed(image)
            with torch.autocast(image.device.type, enabled=False):
                return packed_loss(logits, coarse, target, config.loss, partly_known=partly_known)

        return packed
    if isinstance(model, PlanarNet):
        return functools.partial(_slice_objective, model, config, partly_known)
    network = torch.compile(model) if compiled else model
    loss_of = torch.compile(segmentation_loss) if compiled else segmentation_loss

    def plain(image: torch.Tensor, target: torch.Tensor, step: int) -> torch.Tensor:
        logits = network(image).contiguous()
        with torch.autocast(image.device.type, enabled=False):
            return loss_of(logits, target, config.loss, step=step, partly_known=partly_known)

    return plain


def _slice_objective(
    model: PlanarNet,
    config: TrainConfig,
    partly_known: bool,
    slices: torch.Tensor,
    target: torch.Tensor,
    _step: int,
) -> torch.Tensor:
    """Loss of slices (N, 3, A, B): those of samples pooled as one, and the real ones as another."""
    logits = model.of_slices(slices)
    drawn = config.optimiser.batch
    with torch.autocast(slices.device.type, enabled=False):
        loss = _pooled_loss(logits[:drawn], target[:drawn], config, partly_known=partly_known)
        if len(logits) > drawn:
            known = not config.lesion_only
            real = _pooled_loss(logits[drawn:], target[drawn:], config, partly_known=known)
            loss = loss + config.planar.real_weight * real
    return loss


def _pooled_loss(
    logits: torch.Tensor, target: torch.Tensor, config: TrainConfig, *, partly_known: bool
) -> torch.Tensor:
    """Loss of slices (N, C, A, B) as one sample, so that Dice is over all of their voxels."""
    pooled = logits.transpose(0, 1)[None]
    settings = config.loss
    return segmentation_loss(
        pooled, target[None], settings, step=settings.l2_steps, partly_known=partly_known
    )


def keep_bottom_in_fp32(model: Trained) -> None:
    """Take the deepest block out of autocast.

    There a crop is a handful of voxels, and oneDNN's bf16 gradient of such a convolution's weight
    reads memory that nothing wrote (seen with torch 2.13 on a CPU with AVX-512: NaN, now and
    then). In fp32 it is right, and costs nothing.
    """
    if isinstance(model, HalfUNet):
        block: torch.nn.Module = model.encoder[-1]
        for unit in block.children():
            _in_fp32(unit)
        return
    if isinstance(model, PlanarNet):
        _in_fp32(model.encoder[-1])
        return
    block = model.model
    while isinstance(block, torch.nn.Sequential) and len(block) == 3:
        block = block[1].get_submodule("submodule")
    _in_fp32(block)


def _in_fp32(block: torch.nn.Module) -> None:
    inside = block.forward

    def forward(features: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            result: torch.Tensor = inside(features.float())
            return result

    block.forward = forward
