"""The architecture of a half-resolution U-Net, as the fields of a `config.json` say it.

All its features live at half of the image's resolution or below: eight neighbouring voxels of the
image are eight channels of the first convolution, and the last one gives the logits of eight
voxels at once. So the two finest levels of a plain U-Net, which take most of its time, are saved,
while no voxel of the image is lost. In other words the first convolution has a kernel of 6^3 and
stride 2, the last is a transposed one of 2^3 and stride 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strokeseg.arrays import Shape3
from strokeseg.network.fields import WindowRule, integer, integers, refusal, require_images

ARCHITECTURE = "half-resolution-unet"
FOLD = 2
SUBVOXELS = FOLD**3

_MOST_CLASSES = 255
_MOST_LEVELS = 8
_MOST_CHANNELS = 4096
_MOST_UNITS = 16


@dataclass(frozen=True)
class HalfSpec:
    """The architecture of a half-resolution U-Net.

    A unit is a 3^3 convolution without bias, an instance norm with scale and shift, and a leaky
    ReLU. From one level to the next the first unit has stride 2; further units of a level add
    their result to their input. On the way up a 1^3 convolution fits the channels, the nearest
    voxel is repeated, and the way down joins through a 1^3 convolution, by a sum.

    Parameters
    ----------
    out_channels
        Number of classes; the lesion is the last one.
    channels
        Features of each level, from half the image's resolution to the bottom.
    encoder_units
        Units of each level on the way down.
    decoder_units
        Units of each level but the bottom on the way up.
    in_channels
        Images that go in: 1, and more for a second stage.
    """

    out_channels: int
    channels: tuple[int, ...]
    encoder_units: tuple[int, ...]
    decoder_units: tuple[int, ...]
    in_channels: int = 1

    @classmethod
    def from_config(cls, config: Mapping[str, Any], images: int = 1) -> "HalfSpec":
        """Read the architecture from the fields of a ``config.json``; it has to take `images`.

        Raises
        ------
        ModelFormatError
            A field is missing, malformed, or asks for something that cannot be built.
        """
        require_images({"in_channels": images, **config}, images)
        channels = integers(config, "channels", _MOST_CHANNELS)
        if not 2 <= len(channels) <= _MOST_LEVELS:
            raise refusal("channels", channels, f"2 to {_MOST_LEVELS} levels can be built")
        encoder = integers(config, "encoder_units", _MOST_UNITS)
        decoder = integers(config, "decoder_units", _MOST_UNITS)
        if len(encoder) != len(channels):
            raise refusal("encoder_units", encoder, "it must have an entry for each level")
        if len(decoder) != len(channels) - 1:
            raise refusal("decoder_units", decoder, "it must have an entry for each level but one")
        classes = integer(config, "out_channels", None, low=2, high=_MOST_CLASSES)
        return cls(classes, channels, encoder, decoder, images)

    def to_config(self) -> dict[str, Any]:
        """Return the fields that `from_config` reads, ready for ``config.json``."""
        return {
            "architecture": ARCHITECTURE,
            "spatial_dims": 3,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "channels": list(self.channels),
            "encoder_units": list(self.encoder_units),
            "decoder_units": list(self.decoder_units),
        }

    @property
    def stride_product(self) -> Shape3:
        """What the window's edges must be multiples of, per axis."""
        edge = FOLD ** len(self.channels)
        return edge, edge, edge

    @property
    def window_rule(self) -> WindowRule:
        """How windows of an image become one: blended, since norms see each window alone."""
        return "blended"

    @property
    def reach_vox(self) -> int:
        """How far around a voxel an exact window must see; 0 where windows are blended."""
        return 0


def half_parameter_shapes(spec: HalfSpec) -> dict[str, tuple[int, ...]]:
    """Name every tensor of the network, with its shape."""
    shapes: dict[str, tuple[int, ...]] = {}
    inputs = SUBVOXELS * spec.in_channels
    for level, (features, units) in enumerate(zip(spec.channels, spec.encoder_units, strict=True)):
        _add_units(shapes, f"encoder.{level}", inputs, features, units)
        inputs = features
    for level, units in enumerate(spec.decoder_units):
        features, below = spec.channels[level], spec.channels[level + 1]
        shapes[f"reduce.{level}.weight"] = (features, below, 1, 1, 1)
        shapes[f"skip.{level}.weight"] = (features, features, 1, 1, 1)
        _add_units(shapes, f"decoder.{level}", features, features, units)
    shapes["head.weight"] = (spec.out_channels * SUBVOXELS, spec.channels[0], 1, 1, 1)
    shapes["head.bias"] = (spec.out_channels,)
    return shapes


def _add_units(
    shapes: dict[str, tuple[int, ...]], name: str, inputs: int, outputs: int, units: int
) -> None:
    for unit in range(units):
        stem = f"{name}.{unit}"
        shapes[f"{stem}.conv.weight"] = (outputs, inputs if unit == 0 else outputs, 3, 3, 3)
        shapes[f"{stem}.scale"] = (outputs,)
        shapes[f"{stem}.shift"] = (outputs,)
