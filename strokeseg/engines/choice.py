"""The choice among the inference engines that are installed, and the opening of one."""

import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType

from strokeseg.arrays import AnyArray
from strokeseg.engines.base import Engine
from strokeseg.engines.cuda import cuda_count
from strokeseg.engines.kept_networks import KeptNetworks
from strokeseg.errors import EngineError, UsageError
from strokeseg.network.state import Spec

# In the order of preference, by kind of device.
PREFERENCE = {
    "cpu": ("openvino", "onnxruntime", "torch"),
    "cuda": ("torch", "onnxruntime"),
    "mps": ("torch",),
}
PRECISIONS = {
    "openvino": ("fp32", "bf16"),
    "onnxruntime": ("fp32",),
    "torch": ("fp32", "bf16"),
}
DISTRIBUTIONS = {
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
    "torch": ("torch",),
}
INSTALL = {
    "openvino": "pip install openvino",
    "onnxruntime": "pip install onnxruntime, or 'strokeseg[gpu]' for CUDA",
    "torch": "pip install 'strokeseg[torch]'",
}


@dataclass(frozen=True)
class EngineInfo:
    """An engine that is installed: its name, its version and the devices it can use here."""

    name: str
    version: str
    devices: tuple[str, ...]


def available_engines() -> list[EngineInfo]:
    """List the engines that are installed; those that are there but broken are left out."""
    found = []
    for name in PREFERENCE["cpu"]:
        if not _is_installed(name):
            continue
        try:
            usable = tuple(_module(name).devices())
        except EngineError:
            continue
        found.append(EngineInfo(name, _version(name), usable))
    return found


def open_engine(
    spec: Spec,
    state: Mapping[str, AnyArray],
    *,
    engine: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    precision: str = "fp32",
    lean: bool = False,
    kept: KeptNetworks | None = None,
) -> Engine:
    """Load a network into an inference engine.

    Parameters
    ----------
    spec
        The architecture.
    state
        Its tensors by MONAI's names, without prefix.
    engine
        ``openvino``, ``onnxruntime`` or ``torch``; ``auto`` takes the fastest for the device.
    device
        ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; ``auto`` takes CUDA where there is one, else the
        CPU.
    threads
        CPU threads to use, the engine's own choice if None.
    precision
        ``fp32`` or ``bf16``.
    lean
        Whether less memory is worth some time, where the engine has that choice.
    kept
        Where an engine that compiles networks keeps them, if it does.

    Returns
    -------
    Engine
        Its `name`, `device` and `precision` say what was taken.

    Raises
    ------
    UsageError
        If a choice is not one of those above.
    EngineError
        If what was asked for by name is missing here, or fails.
    ModelFormatError
        If the tensors are not those of the network.
    """
    name, place = choose_engine(engine, device, threads, precision)
    from strokeseg.network.state import build_onnx, check_state

    check_state(spec, state)
    module = _module(name)
    opened: Engine
    if name == "torch":
        opened = module.TorchEngine(spec, state, place, threads, precision)
    elif name == "onnxruntime":
        graph = build_onnx(spec, state)
        opened = module.OnnxRuntimeEngine(graph, spec.out_channels, place, threads, lean)
    else:
        even = precision == "bf16"
        write_graph = partial(build_onnx, spec, state, folded=True, even=even)
        opened = module.OpenVINOEngine(
            write_graph,
            spec.out_channels,
            threads,
            precision,
            kept,
            any_shape=spec.window_rule == "whole",
        )
    return opened


def choose_engine(engine: str, device: str, threads: int | None, precision: str) -> tuple[str, str]:
    """Choose an engine and a device, such as ``cuda:0``; parameters and errors of `open_engine`."""
    device = plain_device(device)
    _check_words(engine, device, threads, precision)
    name, place = _choose(engine, device)
    if precision not in PRECISIONS[name]:
        raise EngineError(f"{name} has no {precision}; use fp32, or the openvino or torch engine")
    return name, place


def plain_device(name: str) -> str:
    """Give the device that a habit of other programs means: ``gpu`` is ``cuda``."""
    return re.sub(r"^gpu(?=$|:)", "cuda", name)


def _check_words(engine: str, device: str, threads: int | None, precision: str) -> None:
    if engine not in ("auto", *PRECISIONS):
        raise UsageError(f"engine {engine!r} is unknown; use auto, {', '.join(PRECISIONS)}")
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise UsageError(f"device {device!r} is unknown; use auto, cpu, cuda, cuda:N or mps")
    if precision not in ("fp32", "bf16"):
        raise UsageError(f"precision {precision!r} is unknown; use fp32 or bf16")
    if threads is not None and threads < 1:
        raise UsageError(f"threads is {threads}; give at least 1")


def _choose(engine: str, device: str) -> tuple[str, str]:
    """Return the engine's name and the device, such as ``cuda:0``."""
    if device == "auto":
        if cuda_count() > 0:
            for name in PREFERENCE["cuda"]:
                if engine in ("auto", name) and _is_installed(name) and _reaches(name, "cuda:0"):
                    return name, "cuda:0"
        device = "cpu"
    kind = device.split(":")[0]
    place = "cuda:0" if device == "cuda" else device
    if engine != "auto":
        if engine not in PREFERENCE[kind]:
            raise EngineError(
                f"{engine} cannot run on {kind}; use --engine {' or '.join(PREFERENCE[kind])}"
            )
        if not _is_installed(engine):
            raise EngineError(f"{engine} is not installed; {INSTALL[engine]}")
        if not _reaches(engine, place):
            raise EngineError(
                f"{engine} finds no device {place} here, only "
                f"{', '.join(_module(engine).devices())}; {_advice(engine, kind)}"
            )
        return engine, place
    for name in PREFERENCE[kind]:
        if _is_installed(name) and _reaches(name, place):
            return name, place
    wanted = PREFERENCE[kind][0]
    if kind == "cpu":
        raise EngineError(f"no inference engine is installed; {INSTALL[wanted]}")
    raise EngineError(f"no engine finds a device {place} here; {_advice(wanted, kind)}")


def _advice(engine: str, kind: str) -> str:
    if kind == "cuda":
        return f"check the driver with nvidia-smi and {INSTALL[engine]}, or choose --device cpu"
    return "choose --device cpu"


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _reaches(name: str, device: str) -> bool:
    return device in _module(name).devices()


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"strokeseg.engines.{name}")
    except (ImportError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EngineError(f"{name} is broken: {reason}; {INSTALL[name]}") from error


def _version(name: str) -> str:
    for distribution in DISTRIBUTIONS[name]:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
