"""The published chain, written with MONAI and torch: what the package is compared with."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import UNet
from monai.transforms import (
    Compose,
    EnsureChannelFirst,
    HistogramNormalize,
    LoadImage,
    NormalizeIntensity,
    Orientation,
    Spacing,
    SpatialResample,
)

from strokeseg.arrays import FloatArray
from strokeseg.models.folder import Model
from strokeseg.network.ensemble_spec import EnsembleSpec, network_prefixes, tensors_of
from strokeseg.network.kinds import SingleSpec
from strokeseg.network.spec import NetworkSpec
from strokeseg.network.torch_ensemble import Ensemble
from strokeseg.network.torch_modules import build_module

FLIPS = [axes for count in range(4) for axes in combinations((2, 3, 4), count)]


def published(spec: SingleSpec, state: Mapping[str, FloatArray]) -> torch.nn.Module:
    """MONAI's own network, or, of an architecture that MONAI has not, the torch twin."""
    if isinstance(spec, NetworkSpec):
        network: torch.nn.Module = UNet(
            spatial_dims=3,
            in_channels=1,
            out_channels=spec.out_channels,
            channels=spec.channels,
            strides=spec.strides,
            kernel_size=spec.kernel_size,
            up_kernel_size=spec.up_kernel_size,
            num_res_units=spec.num_res_units,
            act="PRELU",
            norm="INSTANCE",
            dropout=spec.dropout,
            bias=spec.bias,
            adn_ordering=spec.adn_ordering,
        )
    else:
        network = build_module(spec)
    network.load_state_dict({name: torch.from_numpy(np.array(v)) for name, v in state.items()})
    return network.eval()


@dataclass
class Chain:
    """A model as MONAI runs it, and the seconds that its parts took."""

    model: Model
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - started

    def network(self) -> torch.nn.Module:
        spec, state = self.model.config.spec, self.model.state
        if not isinstance(spec, EnsembleSpec):
            return published(spec, state)
        prefixes = network_prefixes(spec)
        parts = zip(spec.networks, (tensors_of(p, state) for p in prefixes), strict=True)
        return Ensemble(published(*part) for part in parts)

    def working_image(self, path: Path) -> MetaTensor:
        config = self.model.config
        steps: list[Callable[..., MetaTensor]] = [
            EnsureChannelFirst(),
            Orientation("RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Spacing(pixdim=config.voxel_size_mm, mode="bilinear", padding_mode="border"),
        ]
        if config.normalisation == "histogram":
            steps += [HistogramNormalize(), NormalizeIntensity(nonzero=False)]
        image = Compose(steps)(LoadImage(image_only=True)(path))
        if config.normalisation == "foreground":
            bright = image.as_tensor()[image.as_tensor() > image.as_tensor().mean()]
            image = ((image - bright.mean()) / bright.std(unbiased=False)).clamp(-5, 10)
        return image

    @torch.inference_mode()
    def native_logits(self, path: Path) -> torch.Tensor:
        """Mean logits over the 8 flips, (C, I, J, K) on the scan's own grid."""
        with self.timed("prepare"):
            native = EnsureChannelFirst()(LoadImage(image_only=True)(path))
            image = self.working_image(path)
            network = self.network()
            air = float(image.min()) if self.model.config.normalisation == "foreground" else 0.0
            inferer = SlidingWindowInferer(
                self.model.config.window,
                overlap=0.5,
                mode="gaussian",
                sigma_scale=0.125,
                cval=air,
            )
        with self.timed("network"):
            batch = image.as_tensor()[None]
            total: torch.Tensor | float = 0.0
            for axes in FLIPS:
                total = total + inferer(batch.flip(axes), network).flip(axes)
        with self.timed("results"):
            mean = MetaTensor(total[0] / len(FLIPS), affine=image.affine)
            resample = SpatialResample(mode="bilinear", padding_mode="border", align_corners=False)
            back = resample(mean, dst_affine=native.affine, spatial_size=native.shape[1:])
        return back.as_tensor()

    def mask(self, path: Path, modality: str) -> np.ndarray:
        """The lesion by the model's own rule, without brain mask; (I, J, K) bool."""
        logits = self.native_logits(path)
        offset = self.model.config.lesion_offset(modality)
        logits = torch.cat([logits[:-1], logits[-1:] + offset])
        with self.timed("results"):
            threshold = self.model.config.threshold
            if threshold is None:
                return (logits.argmax(0) == len(logits) - 1).numpy()
            return (torch.softmax(logits, 0)[-1] >= threshold).numpy()
