"""An ensemble: several networks of any kind, and of the same classes, whose logits are averaged.

It is one model: one file of tensors, one golden record, one decision.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strokeseg.arrays import Shape3
from strokeseg.errors import ModelFormatError
from strokeseg.network.fields import WindowRule, refusal, require_images
from strokeseg.network.kinds import SingleSpec, read_single_spec, single_parameter_shapes

ARCHITECTURE = "ensemble"
FIELD = "networks"

_MOST_NETWORKS = 16
_MOST_STRIDE = 1024


@dataclass(frozen=True)
class EnsembleSpec:
    """Networks whose logits are averaged.

    Parameters
    ----------
    networks
        At least two, of the same classes and input, whose windows are blended.
    """

    networks: tuple[SingleSpec, ...]

    @classmethod
    def from_config(cls, config: Mapping[str, Any], images: int = 1) -> "EnsembleSpec":
        """Read the networks from the fields of a ``config.json``; each has to take `images`.

        Raises
        ------
        ModelFormatError
            A field is missing or malformed, a network cannot be built, or they do not fit together.
        """
        require_images({"in_channels": images, **config}, images)
        listed = config.get(FIELD)
        if not isinstance(listed, list | tuple) or not 2 <= len(listed) <= _MOST_NETWORKS:
            raise refusal(FIELD, listed, f"it must be a list of 2 to {_MOST_NETWORKS} networks")
        networks = tuple(_network(number, fields, images) for number, fields in enumerate(listed))
        classes = networks[0].out_channels
        for number, network in enumerate(networks):
            if network.out_channels != classes:
                why = f"the first network has {classes} classes, and they are averaged"
                raise refusal(f"{FIELD}[{number}].out_channels", network.out_channels, why)
        spec = cls(networks)
        if config.get("out_channels", classes) != classes:
            why = f"the networks have {classes} classes"
            raise refusal("out_channels", config["out_channels"], why)
        if max(spec.stride_product) > _MOST_STRIDE:
            why = f"windows that suit all of them have edges of over {_MOST_STRIDE} voxels"
            raise refusal(FIELD, [network.stride_product for network in networks], why)
        return spec

    def to_config(self) -> dict[str, Any]:
        """Return the fields that `from_config` reads, ready for ``config.json``."""
        return {
            "architecture": ARCHITECTURE,
            "spatial_dims": 3,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            FIELD: [network.to_config() for network in self.networks],
        }

    @property
    def in_channels(self) -> int:
        """Images at a time, the same for all."""
        return self.networks[0].in_channels

    @property
    def out_channels(self) -> int:
        """Number of classes, the same for all."""
        return self.networks[0].out_channels

    @property
    def stride_product(self) -> Shape3:
        """What the window's edges must be multiples of, per axis, to suit every network."""
        products = [network.stride_product for network in self.networks]
        i, j, k = (math.lcm(*along) for along in zip(*products, strict=True))
        return i, j, k

    @property
    def window_rule(self) -> WindowRule:
        """How windows of an image become one: blended, as those of each network."""
        return "blended"

    @property
    def reach_vox(self) -> int:
        """How far around a voxel an exact window must see; 0 where windows are blended."""
        return 0


def _network(number: int, fields: object, images: int) -> SingleSpec:
    where = f"{FIELD}[{number}]"
    if not isinstance(fields, dict):
        raise refusal(where, fields, "it must be a table of a network's fields")
    try:
        spec = read_single_spec(fields, images)
    except ModelFormatError as error:
        what = str(error).removeprefix("config.json").removeprefix(": ").strip()
        raise ModelFormatError(f"config.json: {where}: {what}") from error
    if spec.window_rule != "blended":
        why = "only networks whose windows are blended can be averaged window by window"
        raise refusal(f"{where}.architecture", fields.get("architecture"), why)
    return spec


def network_prefixes(spec: EnsembleSpec) -> tuple[str, ...]:
    """Give what stands before the tensors' names of each network."""
    return tuple(f"{FIELD}.{number}." for number in range(len(spec.networks)))


def ensemble_parameter_shapes(spec: EnsembleSpec) -> dict[str, tuple[int, ...]]:
    """Name every tensor of the networks, with its shape."""
    return {
        prefix + name: shape
        for prefix, network in zip(network_prefixes(spec), spec.networks, strict=True)
        for name, shape in single_parameter_shapes(network).items()
    }


def tensors_of(prefix: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """Give the tensors of one network, by the names that it has alone."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
