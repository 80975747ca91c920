"""The ONNX Runtime engine: any CPU, and NVIDIA GPUs with onnxruntime-gpu."""

from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

from strokeseg.arrays import FloatArray
from strokeseg.engines.base import as_batch
from strokeseg.engines.cuda import cuda_count
from strokeseg.errors import EngineError

CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"
ERRORS_ONLY = 3
# What ONNX Runtime raises has no common base but Exception.
FAILURES = (
    RuntimeError,
    MemoryError,
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.NotImplemented,
    states.RuntimeException,
    states.EPFail,
)


def devices() -> list[str]:
    """List the devices that this engine can run on here."""
    found = ["cpu"]
    if CUDA_PROVIDER in onnxruntime.get_available_providers():
        found += [f"cuda:{index}" for index in range(cuda_count())]
    return found


class OnnxRuntimeEngine:
    """A network in an ONNX Runtime session.

    Parameters
    ----------
    graph
        The network, a serialised ONNX model.
    classes
        Number of classes.
    device
        ``cpu`` or ``cuda:N``.
    threads
        Threads to use on the CPU, all cores if None.
    lean
        Whether to give memory back after each window, which costs some time.

    Raises
    ------
    EngineError
        If the session cannot be made, or would not run on the device.
    """

    name = "onnxruntime"
    precision = "fp32"

    def __init__(
        self, graph: bytes, classes: int, device: str, threads: int | None, lean: bool = False
    ) -> None:
        self.device = device
        self.classes = classes
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.enable_cpu_mem_arena = not lean
        if threads is not None:
            options.intra_op_num_threads = threads
        providers: list[Any] = [CPU_PROVIDER]
        if device.startswith("cuda"):
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            # Without this, convolutions would be rounded to TF32.
            settings = {"device_id": device.removeprefix("cuda:"), "use_tf32": "0"}
            providers = [(CUDA_PROVIDER, settings)]
        try:
            if device.startswith("cuda") and hasattr(onnxruntime, "preload_dlls"):
                onnxruntime.preload_dlls()
            self._session = onnxruntime.InferenceSession(graph, options, providers=providers)
        except FAILURES as error:
            raise self._failure("could not load the network", error) from error
        wanted = CUDA_PROVIDER if device.startswith("cuda") else CPU_PROVIDER
        if self._session.get_providers()[0] != wanted:
            raise EngineError(
                f"onnxruntime could not use {device}; install the CUDA and cuDNN that your "
                "onnxruntime-gpu asks for, or choose --device cpu"
            )

    def logits(self, patch: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Run the network on one window; see `strokeseg.engines.base.Engine`."""
        if out is None:
            out = np.empty((self.classes, *patch.shape[-3:]), np.float32)
        image = as_batch(patch)
        binding = self._session.io_binding()
        binding.bind_cpu_input("patch", image)
        binding.bind_output("logits", "cpu", 0, np.float32, (1, *out.shape), out.ctypes.data)
        try:
            self._session.run_with_iobinding(binding)
        except FAILURES as error:
            shape = "x".join(map(str, patch.shape))
            raise self._failure(f"failed on a window of {shape}", error) from error
        return out

    def release(self) -> None:
        """Do nothing: a lean session holds nothing, and another cannot give it back."""

    def _failure(self, what: str, error: Exception) -> EngineError:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return EngineError(
            f"onnxruntime on {self.device} {what}: {lines[0].strip()}; "
            "try a smaller --window or another --engine"
        )
