"""What a step of a second stage's training does: crops in, parts and distances out."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from strokeseg.models.second_stage import image_count
from strokeseg.network.half_spec import HalfSpec
from strokeseg.network.torch_half import HalfUNet
from strokeseg.prediction.second_channels import ODDS_SCALE
from strokeseg.training.fitting.losses import segmentation_loss
from strokeseg.training.settings import LossConfig
from strokeseg.training.stage_two.samples import PARTS, StageSamples, draw_crop
from strokeseg.training.stage_two.settings import ObjectiveConfig, StageTwoConfig
from strokeseg.training.translation.objectives import State, rate_at

CLIP_NORM = 12.0
_LOSS = LossConfig(lesion_weight=1.0, lesion_dice_weight=1.0)


def stage_spec(config: StageTwoConfig, first_classes: int) -> HalfSpec:
    """Give the network that a configuration trains, behind a first stage of so many classes."""
    network = config.network
    images = image_count(network.sees, first_classes)  # type: ignore[arg-type]
    units = network.encoder_units, network.decoder_units
    return HalfSpec(len(PARTS) + 1, network.channels, *units, images)


def stage_loss(
    logits: torch.Tensor, parts: torch.Tensor, distance_mm: torch.Tensor, config: ObjectiveConfig
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cross-entropy and Dice of the parts and of the lesion, and the distance's share.

    Dice is that of all crops together: that of a crop without lesion alone would reward silence as
    much as that of a lesion rewards finding it.

    The distance is read from the logits themselves, a unit of log-odds a millimetre, rather than
    from an output of its own: the edge is where both are 0, so the two losses ask for one thing,
    and the network that is exported is the one that tells parts and no more.

    Parameters
    ----------
    logits : (N, 1 + P, I, J, K)
        Background first.
    parts : (N, I, J, K) integer
        0, or the number of the part.
    distance_mm : (N, I, J, K)
        Signed, clipped.
    config
        The weight and the clip.

    Returns
    -------
    whole, parted, distant : tensors
        The sum, and what it is of; the distance's before its weight.
    """
    logits = logits.float()
    lesion = torch.logsumexp(logits[:, 1:], dim=1)
    whole = torch.stack((logits[:, 0], lesion), dim=1)
    parted = segmentation_loss(_as_one(logits), _as_one(parts[:, None])[:, 0], _LOSS)
    parted = parted + config.whole_weight * segmentation_loss(
        _as_one(whole), _as_one(parts[:, None] > 0)[:, 0], _LOSS
    )
    crossed = functional.cross_entropy(logits, parts.long())
    parted = parted + config.entropy_weight * crossed
    distant = ((lesion - logits[:, 0] - distance_mm) / config.distance_mm).square().mean()
    return parted + config.distance_weight * distant, parted, distant


def start_silent(network: HalfUNet) -> None:
    """Let a network that corrects begin with no correction at all."""
    with torch.no_grad():
        network.head.weight.zero_()
        bias = network.head.bias
        if bias is not None:
            # As much for the background as the parts have together.
            bias.zero_()
            bias[0] = math.log(len(PARTS))


def uncorrected(odds: torch.Tensor) -> torch.Tensor:
    """Give the first stage's log-odds (N, 1, ...) as logits, its lesion shared out evenly."""
    background = torch.full_like(odds, math.log(len(PARTS)))
    return torch.cat((background, *[odds] * len(PARTS)), dim=1)


def _as_one(crops: torch.Tensor) -> torch.Tensor:
    """Lay the crops of a batch (N, C, I, J, K) behind each other: (1, C, N I, J, K)."""
    return crops.transpose(0, 1).flatten(1, 2)[None]


class StageTwoTask:
    """A second stage in training: its network, optimiser, and a step.

    Parameters
    ----------
    config
        The run.
    samples
        What it learns from.
    first_classes
        Of the first stage.
    """

    drawn_with = "second"

    def __init__(self, config: StageTwoConfig, samples: StageSamples, first_classes: int) -> None:
        self.config = config
        self.samples = samples
        self.network = HalfUNet(stage_spec(config, first_classes))
        if config.network.corrects:
            start_silent(self.network)
        self.networks = nn.ModuleDict({self.drawn_with: self.network})
        fit = config.fit
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "second": torch.optim.AdamW(
                self.network.parameters(), fit.learning_rate, fit.betas, weight_decay=1e-2
            )
        }

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step on crops; give its losses, the whole one first.

        `first` is what `parts` would be of the first stage's own answer.
        """
        rng = np.random.default_rng([self.config.seed, 1, number])
        fit, crops, sees = self.config.fit, self.config.crops, self.config.network.sees
        kept = self.samples.kept_at(number)
        drawn = [draw_crop(rng, kept, crops, sees) for _ in range(fit.batch)]
        images, parts, distance = (
            torch.from_numpy(np.stack([getattr(crop, name) for crop in drawn]))
            for name in ("images", "parts", "distance_mm")
        )
        optimiser = self.optimisers["second"]
        for group in optimiser.param_groups:
            group["lr"] = rate_at(number, fit)
        with torch.autocast("cpu", torch.bfloat16, enabled=fit.precision == "bf16"):
            logits = self.network(images)
        odds: torch.Tensor | None = None
        if "lesion" in sees:
            odds = images[:, [sees.index("lesion")]] * ODDS_SCALE
        if self.config.network.corrects and odds is not None:
            logits = torch.cat((logits[:, :1].float(), logits[:, 1:].float() + odds), dim=1)
        whole, parted, distant = stage_loss(logits, parts, distance, self.config.objective)
        optimiser.zero_grad(set_to_none=True)
        whole.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
        optimiser.step()
        told = {"loss": whole, "parts": parted, "distance": distant}
        if odds is not None:
            with torch.no_grad():
                told["first"] = stage_loss(
                    uncorrected(odds), parts, distance, self.config.objective
                )[1]
        return {name: float(loss.detach()) for name, loss in told.items()}

    def extra(self) -> State:
        """Give what else a checkpoint holds: nothing."""
        return {}

    def restore(self, extra: State) -> None:
        """Take nothing."""
