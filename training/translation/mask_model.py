"""A variational autoencoder of lesion masks in MNI152, 48x64x48 voxels of 4 mm."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from strokeseg.arrays import FloatArray, LabelArray
from strokeseg.training.translation.objectives import rate_at
from strokeseg.training.translation.settings import MaskModelConfig

SHAPE = (48, 64, 48)
SLOPE = 0.1
BATCH = 32
# How far from the latents of some mask a drawn one lies, in units of their spread: 1 forgets the
# mask, 0 gives it back.
WANDER = 0.5


class MaskModel(nn.Module):
    """Encoder and decoder (Kingma and Welling, arXiv 1312.6114), and where masks lie in the middle.

    `means` are the training masks' latents, `place` and `spread` their mean and a root of their
    covariance. What is drawn is one of the latents, moved by a normal distribution of that spread
    and drawn together so that the covariance stays (the smoothed bootstrap, Silverman and Young,
    Biometrika 1987): a normal distribution alone fills places where no mask lies.
    """

    means: torch.Tensor
    place: torch.Tensor
    spread: torch.Tensor

    def __init__(self, config: MaskModelConfig) -> None:
        super().__init__()
        channels = config.channels
        self.latent = config.latent
        self.encoder = nn.ModuleList(
            nn.Conv3d(inside, outside, 3, stride=2, padding=1)
            for inside, outside in zip((1, *channels[:-1]), channels, strict=True)
        )
        self.bottom = (channels[-1], *(edge >> len(channels) for edge in SHAPE))
        size = int(np.prod(self.bottom))
        self.to_latent = nn.Linear(size, 2 * config.latent)
        self.from_latent = nn.Linear(config.latent, size)
        self.decoder = nn.ModuleList(
            nn.ConvTranspose3d(inside, outside, 4, stride=2, padding=1)
            for inside, outside in zip(channels[::-1], (*channels[-2::-1], 1), strict=True)
        )
        self.register_buffer("means", torch.zeros(1, config.latent))
        self.register_buffer("place", torch.zeros(config.latent))
        self.register_buffer("spread", torch.eye(config.latent))

    def encode(self, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give mean and log variance (N, latent) of masks (N, I, J, K)."""
        features = masks[:, None]
        for layer in self.encoder:
            features = functional.leaky_relu(layer(features), SLOPE)
        mean, log_variance = self.to_latent(features.flatten(1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-8, 8)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Give logits (N, I, J, K) of latents (N, latent)."""
        features = self.from_latent(latents).reshape(len(latents), *self.bottom)
        for layer in self.decoder:
            features = layer(functional.leaky_relu(features, SLOPE))
        logits: torch.Tensor = features[:, 0]
        return logits

    def settle(self, masks: torch.Tensor) -> None:
        """Learn where the latents of masks (N, I, J, K), in 1/255, lie."""
        with torch.inference_mode():
            parts = [self.encode(part.float() / 255) for part in torch.split(masks, BATCH)]
        means = torch.cat([mean for mean, _ in parts]).double()
        variance = torch.cat([log.exp() for _, log in parts]).double().mean(dim=0)
        centred = means - means.mean(dim=0)
        covariance = centred.T @ centred / len(means) + torch.diag(variance)
        self.means = means.float()
        self.place.copy_(means.mean(dim=0))
        self.spread.copy_(torch.linalg.cholesky(covariance))

    def draw(self, count: int, seed: int) -> FloatArray:
        """Draw masks as probabilities, (N, I, J, K) float32."""
        generator = torch.Generator().manual_seed(seed)
        unit = torch.randn((count, self.latent), generator=generator)
        chosen = torch.randint(len(self.means), (count,), generator=generator)
        with torch.inference_mode():
            about = (1 - WANDER**2) ** 0.5 * (self.means[chosen] - self.place)
            latents = self.place + about + WANDER * unit @ self.spread.T
            drawn = torch.cat([self.decode(part).sigmoid() for part in torch.split(latents, BATCH)])
        return np.asarray(drawn.numpy(), dtype=np.float32)


class MaskTask:
    """The generator of masks in training; `masks` (N, I, J, K) are shares of voxels in 1/255."""

    drawn_with = "masks"

    def __init__(self, config: MaskModelConfig, masks: LabelArray) -> None:
        self.config = config
        self.masks = torch.from_numpy(masks)
        self.model = MaskModel(config)
        self.networks = nn.ModuleDict({"masks": self.model})
        fit = config.fit
        adam = torch.optim.Adam(self.model.parameters(), lr=fit.learning_rate, betas=fit.betas)
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": adam}

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; give its losses by name."""
        rng = np.random.default_rng([self.config.seed, number])
        fit = self.config.fit
        chosen = torch.from_numpy(rng.integers(len(self.masks), size=fit.batch))
        masks = self.masks[chosen].float() / 255
        if rng.random() < 0.5:
            masks = masks.flip(1)
        masks = masks.roll(tuple(rng.integers(-1, 2, 3).tolist()), (1, 2, 3))
        for group in self.optimisers["adam"].param_groups:
            group["lr"] = rate_at(number, fit)
        with torch.autocast("cpu", torch.bfloat16, enabled=fit.precision == "bf16"):
            mean, log_variance = (part.float() for part in self.model.encode(masks))
        noise = torch.randn(
            mean.shape, generator=torch.Generator().manual_seed(int(rng.integers(2**31)))
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=fit.precision == "bf16"):
            logits = self.model.decode(mean + noise * (log_variance / 2).exp()).float()
        entropy = functional.binary_cross_entropy_with_logits(logits, masks, reduction="none")
        entropy = entropy.flatten(1).sum(dim=1)
        dice = 1 - _soft_dice(logits.sigmoid().flatten(1), masks.flatten(1))
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)
        loss = entropy + self.config.dice_weight * dice
        loss = (loss + self.config.divergence_weight * divergence).mean()
        self.optimisers["adam"].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1000.0)
        self.optimisers["adam"].step()
        parts = {"loss": loss, "dice": dice.mean(), "divergence": divergence.mean()}
        return {name: float(value.detach()) for name, value in parts.items()}

    def extra(self) -> dict[str, torch.Tensor]:
        """Give what else a checkpoint holds: nothing."""
        return {}

    def restore(self, extra: dict[str, torch.Tensor]) -> None:
        """Take what a checkpoint held: nothing."""


def _soft_dice(shares: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Dice of (N, voxels) with (N, voxels)."""
    both = (shares * truth).sum(dim=1)
    total = (shares**2).sum(dim=1) + (truth**2).sum(dim=1)
    return (2 * both + 1) / (total + 1)
