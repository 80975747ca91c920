"""A model of two stages with random weights, a few kilobytes in all."""

import hashlib
import json

import numpy as np
from safetensors.numpy import save

from strokeseg.models.second_stage import SecondStage, image_count
from strokeseg.models.tensors import SECOND_FILE
from strokeseg.network.half_spec import HalfSpec
from tests.networks import random_state
from tests.tiny_models import OWN, tiny_files, write_files

FIRST = OWN | {"threshold": 0.3, "min_volume_ml": 0.0, "brain_mask": False, "window": 32}
PARTS = ("core", "rim")


def second_of(channels=("scan", "lesion"), seed=0, **fields):
    """Give a second stage and its tensors."""
    spec = HalfSpec(len(PARTS) + 1, (4, 6), (1, 1), (1,), image_count(channels, 6))
    state = random_state(spec, seed)
    digest = hashlib.sha256(save(state)).hexdigest()
    fields = {"crop": 16, "threshold": 0.25, "normalisation": "zscore"} | fields
    return SecondStage(spec, digest, PARTS, channels, **fields), state


def two_stage_files(seed=3, channels=("scan", "lesion"), own=FIRST, change=None, **fields):
    """Give the files of a model; `change` is what its stage's table says otherwise."""
    second, state = second_of(channels, **fields)
    table = second.to_config() | (change or {})
    return {**tiny_files(own | {"stages": [table]}, seed=seed), SECOND_FILE: save(state)}


def two_stage_model(folder, **choices):
    return write_files(folder, two_stage_files(**choices))


def without_second(folder, target):
    """Write the same first stage as a model of its own."""
    config = json.loads((folder / "config.json").read_text())
    del config["strokeseg"]["stages"]
    files = {name: (folder / name).read_bytes() for name in ("model.safetensors",)}
    return write_files(target, files | {"config.json": json.dumps(config).encode()})


def said_by(engine, images):
    return engine.logits(np.ascontiguousarray(images))
