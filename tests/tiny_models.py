"""Models of a few kilobytes for tests, and an environment that keeps them away from the user's."""

import json
import struct

import numpy as np
from safetensors.numpy import save

from strokeseg.network.blueprint import parameter_shapes
from strokeseg.network.spec import NetworkSpec

CONFIG = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 6,
    "channels": [4, 8, 8],
    "strides": [2, 2],
    "kernel_size": 3,
    "up_kernel_size": 3,
    "num_res_units": 1,
    "act": "PRELU",
    "norm": "INSTANCE",
    "dropout": 0.2,
    "bias": True,
    "adn_ordering": "NDA",
    "model_type": "baseline",
}
OWN = {
    "voxel_size_mm": 2.0,
    "window": 96,
    "normalisation": "zscore",
    "class_names": ["background", "GM", "GM/WM", "WM", "CSF", "lesion"],
    "threshold": 0.4,
    "min_volume_ml": 0.05,
    "brain_mask": True,
    "training": {"steps": 10},
}
VARIABLES = [
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_TOKEN",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "XDG_CACHE_HOME",
]


def isolate(monkeypatch, home, endpoint="https://hub.invalid"):
    """Keep a test in its own HF_HOME, and away from any Hub but `endpoint`."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("HF_ENDPOINT", endpoint)


def tiny_state(seed=0, dtype=np.float32, prefix="", **changes):
    spec = NetworkSpec.from_config(CONFIG | changes)
    rng = np.random.default_rng(seed)
    return {
        prefix + name: (0.2 * rng.standard_normal(shape)).astype(dtype)
        for name, shape in parameter_shapes(spec).items()
    }


def tiny_files(own=OWN, seed=0, dtype=np.float32, prefix="", **changes):
    """Give config.json and model.safetensors as bytes."""
    config = CONFIG | changes
    if own is not None:
        config["strokeseg"] = own
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": save(tiny_state(seed, dtype, prefix, **changes)),
    }


def write_files(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def raw_safetensors(header, data=b""):
    """Give a file with any header, valid or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write_registry(folder, models, default):
    """Write a registry.toml; each model is a dict of fields."""
    lines = [f"default = {json.dumps(default)}"]
    for name, fields in models.items():
        common = {"summary": "s", "licence": "MIT", "citation": "c"}
        common["classes"] = ["background", "GM", "GM/WM", "WM", "CSF", "lesion"]
        lines.append(f"[models.{json.dumps(name)}]")
        lines += [f"{key} = {_toml(value)}" for key, value in (common | fields).items()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "registry.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _toml(value):
    """Write a value as TOML has it: lists and strings as JSON, tables inline."""
    if isinstance(value, list):
        return f"[{', '.join(_toml(each) for each in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)
