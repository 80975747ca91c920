"""The OpenVINO engine: the default on a CPU."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

# OpenVINO tells its makers of every import, through this package. Here nothing is sent anywhere.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

from strokeseg.arrays import FloatArray, Shape3  # noqa: E402
from strokeseg.engines.base import as_batch  # noqa: E402
from strokeseg.engines.kept_networks import KeptNetworks  # noqa: E402
from strokeseg.engines.signal_stack import kept_signal_stack  # noqa: E402
from strokeseg.errors import EngineError  # noqa: E402

PRECISIONS = {"fp32": "f32", "bf16": "bf16"}
ANY_SHAPE = (-1, -1, -1)
_PROCESSOR = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")


def devices() -> list[str]:
    """List the devices that this engine can run on here."""
    return ["cpu"]


class OpenVINOEngine:
    """A network compiled by OpenVINO for the CPU.

    It is compiled when the first window comes, and again when the windows' shape changes: with a
    fixed shape it runs a tenth faster.

    Parameters
    ----------
    write_graph
        Writes the network as a serialised ONNX model. Where compiled networks are kept, only when
        there is none that fits.
    classes
        Number of classes.
    threads
        Threads to use, all cores if None.
    precision
        ``fp32``, or ``bf16`` on a CPU that has it.
    kept
        Where compiled networks are kept, if they are.
    any_shape
        Whether it is compiled once for windows of any shape, for networks that see a head whole.
        That takes a third less memory: of a fixed shape OpenVINO places the tensors by their size,
        and where all are of one size, a row of layers can take three at a time; of a free one it
        places them as they come, and a row takes two.

    Raises
    ------
    EngineError
        If the CPU lacks the precision, or OpenVINO cannot read the network.
    """

    name = "openvino"
    device = "cpu"

    def __init__(
        self,
        write_graph: Callable[[], bytes],
        classes: int,
        threads: int | None,
        precision: str,
        kept: KeptNetworks | None = None,
        any_shape: bool = False,
    ) -> None:
        self.classes = classes
        self.precision = precision
        # By itself OpenVINO takes bf16 where the CPU has it, which is no parity with fp32.
        self._options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "NUM_STREAMS": 1,
            # Pinned, the threads of several runs side by side would all sit on the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = threads
        self._any_shape = any_shape
        self._request: Any = None
        self._shape: Shape3 | None = None
        self._write_graph, self._kept = write_graph, kept
        self._model: Any = None
        try:
            with kept_signal_stack():
                self._core = openvino.Core()
                able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        except RuntimeError as error:
            raise _failure("could not start", error) from error
        if precision == "bf16" and "BF16" not in able:
            raise EngineError("openvino: this CPU has no bf16; use precision fp32")
        if kept is None:
            self._read()

    def logits(self, patch: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Run the network on one window; see `strokeseg.engines.base.Engine`."""
        if out is None:
            out = np.empty((self.classes, *patch.shape[-3:]), np.float32)
        i, j, k = patch.shape[-3:]
        image = as_batch(patch)
        wanted = ANY_SHAPE if self._any_shape else (i, j, k)
        try:
            with kept_signal_stack():
                if self._shape != wanted:
                    self._compile(wanted, image.shape[1])
                self._request.set_input_tensor(openvino.Tensor(image, shared_memory=True))
                self._request.set_output_tensor(openvino.Tensor(out[None], shared_memory=True))
                self._request.infer()
        except (RuntimeError, MemoryError) as error:
            raise _failure(f"failed on a window of {i}x{j}x{k}", error) from error
        return out

    def release(self) -> None:
        """Forget the compiled network; the next window compiles it again, in half a second."""
        self._request, self._shape = None, None

    def _compile(self, shape: Shape3, images: int) -> None:
        # What was compiled before goes first: two networks in memory are one too many.
        self.release()
        compiled = self._taken_up(shape, images)
        if compiled is None:
            if self._model is None:
                self._read()
            self._model.reshape([1, images, *shape])
            compiled = self._core.compile_model(self._model, "CPU", self._options)
            if self._kept is not None:
                exported = compiled.export_model()  # a stream, or bytes in older releases
                whole = exported if isinstance(exported, bytes) else exported.getbuffer()
                self._kept.write(self._setting(shape, images), whole)
        self._request, self._shape = compiled.create_infer_request(), shape

    def _read(self) -> None:
        """Read the network as it is before it is compiled."""
        try:
            with kept_signal_stack():
                self._model = self._core.read_model(self._write_graph())
        except RuntimeError as error:
            raise _failure("could not read the network", error) from error

    def _taken_up(self, shape: Shape3, images: int) -> Any:  # noqa: ANN401 - openvino.CompiledModel
        """Give the network as it was compiled for this shape before; None where it was not."""
        setting = self._setting(shape, images)
        compiled = None if self._kept is None else self._kept.read(setting)
        if self._kept is None or compiled is None:
            return None
        try:
            return self._core.import_model(compiled, "CPU", self._options)
        except RuntimeError:
            self._kept.forget(setting)
            return None

    def _setting(self, shape: Shape3, images: int) -> str:
        """Say all that a compiled network hangs on, but for the network."""
        about = (self._core.get_property("CPU", name) for name in _PROCESSOR)
        words = (openvino.get_version(), *about, sorted(self._options.items()), images, shape)
        return "\n".join(map(str, words))


def _failure(what: str, error: Exception) -> EngineError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return EngineError(
        f"openvino {what}: {lines[-1].strip()}; try a smaller --window or another --engine"
    )
