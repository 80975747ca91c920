"""What every kind of network offers: read from a config, tensors checked, an ONNX graph written."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from strokeseg.arrays import AnyArray
from strokeseg.errors import ModelFormatError
from strokeseg.network import blueprint, ensemble_spec
from strokeseg.network.ensemble_spec import (
    EnsembleSpec,
    ensemble_parameter_shapes,
    network_prefixes,
    tensors_of,
)
from strokeseg.network.folding import LANES
from strokeseg.network.half_spec import SUBVOXELS, HalfSpec
from strokeseg.network.kinds import SingleSpec, read_single_spec, single_parameter_shapes
from strokeseg.network.mesh_spec import MeshSpec
from strokeseg.network.planar_spec import SLICES, SUBPIXELS, PlanarSpec

if TYPE_CHECKING:
    from strokeseg.network.onnx_writer import GraphWriter

Spec = SingleSpec | EnsembleSpec

PREFIX = "unet."
LOGIT_BYTES = 4


def strip_prefix(state: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Drop the ``unet.`` that the published weights put before every name.

    Parameters
    ----------
    state
        Tensors by name, with or without the prefix.

    Returns
    -------
    dict
        The same tensors under MONAI's names.
    """
    return {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}


def read_spec(config: Mapping[str, Any], images: int = 1) -> Spec:
    """Read a network of any kind from the fields of a ``config.json``.

    Parameters
    ----------
    config
        The parsed file. Without `architecture` it is a U-Net, as in the published models.
    images
        How many images the network has to take at a time.

    Raises
    ------
    ModelFormatError
        The kind is unknown, or a field is missing, malformed, or asks for what cannot be built.
    """
    if config.get("architecture") == ensemble_spec.ARCHITECTURE:
        return EnsembleSpec.from_config(config, images)
    return read_single_spec(config, images, (ensemble_spec.ARCHITECTURE,))


def parameter_shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """Name every tensor of a network, with its shape."""
    if isinstance(spec, EnsembleSpec):
        return ensemble_parameter_shapes(spec)
    return single_parameter_shapes(spec)


def check_state(spec: Spec, state: Mapping[str, AnyArray]) -> None:
    """Check that the tensors are those of the network, in name, shape and value.

    Parameters
    ----------
    spec
        The architecture.
    state
        Tensors by MONAI's names, without prefix.

    Raises
    ------
    ModelFormatError
        If a tensor is missing, unknown, of another shape, not of a float type, or not finite.
    """
    shapes = parameter_shapes(spec)
    for name, shape in shapes.items():
        if name not in state:
            raise ModelFormatError(
                f"weights lack the tensor {name} that config.json asks for; "
                "take config.json and model.safetensors from the same model"
            )
        tensor = state[name]
        if tensor.shape != shape:
            raise ModelFormatError(
                f"weights: tensor {name} has shape {tuple(tensor.shape)}, config.json asks for "
                f"{shape}; take config.json and model.safetensors from the same model"
            )
        if not np.issubdtype(tensor.dtype, np.floating):
            raise ModelFormatError(
                f"weights: tensor {name} is of type {tensor.dtype}; store it as float32 or float16"
            )
        if not np.isfinite(tensor).all():
            raise ModelFormatError(
                f"weights: tensor {name} holds values that are not finite; fetch the model again"
            )
        if name.endswith(".running_var") and (tensor < 0).any():
            raise ModelFormatError(
                f"weights: tensor {name} holds variances below 0; fetch the model again"
            )
    unknown = sorted(set(state) - set(shapes))
    if unknown:
        raise ModelFormatError(
            f"weights hold the tensor {unknown[0]} that config.json has no place for; "
            "take config.json and model.safetensors from the same model"
        )


def build_onnx(
    spec: Spec, state: Mapping[str, AnyArray], *, folded: bool = False, even: bool = False
) -> bytes:
    """Write the network as an ONNX model with a free window shape.

    Parameters
    ----------
    spec
        The architecture.
    state
        Tensors by MONAI's names, without prefix.
    folded
        Whether the finest convolutions are written as `strokeseg.network.folding` says: the same
        network, which OpenVINO runs faster and more exactly.
    even
        Whether an odd number of a MeshNet's features becomes even by one that is 0 everywhere: the
        same network, which OpenVINO runs twice as fast in bf16, where features come in pairs.

    Returns
    -------
    bytes
        A serialised ``ModelProto``: input ``patch`` (1, images, I, J, K), output ``logits``
        (1, C, I, J, K), both float32; I, J and K must be multiples of the spec's `stride_product`.

    Raises
    ------
    ModelFormatError
        If the tensors are not those of the network.
    """
    check_state(spec, state)
    return _graph(spec, state, folded=folded, even=even).serialised()


def _graph(spec: Spec, state: Mapping[str, AnyArray], *, folded: bool, even: bool) -> "GraphWriter":
    # onnx takes long to import, and those who only check tensors do without it.
    if isinstance(spec, EnsembleSpec):
        from strokeseg.network.ensemble_graph import ensemble_graph

        members = zip(network_prefixes(spec), spec.networks, strict=True)
        parts = [
            _graph(one, tensors_of(prefix, state), folded=folded, even=even)
            for prefix, one in members
        ]
        return ensemble_graph(spec, parts)
    if isinstance(spec, HalfSpec):
        from strokeseg.network.half_graph import half_graph

        return half_graph(spec, state)
    if isinstance(spec, MeshSpec):
        from strokeseg.network.mesh_graph import mesh_graph

        return mesh_graph(spec, state, even=even)
    if isinstance(spec, PlanarSpec):
        from strokeseg.network.planar_graph import planar_graph

        return planar_graph(spec, state)
    from strokeseg.network.onnx_graph import unet_graph

    return unet_graph(spec, state, folded=folded)


def bytes_at_once(spec: Spec, normed: int, feature_bytes: int) -> float:
    """Give what a network holds at once at its costliest, in bytes per voxel of the window.

    Of a U-Net it is what goes into the last step up; a MeshNet has what goes into a layer and what
    comes out, each laid out in whole lanes, or with instance norms `normed` such layers. An
    ensemble has its costliest network's beside the sum of the logits before. A feature takes
    `feature_bytes`; logits are float32 whatever the precision.
    """
    if isinstance(spec, EnsembleSpec):
        costliest = max(bytes_at_once(one, normed, feature_bytes) for one in spec.networks)
        return LOGIT_BYTES * spec.out_channels + costliest
    if isinstance(spec, PlanarSpec):
        return _planar_bytes_at_once(spec, feature_bytes)
    if isinstance(spec, MeshSpec):
        layers = normed if spec.window_rule == "whole" else 2
        return feature_bytes * layers * -(-spec.channels // LANES) * LANES
    if isinstance(spec, HalfSpec):
        # Three tensors of the finest level: what came down, what comes up, and their sum.
        return feature_bytes * 3 * spec.channels[0] / SUBVOXELS
    last_step = blueprint.blueprint(spec).levels[0].up.inputs / math.prod(spec.strides[0])
    return feature_bytes * last_step


def _planar_bytes_at_once(spec: PlanarSpec, feature_bytes: int) -> float:
    """Count what is there while slices are looked at, or once all of a plane are: the more."""
    finest, below = spec.channels[:2]
    # What a block of the finest level takes, and three tensors of what it gives.
    looking = feature_bytes * (SLICES + (4 * finest + below) / SUBPIXELS) / spec.every_vox
    # The slices' logits, as they come and in place, and repeated for the slices between.
    telling = LOGIT_BYTES * spec.out_channels * (1 + 2 / spec.every_vox)
    # All the while the image with its edges repeated, and the sum of the planes before.
    return feature_bytes + LOGIT_BYTES * spec.out_channels + max(looking, telling)
