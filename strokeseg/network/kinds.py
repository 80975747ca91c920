"""The kinds of single networks: which there are, and what each offers."""

from collections.abc import Mapping
from typing import Any

from strokeseg.network import blueprint, half_spec, mesh_spec, planar_spec
from strokeseg.network.fields import refusal
from strokeseg.network.half_spec import HalfSpec, half_parameter_shapes
from strokeseg.network.mesh_spec import MeshSpec, mesh_parameter_shapes
from strokeseg.network.planar_spec import PlanarSpec, planar_parameter_shapes
from strokeseg.network.spec import NetworkSpec

SingleSpec = NetworkSpec | HalfSpec | MeshSpec | PlanarSpec

UNET = "unet"
KINDS: Mapping[str, type[NetworkSpec] | type[HalfSpec] | type[MeshSpec] | type[PlanarSpec]] = {
    UNET: NetworkSpec,
    half_spec.ARCHITECTURE: HalfSpec,
    mesh_spec.ARCHITECTURE: MeshSpec,
    planar_spec.ARCHITECTURE: PlanarSpec,
}


def read_single_spec(
    config: Mapping[str, Any], images: int = 1, others: tuple[str, ...] = ()
) -> SingleSpec:
    """Read a single network from its fields; `others` are kinds that the caller can build, too.

    Raises
    ------
    ModelFormatError
        The kind is unknown, or a field is missing, malformed, or asks for what cannot be built.
    """
    kind = config.get("architecture", UNET)
    if isinstance(kind, str) and kind in KINDS:
        return KINDS[kind].from_config(config, images)
    raise refusal("architecture", kind, f"only {', '.join((*KINDS, *others))} can be built")


def single_parameter_shapes(spec: SingleSpec) -> dict[str, tuple[int, ...]]:
    """Name every tensor of a single network, with its shape."""
    if isinstance(spec, HalfSpec):
        return half_parameter_shapes(spec)
    if isinstance(spec, MeshSpec):
        return mesh_parameter_shapes(spec)
    if isinstance(spec, PlanarSpec):
        return planar_parameter_shapes(spec)
    return blueprint.parameter_shapes(spec)
