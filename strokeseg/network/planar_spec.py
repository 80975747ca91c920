"""The architecture of a three-plane U-Net, as the fields of a `config.json` say it.

A 2D U-Net sees every sagittal, coronal and axial slice of a volume, each with a neighbour before
and after it, with the same weights for the three planes; the three logits of a voxel are averaged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strokeseg.arrays import Shape3
from strokeseg.network.fields import WindowRule, integer, integers, refusal, require_images

ARCHITECTURE = "three-plane-unet"
PLANES = 3
# A slice, the one before and the one after it.
SLICES = 3
FOLD = 2
# Pixels whose logits one pixel of the finest features tells.
SUBPIXELS = FOLD**2
STEM_KERNEL = 4

_MOST_CLASSES = 255
_MOST_LEVELS = 8
_MOST_CHANNELS = 4096
MOST_GAP = 16


@dataclass(frozen=True)
class PlanarSpec:
    """The architecture of a three-plane U-Net.

    A convolution of 4^2 and stride 2 halves the slice. A block is two 3^2 convolutions, each with a
    bias (in training a batch norm) and a leaky ReLU, the second added to the block's input. From
    one level to the next the largest of 2^2 pixels is kept; on the way up pixels are repeated, and
    the way down joins as further channels. A 1^2 convolution tells the classes of 2^2 pixels each.

    Parameters
    ----------
    out_channels
        Number of classes; the lesion is the last one.
    channels
        Features of each level, the finest first.
    gap_vox
        How far the neighbours are from the slice; beyond the first and last slice those count
        again.
    every_vox
        Of so many slices in a row the first is looked at, and speaks for them all: with 2 a look
        takes half the time. The slices between are seen by the two other planes.
    """

    out_channels: int
    channels: tuple[int, ...]
    gap_vox: int = 2
    every_vox: int = 1

    @classmethod
    def from_config(cls, config: Mapping[str, Any], images: int = 1) -> "PlanarSpec":
        """Read the architecture from the fields of a ``config.json``; it takes one image at a time.

        Raises
        ------
        ModelFormatError
            A field is missing, malformed, or asks for something that cannot be built.
        """
        if images != 1:
            raise refusal("architecture", ARCHITECTURE, f"it takes one image, not {images}")
        require_images({"in_channels": 1, **config})
        channels = integers(config, "channels", _MOST_CHANNELS)
        if not 2 <= len(channels) <= _MOST_LEVELS:
            raise refusal("channels", channels, f"2 to {_MOST_LEVELS} levels can be built")
        every = integer(config, "every_vox", 1, low=1, high=FOLD ** len(channels))
        if FOLD ** len(channels) % every:
            raise refusal("every_vox", every, "it must be a power of two")
        return cls(
            out_channels=integer(config, "out_channels", None, low=2, high=_MOST_CLASSES),
            channels=channels,
            gap_vox=integer(config, "gap_vox", 2, low=1, high=MOST_GAP),
            every_vox=every,
        )

    def to_config(self) -> dict[str, Any]:
        """Return the fields that `from_config` reads, ready for ``config.json``."""
        return {
            "architecture": ARCHITECTURE,
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": self.out_channels,
            "channels": list(self.channels),
            "gap_vox": self.gap_vox,
            "every_vox": self.every_vox,
        }

    @property
    def in_channels(self) -> int:
        """One image at a time."""
        return 1

    @property
    def stride_product(self) -> Shape3:
        """What the window's edges must be multiples of, per axis."""
        edge = FOLD ** len(self.channels)
        return edge, edge, edge

    @property
    def window_rule(self) -> WindowRule:
        """How windows of an image become one: blended, since a slice is seen whole."""
        return "blended"

    @property
    def reach_vox(self) -> int:
        """How far around a voxel an exact window must see; 0 where windows are blended."""
        return 0


@dataclass(frozen=True)
class PlanarBlock:
    """Two convolutions and their sum with the input, which fits by itself or by a `shortcut`."""

    name: str
    inputs: int
    outputs: int

    @property
    def shortcut(self) -> bool:
        """Whether a 1^2 convolution fits the input's channels."""
        return self.inputs != self.outputs


def planar_blocks(spec: PlanarSpec) -> tuple[tuple[PlanarBlock, ...], tuple[PlanarBlock, ...]]:
    """Give the blocks of the way down and of the way up, each by its level, the finest first."""
    channels = spec.channels
    down = tuple(
        PlanarBlock(f"encoder.{level}", channels[max(level - 1, 0)], features)
        for level, features in enumerate(channels)
    )
    up = tuple(
        PlanarBlock(f"decoder.{level}", channels[level] + below, channels[level])
        for level, below in enumerate(channels[1:])
    )
    return down, up


def planar_parameter_shapes(spec: PlanarSpec) -> dict[str, tuple[int, ...]]:
    """Name every tensor of the network, with its shape; norms are folded."""
    finest, logits = spec.channels[0], spec.out_channels * SUBPIXELS
    shapes: dict[str, tuple[int, ...]] = {
        "stem.weight": (finest, SLICES, STEM_KERNEL, STEM_KERNEL),
        "stem.bias": (finest,),
    }
    down, up = planar_blocks(spec)
    for block in (*down, *up):
        parts = [("first", block.inputs, 3), ("second", block.outputs, 3)]
        if block.shortcut:
            parts.append(("shortcut", block.inputs, 1))
        for part, inputs, edge in parts:
            shapes[f"{block.name}.{part}.weight"] = (block.outputs, inputs, edge, edge)
            shapes[f"{block.name}.{part}.bias"] = (block.outputs,)
    shapes["head.weight"] = (logits, finest, 1, 1)
    shapes["head.bias"] = (logits,)
    return shapes
