"""The architecture of a U-Net, as the fields of a `config.json` say it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strokeseg.arrays import Shape3
from strokeseg.network.fields import (
    WindowRule,
    choice,
    flag,
    integer,
    integers,
    product_of,
    refusal,
    require_images,
    triple,
)

ACTIVATIONS = ("PRELU", "RELU", "LEAKYRELU")
NORMS = ("INSTANCE",)
LEAKY_SLOPE = 0.01
NORM_EPSILON = 1e-5

# Far beyond any network that segments scans: what asks for more would only fill the memory.
_MAX_CLASSES = 255
_MAX_LEVELS = 16
_MAX_UNITS = 64
_MAX_STRIDE_PRODUCT = 1024


@dataclass(frozen=True)
class NetworkSpec:
    """The architecture of a 3D U-Net with residual units, as MONAI's ``UNet`` builds it.

    Parameters
    ----------
    in_channels
        Channels of the input: 1, and more for a second stage.
    out_channels
        Number of classes; the lesion is the last one.
    channels
        Features of each level, from the finest to the bottom.
    strides
        Downsampling between one level and the next, per axis (I, J, K).
    kernel_size, up_kernel_size
        Odd kernel sizes of the convolutions and of the transposed convolutions.
    num_res_units
        Convolutions per residual unit; 0 means plain convolutions without a shortcut.
    act, norm
        Names from `ACTIVATIONS` and `NORMS`.
    dropout
        Probability of dropout while training.
    bias
        Whether convolutions have a bias.
    adn_ordering
        Order of norm (N), dropout (D) and activation (A) after a convolution.
    """

    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    strides: tuple[Shape3, ...]
    kernel_size: Shape3 = (3, 3, 3)
    up_kernel_size: Shape3 = (3, 3, 3)
    num_res_units: int = 1
    act: str = "PRELU"
    norm: str = "INSTANCE"
    dropout: float = 0.0
    bias: bool = True
    adn_ordering: str = "NDA"

    @classmethod
    def from_config(cls, config: Mapping[str, Any], images: int = 1) -> "NetworkSpec":
        """Read the architecture from the fields of a published ``config.json``.

        Fields that are absent take the defaults of MONAI's ``UNet``; fields that say nothing about
        the architecture are left alone.

        Parameters
        ----------
        config
            The parsed file.
        images
            How many images it has to take at a time.

        Returns
        -------
        NetworkSpec
            What the fields describe.

        Raises
        ------
        ModelFormatError
            If a field is missing, malformed, or asks for something that cannot be built.
        """
        require_images(config, images)
        channels = integers(config, "channels")
        if len(channels) < 2:
            raise refusal("channels", config["channels"], "at least two levels are needed")
        if len(channels) > _MAX_LEVELS:
            raise refusal("channels", config["channels"], f"at most {_MAX_LEVELS} can be built")
        return cls(
            in_channels=images,
            out_channels=integer(config, "out_channels", None, low=2, high=_MAX_CLASSES),
            channels=channels,
            strides=_strides(config, len(channels) - 1),
            kernel_size=_kernel(config, "kernel_size"),
            up_kernel_size=_kernel(config, "up_kernel_size"),
            num_res_units=integer(config, "num_res_units", 0, low=0, high=_MAX_UNITS),
            act=choice(config, "act", "PRELU", ACTIVATIONS),
            norm=choice(config, "norm", "INSTANCE", NORMS),
            dropout=_dropout(config),
            bias=flag(config, "bias", default=True),
            adn_ordering=_ordering(config),
        )

    def to_config(self) -> dict[str, Any]:
        """Return the fields that `from_config` reads, ready for ``config.json``."""
        return {
            "spatial_dims": 3,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "channels": list(self.channels),
            "strides": [_compact(stride) for stride in self.strides],
            "kernel_size": _compact(self.kernel_size),
            "up_kernel_size": _compact(self.up_kernel_size),
            "num_res_units": self.num_res_units,
            "act": self.act,
            "norm": self.norm,
            "dropout": self.dropout,
            "bias": self.bias,
            "adn_ordering": self.adn_ordering,
        }

    @property
    def stride_product(self) -> Shape3:
        """What the window's edges must be multiples of, per axis."""
        return product_of(self.strides)

    @property
    def window_rule(self) -> WindowRule:
        """How windows of an image become one: blended, since norms see each window alone."""
        return "blended"

    @property
    def reach_vox(self) -> int:
        """How far around a voxel an exact window must see; 0 where windows are blended."""
        return 0


def _strides(config: Mapping[str, Any], steps: int) -> tuple[Shape3, ...]:
    value = config.get("strides")
    if not isinstance(value, list | tuple) or len(value) < steps:
        raise refusal("strides", value, f"it must list a stride for each of the {steps} steps down")
    # Strides beyond the last step are left unused, as MONAI leaves them.
    strides = tuple(triple("strides", item) for item in value[:steps])
    if any(math.prod(axis) > _MAX_STRIDE_PRODUCT for axis in zip(*strides, strict=True)):
        why = f"no window holds a voxel of the coarsest level, over {_MAX_STRIDE_PRODUCT} voxels"
        raise refusal("strides", value, why)
    return strides


def _kernel(config: Mapping[str, Any], field: str) -> Shape3:
    kernel = triple(field, config.get(field, 3))
    if any(edge % 2 == 0 for edge in kernel):
        raise refusal(field, config[field], "kernels must be odd")
    return kernel


def _dropout(config: Mapping[str, Any]) -> float:
    value = config.get("dropout", 0.0)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise refusal("dropout", value, "it must be a probability below 1")
    return float(value)


def _ordering(config: Mapping[str, Any]) -> str:
    value = config.get("adn_ordering", "NDA")
    if not isinstance(value, str) or len(set(value.upper())) != len(value):
        raise refusal("adn_ordering", value, "it must hold each of N, D and A at most once")
    if not set(value.upper()) <= set("NDA"):
        raise refusal("adn_ordering", value, "only the letters N, D and A can be built")
    return value.upper()


def _compact(triple: Shape3) -> int | list[int]:
    return triple[0] if len(set(triple)) == 1 else list(triple)
