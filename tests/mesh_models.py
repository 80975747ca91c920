"""MeshNets of a few numbers that find what is bright: lesions or brains whose place is known."""

import json

import numpy as np

from strokeseg.models.tensors import write_tensors
from strokeseg.network.mesh_spec import MeshSpec
from tests.tiny_models import write_files

SPEC = MeshSpec(2, 1, (1, 1), "NONE", "RELU")


def threshold_state(level, steepness=40.0):
    """Tensors of a network whose log-odds are `steepness` times what exceeds `level`."""
    centre = np.zeros((1, 1, 3, 3, 3), np.float32)
    centre[0, 0, 1, 1, 1] = 1
    head = np.zeros((2, 1, 1, 1, 1), np.float32)
    head[1] = steepness
    return {
        "layers.0.conv.weight": centre,
        "layers.0.conv.bias": np.zeros(1, np.float32),
        "layers.1.conv.weight": centre,
        "layers.1.conv.bias": np.zeros(1, np.float32),
        "head.weight": head,
        "head.bias": np.array([0, -steepness * level], np.float32),
    }


def mesh_folder(folder, level, **own):
    """Write a model that finds what is brighter than `level` of an image's range, 0 to 1."""
    settings = {"normalisation": "minmax", "voxel_size_mm": 1.5} | own
    config = SPEC.to_config() | {"strokeseg": settings}
    files = {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": write_tensors(threshold_state(level)),
    }
    return write_files(folder, files)
