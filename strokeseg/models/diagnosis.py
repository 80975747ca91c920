"""What `strokeseg doctor` finds out about an installation."""

import importlib.metadata
import importlib.util
import os
import platform
import time
from pathlib import Path
from typing import Any

from strokeseg._version import __version__
from strokeseg.engines.choice import PREFERENCE, EngineInfo, available_engines, open_engine
from strokeseg.errors import StrokesegError
from strokeseg.machine import available_memory_bytes
from strokeseg.models.finding import load_model_files
from strokeseg.models.folder import Model
from strokeseg.models.hub_settings import hub_settings
from strokeseg.models.verification import check_networks

PACKAGES = (
    *("numpy", "scipy", "nibabel", "onnx", "safetensors", "huggingface-hub", "typer", "rich"),
    *("pillow", "matplotlib", "jinja2", "distributed", "dask-jobqueue"),
)


def diagnose() -> dict[str, Any]:
    """Check the installation: system, packages, the default model, every engine and device.

    Returns
    -------
    dict
        Plain values: `system`, `packages`, `model` (with `error` where it cannot be loaded), and
        `engines`, one entry per engine and device with the outcome of the golden check.
    """
    settings = hub_settings()
    memory = available_memory_bytes()
    report: dict[str, Any] = {
        "system": {
            "strokeseg": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cpu cores": os.cpu_count(),
            "memory available": "unknown" if memory is None else f"{memory / 2**30:.1f} GiB",
            "cache": _place(settings.cache) + _unless_writable(settings.cache),
            "compiled networks": "off" if settings.compiled is None else _place(settings.compiled),
            "offline": "yes" if settings.offline else "no",
        },
        "packages": {name: _version(name) for name in PACKAGES},
        "model": {},
        "engines": [],
    }
    try:
        model = load_model_files(offline=True)
    except StrokesegError as error:
        report["model"] = {"error": str(error)}
        return report
    report["model"] = {"name": model.name, "sha256": model.sha256, "folder": _place(model.folder)}
    report["engines"] = [
        check_engine(model, info, device) for info in _engines() for device in info.devices
    ]
    return report


def check_engine(model: Model, info: EngineInfo, device: str) -> dict[str, Any]:
    """Run a model's golden check, of a second stage too, on one engine and device."""
    outcome: dict[str, Any] = {
        "engine": info.name,
        "version": info.version,
        "device": device,
        "passed": False,
        "worst_difference": None,
        "seconds": None,
        "problem": None,
    }
    started = time.perf_counter()
    try:
        engine = open_engine(model.config.spec, model.state, engine=info.name, device=device)
        golden = check_networks(model, engine)
    except StrokesegError as error:
        return outcome | {"problem": str(error)}
    if golden is None:
        return outcome | {"problem": "the model has no golden.json"}
    return outcome | {
        "passed": golden.passed,
        "worst_difference": golden.worst_difference,
        "seconds": round(time.perf_counter() - started, 3),
        "problem": None if golden.passed else f"{golden.worst} differs",
    }


def _place(folder: Path) -> str:
    """Name a folder without saying who the user is: reports of faults are public."""
    home = Path.home()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def _engines() -> list[EngineInfo]:
    """List the engines that work, and those that are there but broken, whose check will say why."""
    working = available_engines()
    names = {info.name for info in working}
    broken = [
        EngineInfo(name, "unknown", ("cpu",))
        for name in PREFERENCE["cpu"]
        if name not in names and importlib.util.find_spec(name) is not None
    ]
    return working + broken


def _unless_writable(folder: Path) -> str:
    """Say so where no file can be put into a folder, or the nearest one above it that exists."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    return "" if there.is_dir() and os.access(there, os.W_OK) else " (read-only)"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
