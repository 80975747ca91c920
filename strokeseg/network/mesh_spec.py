"""The architecture of a MeshNet, as the fields of a `config.json` say it.

A MeshNet (Fedorov et al., arXiv 1612.00940) is a row of dilated 3^3 convolutions, all at the
image's own resolution and with few features, and one 1^3 convolution that tells the classes. A few
hundred kilobytes hold it, and its features take the memory. Several networks of one training can
be one model: their logits are averaged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strokeseg.arrays import Shape3
from strokeseg.network.batch_norms import BATCH_TENSORS
from strokeseg.network.fields import (
    WindowRule,
    choice,
    flag,
    integer,
    integers,
    refusal,
    require_images,
)

ARCHITECTURE = "meshnet"
MESH_ACTIVATIONS = ("RELU", "ELU", "GELU")
MESH_NORMS = ("BATCH", "INSTANCE", "NONE")

_MOST_CLASSES = 255
_MOST_CHANNELS = 1024
_MOST_LAYERS = 100
_MOST_DILATION = 128
_MOST_MEMBERS = 16


@dataclass(frozen=True)
class MeshSpec:
    """The architecture of a MeshNet.

    Parameters
    ----------
    out_channels
        Number of classes; what the model finds is the last one.
    channels
        Features of every layer.
    dilations
        Of the 3^3 convolutions, first to last.
    norm
        After each of them: ``BATCH`` with its running statistics, scale and shift; ``INSTANCE``
        without scale and shift; or ``NONE``.
    act
        After each norm, a name from `MESH_ACTIVATIONS`.
    bias
        Whether the 3^3 convolutions have a bias; the last convolution always has.
    members
        Networks whose logits are averaged.
    """

    out_channels: int
    channels: int
    dilations: tuple[int, ...]
    norm: str = "BATCH"
    act: str = "RELU"
    bias: bool = True
    members: int = 1

    @classmethod
    def from_config(cls, config: Mapping[str, Any], images: int = 1) -> "MeshSpec":
        """Read the architecture from the fields of a ``config.json``; it takes one image at a time.

        Raises
        ------
        ModelFormatError
            A field is missing, malformed, or asks for something that cannot be built.
        """
        if images != 1:
            raise refusal("architecture", ARCHITECTURE, f"it takes one image, not {images}")
        require_images(config)
        dilations = integers(config, "dilations", _MOST_DILATION)
        if not 1 <= len(dilations) <= _MOST_LAYERS:
            raise refusal("dilations", dilations, f"1 to {_MOST_LAYERS} layers can be built")
        return cls(
            out_channels=integer(config, "out_channels", None, low=2, high=_MOST_CLASSES),
            channels=integer(config, "channels", None, low=1, high=_MOST_CHANNELS),
            dilations=dilations,
            norm=choice(config, "norm", "BATCH", MESH_NORMS),
            act=choice(config, "act", "RELU", MESH_ACTIVATIONS),
            bias=flag(config, "bias", default=True),
            members=integer(config, "members", 1, low=1, high=_MOST_MEMBERS),
        )

    def to_config(self) -> dict[str, Any]:
        """Return the fields that `from_config` reads, ready for ``config.json``."""
        return {
            "architecture": ARCHITECTURE,
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": self.out_channels,
            "channels": self.channels,
            "dilations": list(self.dilations),
            "norm": self.norm,
            "act": self.act,
            "bias": self.bias,
            "members": self.members,
        }

    @property
    def in_channels(self) -> int:
        """One image at a time."""
        return 1

    @property
    def stride_product(self) -> Shape3:
        """What the window's edges must be multiples of, per axis: of nothing."""
        return 1, 1, 1

    @property
    def window_rule(self) -> WindowRule:
        """How windows of an image become one.

        With its norms folded or without any, a voxel of the logits depends on what `reach_vox`
        tells and on no more, so windows can be exact. An instance norm needs the whole image.
        """
        return "whole" if self.norm == "INSTANCE" else "exact"

    @property
    def reach_vox(self) -> int:
        """How far around a voxel the network looks: half of its receptive field."""
        return sum(self.dilations)


def member_prefixes(spec: MeshSpec) -> tuple[str, ...]:
    """Give what stands before the tensors' names of each network of a model."""
    if spec.members == 1:
        return ("",)
    return tuple(f"member.{number}." for number in range(spec.members))


def mesh_parameter_shapes(spec: MeshSpec) -> dict[str, tuple[int, ...]]:
    """Name every tensor of the network, with its shape."""
    shapes: dict[str, tuple[int, ...]] = {}
    for prefix in member_prefixes(spec):
        for number in range(len(spec.dilations)):
            stem = f"{prefix}layers.{number}"
            inputs = 1 if number == 0 else spec.channels
            shapes[f"{stem}.conv.weight"] = (spec.channels, inputs, 3, 3, 3)
            if spec.bias:
                shapes[f"{stem}.conv.bias"] = (spec.channels,)
            if spec.norm == "BATCH":
                shapes |= {f"{stem}.norm.{name}": (spec.channels,) for name in BATCH_TENSORS}
        shapes[f"{prefix}head.weight"] = (spec.out_channels, spec.channels, 1, 1, 1)
        shapes[f"{prefix}head.bias"] = (spec.out_channels,)
    return shapes
