"""What a step of a translator's training does: paired (pix2pix, SPADE), or by cycles (CycleGAN)."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from strokeseg.training.translation.adversary import FakePool, PatchDiscriminator, verdict_loss
from strokeseg.training.translation.classes import NAMES, one_hot
from strokeseg.training.translation.generators import SmallUNet, build_generator
from strokeseg.training.translation.pairs import Pairs, draw_batch
from strokeseg.training.translation.settings import FitConfig, TranslatorConfig

State = dict[str, torch.Tensor]


def rate_at(step: int, config: FitConfig) -> float:
    """Give the learning rate: what it is for half of the steps, then falling to 0."""
    half = config.steps / 2
    return float(config.learning_rate * min(1.0, (config.steps - step) / half))


class TranslatorTask:
    """A translator in training: its networks, optimisers and pools, and a step.

    Parameters
    ----------
    config
        The run.
    pairs
        What it learns from.
    """

    drawn_with = "generator"

    def __init__(self, config: TranslatorConfig, pairs: Pairs) -> None:
        self.config = config
        self.pairs = pairs
        self.cyclic = config.kind == "cyclegan"
        channels = config.adversary.channels
        self.generator = build_generator(config)
        networks: dict[str, nn.Module] = {"generator": self.generator}
        if self.cyclic:
            self.reader = SmallUNet(
                1, len(NAMES), config.generator.channels, dimensions=config.dimensions
            )
            self.image_judge = PatchDiscriminator(1, channels, config.dimensions)
            self.label_judge = PatchDiscriminator(len(NAMES), channels, config.dimensions)
            networks |= {"reader": self.reader, "label_judge": self.label_judge}
            self.greys = class_greys(pairs)
        else:
            self.image_judge = PatchDiscriminator(1 + len(NAMES), channels, config.dimensions)
        networks["image_judge"] = self.image_judge
        self.networks = nn.ModuleDict(networks)
        judges = [net for name, net in networks.items() if name.endswith("judge")]
        drawers = [net for name, net in networks.items() if not name.endswith("judge")]
        self.optimisers = {
            "drawing": _adam(drawers, config.fit),
            "judging": _adam(judges, config.fit),
        }
        size = config.adversary.pool
        self.pools = {"image": FakePool(size), "label": FakePool(size)}

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; give its losses by name, the first of which is that of the drawing."""
        rng = np.random.default_rng([self.config.seed, number])
        data, fit = self.config.data, self.config.fit
        labels, images = draw_batch(self.pairs, data, fit.batch, rng)
        if self.cyclic:  # unpaired: images of other slices
            _, images = draw_batch(self.pairs, data, fit.batch, rng)
        seed = torch.Generator().manual_seed(int(rng.integers(2**31)))
        noise = self.generator.noise(fit.batch, labels.shape[1:], seed)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate_at(number, fit)
        draw = self._draw_cycles if self.cyclic else self._draw_pairs
        with torch.autocast("cpu", torch.bfloat16, enabled=fit.precision == "bf16"):
            return draw(labels, images, self.generator(labels, noise).float(), rng)

    def _draw_pairs(
        self,
        labels: torch.Tensor,
        images: torch.Tensor,
        fake: torch.Tensor,
        rng: np.random.Generator,
    ) -> Mapping[str, float]:
        weights = self.config.adversary
        known = one_hot(labels)
        judged = torch.cat((fake, known), dim=1)
        adversarial = verdict_loss(self.image_judge(judged), real=True)
        distance = (fake - images).abs().mean()
        loss = weights.adversarial_weight * adversarial + weights.image_weight * distance
        self._take("drawing", loss)
        shown = self.pools["image"].exchange(judged, rng)
        judging = self._judge(self.image_judge, torch.cat((images, known), dim=1), shown)
        self._take("judging", judging)
        return _numbers(loss=loss, l1=distance, adversarial=adversarial, judging=judging)

    def _draw_cycles(
        self,
        labels: torch.Tensor,
        images: torch.Tensor,
        fake: torch.Tensor,
        rng: np.random.Generator,
    ) -> Mapping[str, float]:
        weights = self.config.adversary
        shares = self.reader(images).float().softmax(dim=1)
        noise = self.generator.noise(
            len(images),
            images.shape[2:],
            torch.Generator().manual_seed(int(rng.integers(2**31))),
        )
        again = self.generator.draw_shares(shares, noise).float()
        adversarial = verdict_loss(self.image_judge(fake), real=True)
        adversarial = adversarial + verdict_loss(self.label_judge(shares), real=True)
        distance = (again - images).abs().mean()
        entropy = functional.cross_entropy(self.reader(fake).float(), labels.long())
        loss = weights.adversarial_weight * adversarial + weights.image_weight * distance
        loss = loss + weights.label_weight * entropy
        loss = loss + weights.tissue_weight * grey_distance(fake, one_hot(labels), self.greys)
        self._take("drawing", loss)
        old_image = self.pools["image"].exchange(fake, rng)
        old_label = self.pools["label"].exchange(shares, rng)
        judging = self._judge(self.image_judge, images, old_image)
        judging = judging + self._judge(self.label_judge, one_hot(labels), old_label)
        self._take("judging", judging)
        return _numbers(loss=loss, l1=distance, adversarial=adversarial, judging=judging)

    def _judge(
        self, judge: PatchDiscriminator, real: torch.Tensor, drawn: torch.Tensor
    ) -> torch.Tensor:
        right = verdict_loss(judge(real), real=True) + verdict_loss(judge(drawn), real=False)
        return right / 2

    def _take(self, name: str, loss: torch.Tensor) -> None:
        """Take one optimiser's step; what others' networks got of the gradient is thrown away."""
        self.networks.zero_grad(set_to_none=True)
        with torch.autocast("cpu", enabled=False):
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimisers[name].step()

    def extra(self) -> State:
        """Give what else a checkpoint holds."""
        return {name: pool.state() for name, pool in self.pools.items()}

    def restore(self, extra: State) -> None:
        """Take what a checkpoint held."""
        for name, pool in self.pools.items():
            pool.restore(extra[name])


def class_greys(pairs: Pairs) -> torch.Tensor:
    """Give the mean grey of each class over all images, in -1 to 1; 0 where none has the class."""
    places = pairs.labels.reshape(-1)
    counts = np.bincount(places, minlength=len(NAMES))
    sums = np.bincount(places, weights=pairs.images.reshape(-1), minlength=len(NAMES))
    means = np.where(counts > 0, sums / np.maximum(counts, 1) / 127.5 - 1, 0)
    return torch.from_numpy(means).float()


def grey_distance(fake: torch.Tensor, known: torch.Tensor, greys: torch.Tensor) -> torch.Tensor:
    """Tell how far the mean grey of each class of a batch is from `greys`, a mean over classes.

    Parameters
    ----------
    fake : (N, 1, ...) tensor
        Images in -1 to 1.
    known : (N, C, ...) tensor
        Their labels, one-hot.
    greys : (C,) tensor
        What each class's mean is to be.
    """
    axes = (0, *range(2, known.ndim))
    counts = known.sum(dim=axes)
    means = (known * fake).sum(dim=axes) / counts.clamp(min=1)
    return (means - greys)[counts > 0].abs().mean()


def _adam(networks: list[nn.Module], config: FitConfig) -> torch.optim.Optimizer:
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(parameters, lr=config.learning_rate, betas=config.betas)


def _numbers(**losses: torch.Tensor) -> Mapping[str, float]:
    return {name: float(loss.detach()) for name, loss in losses.items()}
